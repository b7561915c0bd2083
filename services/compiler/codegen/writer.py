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
        """Add comma-separated values, filled to the line width."""
        row = ""
        for number in numbers:
            item = f"{number},"
            if len(row) + len(item) + 1 > _LINE_WIDTH:
                self.line(row)
                row = ""
            row = f"{row} {item}" if row else item
        if row:
            self.line(row)

    def text(self) -> str:
        """Return the file."""
        return "\n".join(self._lines) + "\n"
