"""The child process of a slot: does one task after another and dies with its parent."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import cast

from services.common.artifacts import ArtifactStore
from services.common.errors import ExhaustedError, FarmError, InternalError
from services.common.jobs.task import Failed, Handler, TaskContext, TaskOrder, TaskResult
from services.common.log import set_up_logging
from services.common.settings import Settings

log = logging.getLogger(__name__)


def child_main(pipe: Connection, lifeline: Connection, settings: Settings, handlers: Sequence[str]) -> None:
    """Run orders from the pipe until it closes. The handlers' modules are imported before the first order."""
    # A group of its own: a kill reaches what the task started, and Ctrl-C in a terminal reaches the parent only.
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, args=(lifeline,), daemon=True, name="lifeline").start()
    set_up_logging(settings.log_level)
    artifacts = ArtifactStore.open(settings.artifacts_url, settings.max_artifact_bytes)
    for handler in handlers:
        load_handler(handler)
    while True:
        try:
            order: TaskOrder = pipe.recv()
        except EOFError:
            return
        pipe.send(_run(order, TaskContext(order, settings, artifacts, pipe)))


def load_handler(name: str) -> Handler:
    """Return the function MODULE:FUNCTION."""
    module, _, function = name.partition(":")
    return cast(Handler, getattr(importlib.import_module(module), function))


def _run(order: TaskOrder, context: TaskContext) -> TaskResult | Failed:
    try:
        return load_handler(order.handler)(order.spec, context)
    except FarmError as error:
        return Failed(error.to_dict())
    except MemoryError:
        return Failed(ExhaustedError("the work needs more memory than the worker has", reason="MEMORY").to_dict())
    except Exception as error:
        log.exception("job %s hit a bug", context.job_name)
        told = f"{type(error).__name__}: {error}"
        return Failed(InternalError(f"the work hit a bug: {told}", reason="BUG", value=told).to_dict())


def _die_with_parent(lifeline: Connection) -> None:
    """Wait for the end of the parent, however it came, then end the whole group."""
    try:
        lifeline.recv()
    except (EOFError, OSError):
        os.killpg(0, signal.SIGKILL)
