"""Work in processes beside a server: nothing heavy runs on the event loop, and a process that dies is replaced."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from services.common.errors import UnavailableError

Work = Callable[[bytes], bytes]
_PARENT_CHECK_S = 1.0
# New objects until garbage is looked for: what work remembers is large and holds no cycles.
_COLLECT_AFTER = 100_000


class ProcessPool:
    """Runs one function on byte strings in a few long-lived processes (spawned: forking breaks gRPC)."""

    def __init__(self, processes: int, work: Work) -> None:
        self._processes = processes
        self._work = work
        self._executor = self._start()

    async def map(self, payloads: Sequence[bytes]) -> list[bytes]:
        """Return the results in order; UnavailableError where the processes die twice on the same batch."""
        for _ in range(2):
            executor = self._executor
            try:
                return list(await asyncio.gather(*(self._run(executor, payload) for payload in payloads)))
            except BrokenProcessPool:
                if self._executor is executor:
                    self._executor = self._start()
        raise UnavailableError(
            "the processes that estimate died on this batch", reason="ESTIMATE_CRASHED", subject="networks"
        )

    async def close(self) -> None:
        """Stop the processes."""
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)

    async def _run(self, executor: ProcessPoolExecutor, payload: bytes) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(executor, self._work, payload)

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._processes, mp_context=context, initializer=_prepare, initargs=(os.getpid(),))


def _prepare(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(_COLLECT_AFTER, 50, 1000)
    threading.Thread(target=_die_with_parent, args=(parent,), daemon=True).start()


def _die_with_parent(parent: int) -> None:
    """End this process once its parent is gone: the executor's own queue does not tell."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os._exit(1)
