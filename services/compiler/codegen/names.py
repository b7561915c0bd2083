"""Names from outside made safe: C identifiers, comment text. Nothing else of a model's names reaches C."""

from __future__ import annotations

import re

_LONGEST_IDENTIFIER = 32
# The longest line of a comment's text: the rest is cut off.
COMMENT_WIDTH = 96

# words that C99, its headers or the firmware around the library already use
_RESERVED_WORDS = """
    auto break case char const continue default do double else enum extern float for goto if inline int long main
    register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
    asm typeof linux unix arm tf
"""
_RESERVED = frozenset(_RESERVED_WORDS.split())


def c_identifier(name: str) -> str:
    """Return a lower-case C identifier of 1 to 32 characters made from any text; `model` where nothing is left."""
    words = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not words or not words[0].isalpha() or words in _RESERVED or words.startswith("tf_"):
        words = f"model_{words}".rstrip("_")
    return words[:_LONGEST_IDENTIFIER].rstrip("_")


def comment_text(text: str, longest: int = COMMENT_WIDTH) -> str:
    """Return text that is safe inside a C comment: printable ASCII, no line ends, no comment marks, no trigraphs."""
    printable = "".join(c if " " <= c <= "~" and c not in "\\?*/" else "." for c in text)
    return printable if len(printable) <= longest else f"{printable[: longest - 3]}..."


def layer_symbol(name: str, index: int) -> str:
    """Return the C function of a layer."""
    return f"{name}_layer_{index:03}"
