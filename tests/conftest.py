"""What all tests share: one embedded stack, started when the first test asks for it, and caches of compilers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tinyfarm import Client

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
TOOLCHAIN_CACHE = ROOT / "build" / "test-cache"


@dataclass(frozen=True, slots=True)
class RunningStack:
    """What `tinyfarm up --json` said."""

    process: subprocess.Popen[str]
    told: dict[str, Any]

    @property
    def server(self) -> str:
        """Address for every client."""
        return str(self.told["server"])


def start_stack(state_dir: Path, **environment: str) -> RunningStack:
    """Start `tinyfarm up` as a user would, and wait until it says where it is."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tinyfarm.cli", "up", "--json", "--state-dir", str(state_dir)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("TINYFARM_")}, **environment},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"tinyfarm up ended with {process.wait()}"
    return RunningStack(process, json.loads(line))


def stop_stack(stack: RunningStack) -> int:
    """Ctrl-C, and the exit code."""
    stack.process.send_signal(signal.SIGINT)
    return stack.process.wait(60)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The embedded stack that all tests share."""
    running = start_stack(tmp_path_factory.mktemp("state"))
    yield running
    assert stop_stack(running) == 0


@pytest.fixture(scope="session")
def client(stack: RunningStack) -> Iterator[Client]:
    """A client of the shared stack."""
    with Client(stack.server) as connected:
        yield connected


@pytest.fixture(scope="session")
def cache() -> Path:
    """Kept between sessions: the first build for each core compiles the runtime library for seconds."""
    TOOLCHAIN_CACHE.mkdir(parents=True, exist_ok=True)
    return TOOLCHAIN_CACHE


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real models, golden outputs and data, which users do not have."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} with real models and golden outputs is not here")
    return SHARED
