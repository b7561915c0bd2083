"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tinyfarm.v1 import job_pb2

_WIDTH_OF_FILES = 200

stderr = Console(stderr=True, highlight=False)


class _Output(Console):
    """Standard output; a pipe that was closed is for the command to handle, rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        """Raise the error anew."""
        raise BrokenPipeError


def print_json(document: Any) -> None:
    """One JSON document; NaN and infinities are errors, not words of another language."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def print_line(text: str) -> None:
    """A line of text as it is: names of models are not markup."""
    _Output(highlight=False, soft_wrap=True).print(escape(printable(text)))


def print_note(text: str) -> None:
    """One line on standard error."""
    stderr.print(printable(text), markup=False, soft_wrap=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; columns of figures are aligned to the right, but for the first, which is of names and never wrapped."""
    table = Table(header_style="bold")
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows if row[index]]
        figures = index > 0 and bool(cells) and all(cell[0].isdigit() or cell[0] in "-+<~" for cell in cells)
        table.add_column(
            escape(column), justify="right" if figures else "left", overflow="fold", no_wrap=index == 0 or figures
        )
    for row in rows:
        table.add_row(*(escape(printable(cell)) for cell in row))
    console = _Output(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_OF_FILES
    if title:
        console.print(escape(printable(title)), style="bold", soft_wrap=True)
    console.print(table)


def printable(text: str) -> str:
    """The text without control characters: a name from a model must not drive the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def short_id(job: job_pb2.Job) -> str:
    """Last part of the job's name."""
    return job.name.rsplit("/", 1)[-1]
