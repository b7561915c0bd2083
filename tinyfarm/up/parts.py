"""The processes that a stack may consist of."""

from __future__ import annotations

import os
from dataclasses import dataclass

SERVICES = ("search", "compiler", "evaluator")


@dataclass(frozen=True, slots=True)
class Part:
    """One process: `python -m services.{service} {role}`."""

    service: str
    role: str

    def __post_init__(self) -> None:
        if self.service not in SERVICES or self.role not in ("server", "worker"):
            raise ValueError(f"part {self.service} {self.role}: service is one of {SERVICES}, role server or worker")

    @property
    def name(self) -> str:
        """Name in logs and in the address list."""
        return f"{self.service}-{self.role}"

    def slots(self) -> int:
        """Jobs that a worker runs at a time: boards are short single-thread runs, a search uses every core itself."""
        cores = os.cpu_count() or 1
        return (
            min(cores, 4)
            if self.service == "evaluator"
            else max(1, min(cores // 2, 4))
            if self.service == "compiler"
            else 1
        )


ALL_PARTS = tuple(
    Part(service, role) for service in ("compiler", "evaluator", "search") for role in ("server", "worker")
)
COMPILE_AND_RUN = tuple(part for part in ALL_PARTS if part.service != "search")
# Any server answers for jobs and artifacts.
RECORDS_ONLY = (Part("compiler", "server"),)
