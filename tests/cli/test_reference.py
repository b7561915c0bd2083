"""docs/reference/cli.md is what the command says about itself, below an introduction."""

from docs.generate import COMMANDS, COMMANDS_MARK, commands_page


def test_page_of_the_command_line_is_up_to_date():
    present = COMMANDS.read_text(encoding="utf-8")
    assert present.count(COMMANDS_MARK) == 1 and "exit" in present.partition(COMMANDS_MARK)[0]
    assert present == commands_page(present), "run make docs"
