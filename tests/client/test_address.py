import json
import os
import subprocess
import sys

import pytest

from tinyfarm.client import InvalidInputError, UnavailableError, read_address_file, resolve_server, write_address_file
from tinyfarm.client.address import ADDRESS_FILE
from tinyfarm.up.layout import Layout


@pytest.fixture(autouse=True)
def no_stack(monkeypatch, tmp_path):
    monkeypatch.delenv("TINYFARM_SERVER", raising=False)
    monkeypatch.setenv("TINYFARM_STATE_DIR", str(tmp_path))


def test_given_address_wins_over_variable_and_file(monkeypatch, tmp_path):
    write_address_file(tmp_path, "127.0.0.1:1", os.getpid())
    lock = Layout(tmp_path).lock()
    assert lock is not None
    assert resolve_server() == "127.0.0.1:1"
    monkeypatch.setenv("TINYFARM_SERVER", "farm:2")
    assert resolve_server() == "farm:2"
    assert resolve_server("[::1]:3") == "[::1]:3"


def test_without_any_the_error_says_how_to_get_one():
    with pytest.raises(UnavailableError) as caught:
        resolve_server()
    assert caught.value.reason == "NO_SERVER" and "tinyfarm up" in caught.value.hint


def test_file_of_a_dead_stack_is_ignored(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    write_address_file(tmp_path, "127.0.0.1:1", dead.pid)
    assert read_address_file(tmp_path) is None


def test_file_of_a_dead_stack_is_ignored_where_its_pid_is_somebody_elses_by_now(tmp_path):
    write_address_file(tmp_path, "127.0.0.1:1", os.getpid())
    assert read_address_file(tmp_path) is None  # nobody ever held the lock
    with Layout(tmp_path).lock():
        assert read_address_file(tmp_path) == "127.0.0.1:1"
        assert Layout(tmp_path).lock() is None
    assert read_address_file(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"server": "x:1", "pid": "?"})])
def test_damaged_file_is_ignored(tmp_path, content):
    (tmp_path / ADDRESS_FILE).write_text(content)
    assert read_address_file(tmp_path) is None


@pytest.mark.parametrize("address", ["localhost", ":1", "host:", "host:0", "host:65536", "host:x", "a b:1"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(InvalidInputError, match="HOST:PORT"):
        resolve_server(address)
