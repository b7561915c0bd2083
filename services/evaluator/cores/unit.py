"""The parts of a core that an instruction keeps busy."""

from __future__ import annotations

from enum import Enum, auto


class Unit(Enum):
    """What an instruction keeps busy."""

    ALU = auto()
    SHIFT = auto()
    MULTIPLY = auto()
    LONG_MULTIPLY = auto()
    DIVIDE = auto()
    LOAD = auto()
    LOAD_MANY = auto()
    STORE = auto()
    STORE_MANY = auto()
    BRANCH = auto()
    CALL = auto()
    FLOAT = auto()
    FLOAT_MAC = auto()
    FLOAT_DIVIDE = auto()
    IT = auto()
    BARRIER = auto()
