"""docs/reference/cli.md is what the command says about itself, below an introduction."""

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
GENERATE = (sys.executable, "-m", "typer", "tinyfarm.cli.main", "utils", "docs", "--name", "tinyfarm")
MARK = "<!-- The rest is written by `python -m typer tinyfarm.cli.main utils docs --name tinyfarm`. -->\n\n"


def test_page_of_the_command_line_is_up_to_date():
    written = subprocess.run(GENERATE, capture_output=True, text=True, check=True).stdout
    introduction, mark, rest = PAGE.read_text(encoding="utf-8").partition(MARK)
    assert mark and "exit" in introduction
    assert rest.strip() == written.strip(), f"write the page again: {' '.join(GENERATE[1:])} below the mark"
