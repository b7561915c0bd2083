"""`python -m tinyfarm.cli`: the command where its script is not on PATH."""

from tinyfarm.cli.main import app

app(prog_name="tinyfarm")
