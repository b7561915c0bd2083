"""The embedded Valkey server under its supervisor: real processes, no services."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tinyfarm.up import Stack, StackError, valkey
from tinyfarm.up.layout import Layout


def wait_until(condition, what, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def command(layout, *words):
    import redis

    with redis.Redis.from_url(valkey.url_of(layout), protocol=2) as client:
        return client.execute_command(*words)


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / ("a state folder with a long name " * 4).strip())


def test_starts_with_append_only_file_and_stops_without_trace(layout):
    with Stack(layout, (), publish=False) as stack:
        assert command(layout, "CONFIG", "GET", "appendfsync")[1] == b"everysec"
        assert command(layout, "CONFIG", "GET", "appendonly")[1] == b"yes"
        assert command(layout, "CONFIG", "GET", "port")[1] == b"0"
        pid = stack.pids()["valkey"]
        assert pid is not None
    assert gone(pid)
    assert not layout.socket.exists()


def test_killed_server_comes_back_with_its_data(layout):
    with Stack(layout, (), publish=False) as stack:
        command(layout, "SET", "key", "value")
        time.sleep(1.2)  # AOF everysec
        before = stack.pids()["valkey"]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: gone(before) and valkey.answers(layout), "restart of Valkey")
        assert command(layout, "GET", "key") == b"value"
        assert stack.pids()["valkey"] != before


def test_two_stacks_in_different_folders_do_not_meet(tmp_path):
    one, other = Layout(tmp_path / "one"), Layout(tmp_path / "other")
    with Stack(one, (), publish=False), Stack(other, (), publish=False):
        command(one, "SET", "key", "one")
        assert command(other, "GET", "key") is None


def test_second_stack_in_the_same_folder_is_refused(layout):
    with Stack(layout, (), publish=False), pytest.raises(StackError, match="already runs in"):
        Stack(layout, (), publish=False).start()


HOLD = """
import sys, time
from pathlib import Path
from tinyfarm.up import Stack
from tinyfarm.up.layout import Layout
stack = Stack(Layout(Path(sys.argv[1])), (), publish=False)
stack.start()
print(stack.pids()["valkey"], flush=True)
time.sleep(600)
"""


def hold(layout):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(layout.folder)], stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


def test_children_end_when_their_supervisor_is_killed(layout):
    supervisor, server = hold(layout)
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: gone(server), "end of the orphan")
    with Stack(layout, (), publish=False):
        assert command(layout, "PING") == b"PONG" or command(layout, "PING") is True


def test_server_left_behind_is_ended_and_replaced(layout):
    supervisor, server = hold(layout)
    # Also the leash is gone: nobody is left to end the server but the next stack.
    leash = psutil.Process(server).parent()
    leash.kill()
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: gone(leash.pid), "end of the leash")
    assert not gone(server)
    with Stack(layout, (), publish=False) as stack:
        assert gone(server)
        assert stack.pids()["valkey"] != server


def test_stale_pidfile_of_somebody_elses_process_is_left_alone(layout):
    layout.create()
    (layout.valkey / "valkey.pid").write_text(str(os.getpid()))
    with Stack(layout, (), publish=False):
        assert valkey.answers(layout)
