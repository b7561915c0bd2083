"""The boards of this evaluator: instances of targets, from a YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, assert_never

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.common.boards import find_board
from services.common.errors import InvalidArgumentError
from services.common.targets import Target, load_target
from services.evaluator.boards.board import Board
from services.evaluator.boards.qemu import QemuBoard
from services.evaluator.boards.unicorn import UnicornBoard
from services.evaluator.image import Port

BoardKind = Literal["unicorn", "qemu"]
_EVERY_TARGET = Path(__file__).with_name("boards.yaml")


class BoardConfig(BaseModel):
    """One board: `kind` says what it is, `target` which chip is on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    target: str
    kind: BoardKind

    @property
    def facts(self) -> Target:
        """The board's chip."""
        return load_target(self.target)

    @property
    def port(self) -> Port:
        """Which line the firmware must be built for."""
        return "semihosting" if self.kind == "qemu" else "simulated"


class _BoardsFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    boards: Annotated[tuple[BoardConfig, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Farm:
    """All boards, by name."""

    boards: tuple[BoardConfig, ...]

    def board(self, name: str) -> BoardConfig:
        """Return the board of that name, or the first whose target has it; BoardUnknownError names the allowed ones."""
        found = find_board(name, {board.name: board.target for board in self.boards})
        return next(board for board in self.boards if board.name == found)


def load_farm(file: Path | None = None) -> Farm:
    """Read a boards file, by default one simulated board for each known target.

    Raises NotFoundError for a board's target that does not exist, InvalidArgumentError where the file is no list of
    boards or two have one name.
    """
    path = _EVERY_TARGET if file is None else file
    try:
        boards = _BoardsFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).boards
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the whole file"
        raise _unusable(path, f"{where} is {problem['input']!r}: {problem['msg']}") from error
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _unusable(path, " ".join(str(error).split())) from error
    names = [board.name for board in boards]
    for board in boards:
        load_target(board.target)
        if names.count(board.name) > 1:
            raise _unusable(path, f"{names.count(board.name)} boards are named {board.name!r}")
    return Farm(boards)


def _unusable(path: Path, why: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"boards file {path}: {why}", reason="BAD_BOARDS", subject="boards", value=path)


def open_board(config: BoardConfig, cache: Path, time_limit_seconds: float) -> Board:
    """Start the board."""
    match config.kind:
        case "unicorn":
            return UnicornBoard(cache, time_limit_seconds)
        case "qemu":
            return QemuBoard(time_limit_seconds)
        case _:
            assert_never(config.kind)
