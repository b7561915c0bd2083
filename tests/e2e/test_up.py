"""`tinyfarm up` as a process: addresses, metrics, orphans, and a clean end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT, start_stack, stop_stack
from tinyfarm import Client
from tinyfarm.cli.main import app


def test_every_part_serves_its_metrics(stack):
    assert len(stack.told["metrics"]) == 6
    for url in stack.told["metrics"].values():
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert b"tinyfarm_" in answer.read()


def test_running_stack_is_found_by_other_commands(stack, monkeypatch):
    monkeypatch.setenv("TINYFARM_STATE_DIR", stack.told["state_dir"])
    with Client() as found:
        assert found.server == stack.server
    result = CliRunner().invoke(app, ["jobs", "--json"])
    assert result.exit_code == 0, result.output


def test_second_up_in_the_same_folder_is_refused(stack):
    done = subprocess.run(
        [sys.executable, "-m", "tinyfarm.cli", "up", "--state-dir", stack.told["state_dir"]],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2 and "already runs" in done.stderr and "Traceback" not in done.stderr


def alive(pids):
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def test_kill_minus_9_leaves_no_orphans_and_the_next_start_works(tmp_path):
    first = start_stack(tmp_path)
    with Client(first.server) as client:
        job = client.submit_compile(b"no model", target="nano33ble").name
        assert client.get(job).name == job
        time.sleep(1.2)  # on disk
    family = [process.pid for process in psutil.Process(first.process.pid).children(recursive=True)]
    assert len(family) >= 8
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    second = start_stack(tmp_path)
    try:
        with Client(second.server) as client:
            assert client.get(job).name == job
        deadline = time.monotonic() + 30
        while alive(family) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert alive(family) == []
        processes = [process.pid for process in psutil.Process(second.process.pid).children(recursive=True)]
    finally:
        assert stop_stack(second) == 0
    assert alive(processes) == []


@pytest.mark.parametrize("arguments", [["boards"], ["jobs"]])
def test_command_without_a_stack_starts_one_for_its_duration(tmp_path, monkeypatch, arguments):
    monkeypatch.setenv("TINYFARM_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("TINYFARM_SERVER", raising=False)
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    assert psutil.Process().children(recursive=True) == [] or not [
        process for process in psutil.Process().children(recursive=True) if str(tmp_path) in " ".join(process.cmdline())
    ]
    assert not (tmp_path / "address.json").exists()


def test_search_that_nobody_would_run_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYFARM_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("TINYFARM_SERVER", raising=False)
    result = CliRunner().invoke(app, ["search", "--board", "nano33ble", "--data", "mnist5k", "--no-wait"])
    assert result.exit_code == 2 and "no server is given and none is running" in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["redis://:secret@127.0.0.1:1/0", "unix:///nowhere/valkey.sock", "redis://h:port"])
def test_queue_that_cannot_be_reached_is_told_at_once_and_without_its_password(tmp_path, monkeypatch, place):
    monkeypatch.setenv("TINYFARM_REDIS_URL", place)
    monkeypatch.setenv("TINYFARM_STATE_DIR", str(tmp_path))
    for command in (["jobs"], ["doctor", "--json"]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 2 and "secret" not in result.output
        assert "TINYFARM_REDIS_URL" in result.output and "cannot be reached" in result.output
