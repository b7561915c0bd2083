"""The client's watch over connections that break, on real processes."""

import contextlib
import json
import socket
import threading

import pytest

from tests.integration.plumbing_stack import Stack
from tinyfarm import Client
from tinyfarm.client import UnavailableError
from tinyfarm.v1 import job_pb2

STEPS = 80


@pytest.fixture(scope="module")
def plumbing(tmp_path_factory):
    stack = Stack(tmp_path_factory.mktemp("plumbing"))
    try:
        stack.start_valkey()
        stack.start_server()
        stack.start_worker()
        yield stack
    finally:
        stack.stop()


def submit(client, **order):
    return client.submit_compile(b"", name=json.dumps(order), target="any").name


class CuttingProxy:
    """TCP in front of the server; `cut` breaks every connection, as a network does."""

    def __init__(self, server):
        self._target = server.rpartition(":")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection((self._target[0], int(self._target[2])))
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass

    def cut(self):
        count = len(self._open)
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open = []
        return count

    def close(self):
        # Closing alone would let a pending accept through.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()


def test_watch_goes_on_by_itself_over_cut_connections_with_every_event_once(plumbing):
    proxy = CuttingProxy(plumbing.address)
    try:
        with Client(proxy.address) as watcher:
            name = submit(watcher, do="add", steps=STEPS, step_s=0.03)
            seen, cuts = [], 0
            for event in watcher.watch(name):
                seen.append(event)
                if len(seen) % 6 == 1:
                    cuts += proxy.cut() > 0
    finally:
        proxy.close()
    assert cuts >= 3
    texts = [event.progress.text for event in seen if event.kind == job_pb2.JOB_EVENT_KIND_PROGRESS]
    assert len(texts) > 9 and texts == sorted(set(texts), key=lambda text: int(text.split()[-1]))
    assert seen[-1].job.state == job_pb2.JOB_STATE_SUCCEEDED
    with Client(plumbing.address) as client:
        assert [e.resume_token for e in client.watch(name)] == [e.resume_token for e in seen]


def test_watch_from_a_token_shows_what_comes_after_it(plumbing):
    with Client(plumbing.address) as client:
        whole = list(client.watch(submit(client, do="chatter", lines=10)))
        name = whole[-1].job.name
        for position, event in enumerate(whole[:-1]):
            assert list(client.watch(name, event.resume_token)) == whole[position + 1 :]


def test_watch_of_a_server_that_is_gone_ends_in_unavailable(plumbing):
    proxy = CuttingProxy(plumbing.address)
    with Client(proxy.address) as client:
        events = client.watch(submit(client, do="add", steps=600, step_s=0.1))
        next(events)
        proxy.close()
        with pytest.raises(UnavailableError, match="cannot be reached"):
            list(events)
