"""A client for one command: of a given server, of the running embedded stack, or of one started for it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinyfarm.cli.output import stderr
from tinyfarm.client import Client, read_address_file, state_dir
from tinyfarm.client.address import SERVER_VARIABLE
from tinyfarm.up import Part, Stack, StackError
from tinyfarm.up.layout import Layout


def known_server(server: str | None) -> str | None:
    """The server of a command that was given this one: else the environment's, else the running embedded stack's."""
    return server or os.environ.get(SERVER_VARIABLE) or read_address_file(state_dir())


@contextmanager
def connected(server: str | None, parts: tuple[Part, ...], *, publish: bool = False) -> Iterator[Client]:
    """A client; a stack of `parts` runs around it where there is neither a server nor a running stack."""
    running = known_server(server)
    if running:
        with Client(running) as client:
            yield client
        return
    with _temporary_stack(parts, publish) as stack, Client(stack.server) as client:
        yield client


@contextmanager
def _temporary_stack(parts: tuple[Part, ...], publish: bool) -> Iterator[Stack]:
    """A stack in the state folder, so that its results are found later; in a folder of its own where that is taken."""
    stack = Stack(Layout(state_dir()), parts, publish=publish)
    try:
        with stderr.status("starting an embedded stack (tinyfarm up keeps one running)"):
            stack.start()
    except StackError as error:
        if error.reason != "ALREADY_RUNNING":
            raise
        stack = _private_stack(parts)
    try:
        yield stack
    finally:
        stack.stop()
        if stack.layout.folder != state_dir():
            shutil.rmtree(stack.layout.folder, ignore_errors=True)


def _private_stack(parts: tuple[Part, ...]) -> Stack:
    folder = Path(tempfile.mkdtemp(prefix="tinyfarm-"))
    stack = Stack(Layout(folder), parts, publish=False)
    try:
        with stderr.status("starting an embedded stack of its own"):
            stack.start()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return stack
