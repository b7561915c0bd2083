"""How many instructions a core starts in a cycle: what the order of a routine's instructions depends on."""

from __future__ import annotations

from enum import Enum


class Issue(Enum):
    """One instruction a cycle (Cortex-M4, M33), or two where they suit each other (Cortex-M7)."""

    SINGLE = "single"
    DUAL = "dual"
