"""The one way C text is made: lines, indentation and blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_LINE_WIDTH = 110


class Writer:
    """Collects the lines of one C file."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._indent = 0

    def line(self, text: str = "") -> None:
        """Add a line at the present indentation."""
        self._lines.append(f"{'    ' * self._indent}{text}".rstrip())

    def lines(self, texts: Iterable[str]) -> None:
        """Add lines at the present indentation."""
        for text in texts:
            self.line(text)

    @contextmanager
    def block(self, head: str, tail: str = "") -> Iterator[None]:
        """Write `head {`, then what the caller writes one step deeper, then `}` and `tail`."""
        self.line(f"{head} {{")
        self._indent += 1
        yield
        self._indent -= 1
        self.line(f"}}{tail}")

    def values(self, numbers: Iterable[int | str]) -> None:
        """Add comma-separated values, as many a line as fit its width whichever they are."""
        items = list(map(str, numbers))
        count = max(1, _LINE_WIDTH // (max(map(len, items), default=0) + 2))
        indent = "    " * self._indent
        self._lines += [f"{indent}{', '.join(items[i : i + count])}," for i in range(0, len(items), count)]

    def text(self) -> str:
        """Return the file."""
        return "\n".join(self._lines) + "\n"
