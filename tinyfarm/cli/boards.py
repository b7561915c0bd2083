"""`tinyfarm boards`: the boards of the farm."""

from __future__ import annotations

from tinyfarm.cli.connect import connected
from tinyfarm.cli.options import Json, Server
from tinyfarm.cli.output import print_json, print_table
from tinyfarm.client.plain import enum_name, plain
from tinyfarm.up import COMPILE_AND_RUN


def command(json: Json = False, server: Server = None) -> None:
    """List the boards that models can run on."""
    with connected(server, COMPILE_AND_RUN) as client:
        found = client.boards()
    if json:
        print_json({"boards": [plain(board) for board in found]})
        return
    rows = [(b.name, b.target, enum_name(b, "kind"), b.driver, b.description) for b in found]
    print_table("", ("board", "target", "kind", "driver", "description"), rows)
