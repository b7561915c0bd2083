"""What the evaluator's tests share: a folder where the toolchain may keep its caches."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cache() -> Path:
    """Kept between sessions: the first build for each core compiles the runtime library for seconds."""
    folder = Path(__file__).parents[2] / "build" / "test-cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
