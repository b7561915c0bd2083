"""The embedded stack: a Valkey server, the services and their workers as child processes of one command."""

from __future__ import annotations

from tinyfarm.up.parts import ALL_PARTS, COMPILE_AND_RUN, RECORDS_ONLY, Part
from tinyfarm.up.stack import Stack, StackError

__all__ = ["ALL_PARTS", "COMPILE_AND_RUN", "RECORDS_ONLY", "Part", "Stack", "StackError"]
