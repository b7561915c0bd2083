"""Logging of every process: one line an event on standard error."""

from __future__ import annotations

import logging


def set_up_logging(level: str) -> None:
    """Log at the level, naming time, process and module."""
    logging.basicConfig(
        level=level.upper(), format="%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s", force=True
    )
    # Told by us in our own words, or of no use to an operator.
    for noisy in ("dramatiq", "grpc", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
