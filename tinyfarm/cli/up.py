"""`tinyfarm up`: the embedded stack in the foreground."""

from __future__ import annotations

import json as json_module
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from tinyfarm.cli.options import Json
from tinyfarm.cli.output import print_line, printable, stderr
from tinyfarm.client import state_dir
from tinyfarm.client.address import STATE_VARIABLE
from tinyfarm.up import ALL_PARTS, Stack
from tinyfarm.up.layout import Layout


class _StopAsked(BaseException):
    """A signal asked for the end; not an error."""


def command(
    state: Annotated[Path | None, typer.Option("--state-dir", help="Folder for data and logs.")] = None,
    json: Json = False,
) -> None:
    """Start Valkey, the services and their workers; stop them on Ctrl-C or SIGTERM.

    With --json one line tells the addresses as soon as everything answers.
    """
    layout = Layout(state.absolute() if state is not None else state_dir())
    stack = Stack(layout, ALL_PARTS, say=lambda text: stderr.print(printable(text), markup=False))
    _on_signals(_ask_to_stop)
    try:
        with stderr.status("starting"):
            stack.start()
        _tell(stack, json)
        threading.Event().wait()
    except _StopAsked:
        pass
    finally:
        _on_signals(signal.SIG_IGN)
        with stderr.status("stopping"):
            stack.stop()


def _ask_to_stop(number: int, frame: object) -> None:
    _on_signals(signal.SIG_IGN)
    raise _StopAsked


def _on_signals(action: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, action)  # type: ignore[arg-type]


def _tell(stack: Stack, as_json: bool) -> None:
    if as_json:
        document = {
            "server": stack.server,
            "services": stack.addresses,
            "metrics": {name: f"http://{address}/metrics" for name, address in stack.metrics.items()},
            "redis_url": stack.redis_url,
            "state_dir": str(stack.layout.folder),
            "logs": str(stack.layout.logs),
            "pids": stack.pids(),
        }
        sys.stdout.write(json_module.dumps(document) + "\n")
        sys.stdout.flush()
        return
    print_line(f"tinyfarm is up at {stack.server}")
    for service, address in stack.addresses.items():
        print_line(f"  {service:<10} {address}")
    print_line("metrics")
    for name, address in stack.metrics.items():
        print_line(f"  {name:<18} http://{address}/metrics")
    print_line(f"queue   {stack.redis_url}")
    print_line(f"logs    {stack.layout.logs}")
    if stack.layout.folder != state_dir():
        print_line(f"other commands find it with --server {stack.server} or {STATE_VARIABLE}={stack.layout.folder}")
    print_line("Ctrl-C stops everything; jobs go on at the next start")
