"""Run a program that ends when its parent does: `python -m tinyfarm.up.leash (module NAME ARGS... | program ARGV...)`.

The parent holds the other end of standard input; its end of file means that the parent is gone, however it died.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

_GRACE_S = 20.0


def _when_parent_dies(action: Callable[[], None]) -> None:
    def wait() -> None:
        while os.read(0, 4096):
            pass
        action()

    threading.Thread(target=wait, name="leash", daemon=True).start()


def _end_self() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os._exit(1)


def _run_module(name: str, arguments: list[str]) -> None:
    _when_parent_dies(_end_self)
    sys.argv = [name, *arguments]
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _run_program(argv: list[str]) -> int:
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL)

    def end() -> None:
        child.terminate()
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()

    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    _when_parent_dies(end)
    return child.wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["module", name, *arguments]:
            _run_module(name, arguments)
        case ["program", *argv] if argv:
            sys.exit(_run_program(argv))
        case other:
            sys.exit(f"leash: expected module NAME ARGS... or program ARGV..., got {other}")
