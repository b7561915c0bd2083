"""Limits that a network must keep, and the schedule asked for."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from numbers import Integral, Real

from tinyfarm.client.errors import InvalidInputError
from tinyfarm.v1 import metric_pb2, schedule_pb2

# What 64 bits with a sign hold: more than any address space.
_MOST_BYTES = 2**63 - 1
SCHEDULES = "auto, per-layer, patch, patch:ROWSxCOLS of 1 to 9999 each, streaming"


@dataclass(frozen=True, slots=True)
class Budgets:
    """Limits; None does not bind. `accuracy` is the lowest allowed, the others the highest."""

    sram_bytes: int | None = None
    flash_bytes: int | None = None
    latency_us: float | None = None
    energy_uj: float | None = None
    accuracy: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if field.name.endswith("_bytes"):
                if not (isinstance(value, Integral) and 0 <= int(value) <= _MOST_BYTES):
                    raise _refused(field.name, value, f"a whole number from 0 to {_MOST_BYTES}")
            elif not (isinstance(value, Real) and math.isfinite(value) and float(value) >= 0):
                raise _refused(field.name, value, "a finite number of 0 or more")
        if self.accuracy is not None and self.accuracy > 1:
            raise _refused("accuracy", self.accuracy, "0 to 1")

    def message(self) -> metric_pb2.Budgets:
        """As sent to the services."""
        return metric_pb2.Budgets(
            sram_bytes=self.sram_bytes,
            flash_bytes=self.flash_bytes,
            latency_us=self.latency_us,
            energy_uj=self.energy_uj,
            accuracy=self.accuracy,
        )


def schedule_request(text: str) -> schedule_pb2.ScheduleRequest:
    """The schedule that a user asked for; whether it can be made is the compiler's answer.

    Raises `InvalidInputError` for anything but auto, per-layer, patch, patch:HxW and streaming.
    """
    match text:
        case "auto":
            return schedule_pb2.ScheduleRequest()
        case "per-layer":
            return schedule_pb2.ScheduleRequest(kind=schedule_pb2.STAGE_KIND_PER_LAYER)
        case "streaming":
            return schedule_pb2.ScheduleRequest(kind=schedule_pb2.STAGE_KIND_STREAMING)
        case "patch":
            return schedule_pb2.ScheduleRequest(kind=schedule_pb2.STAGE_KIND_PATCH)
    grid = re.fullmatch(r"patch:([1-9]\d{0,3})x([1-9]\d{0,3})", text)
    if grid is None:
        raise InvalidInputError(
            f"schedule {text!r} is not one of {SCHEDULES}",
            reason="UNKNOWN_SCHEDULE",
            subject="schedule",
            value=text,
            allowed=SCHEDULES,
        )
    return schedule_pb2.ScheduleRequest(
        kind=schedule_pb2.STAGE_KIND_PATCH, patch_rows=int(grid[1]), patch_cols=int(grid[2])
    )


def schedule_kept(asked: str, found: str) -> bool:
    """Whether a grid of patches that was named is the one compiled: it is wherever it can be. True where none was."""
    return not asked.startswith("patch:") or found == "patch"


def _refused(name: str, value: object, allowed: str) -> InvalidInputError:
    return InvalidInputError(
        f"budget {name} is {value!r}, allowed is {allowed}",
        reason="BAD_BUDGET",
        subject=name,
        value=str(value),
        allowed=allowed,
    )
