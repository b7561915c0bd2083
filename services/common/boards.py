"""Which board a name means, alike in every service that is given one."""

from __future__ import annotations

from collections.abc import Mapping

from services.common.errors import NotFoundError


class BoardUnknownError(NotFoundError):
    """No board of that name."""

    default_reason = "UNKNOWN_BOARD"


def find_board(name: str, targets: Mapping[str, str]) -> str:
    """Return the name of the board called so, or else of the first whose target is called so.

    `targets` says of every board of the farm, by its name and in the farm's order, which chip is on it. Raises
    BoardUnknownError, which names the boards.
    """
    if name in targets:
        return name
    for board, target in targets.items():
        if target == name:
            return board
    allowed = ", ".join(targets)
    raise BoardUnknownError(
        f"unknown board {name!r}: allowed are {allowed}", subject="board", value=name, allowed=allowed
    )
