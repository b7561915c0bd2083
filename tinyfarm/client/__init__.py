"""The typed client of a tinyfarm stack; needs grpcio, protobuf and numpy only."""

from __future__ import annotations

from tinyfarm.client.address import read_address_file, resolve_server, state_dir, write_address_file
from tinyfarm.client.budgets import Budgets
from tinyfarm.client.check import CheckReport
from tinyfarm.client.client import Client, RunResult
from tinyfarm.client.errors import (
    ConflictError,
    InvalidInputError,
    JobCancelledError,
    JobFailedError,
    NotFoundError,
    ServerFaultError,
    TinyfarmError,
    UnavailableError,
)
from tinyfarm.client.specs import image_search

__all__ = [
    "Budgets",
    "CheckReport",
    "Client",
    "ConflictError",
    "InvalidInputError",
    "JobCancelledError",
    "JobFailedError",
    "NotFoundError",
    "RunResult",
    "ServerFaultError",
    "TinyfarmError",
    "UnavailableError",
    "image_search",
    "read_address_file",
    "resolve_server",
    "state_dir",
    "write_address_file",
]
