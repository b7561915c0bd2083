"""compose.yaml against the code it starts and the files it mounts; no container engine is needed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.common.jobs import worker
from services.common.settings import Settings

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: s for name, s in SERVICES.items() if str(s.get("image", "")).startswith("tinyfarm:")}
SERVERS = {name: s for name, s in OURS.items() if s["command"][-1] == "server"}
PYTHON_SERVICES = {"search", "compiler", "evaluator"}


def test_there_is_a_server_and_a_worker_for_each_service() -> None:
    commands = {tuple(s["command"]) for s in OURS.values()}
    assert commands == {
        ("python", "-m", f"services.{name}", role) for name in PYTHON_SERVICES for role in ("server", "worker")
    }


@pytest.mark.parametrize("name", sorted(OURS))
def test_command_is_a_module_that_can_be_run(name: str) -> None:
    _python, _m, module, _role = OURS[name]["command"]
    assert importlib.util.find_spec(f"{module}.__main__") is not None


@pytest.mark.parametrize("name", sorted(OURS))
def test_environment_names_settings_that_exist_and_values_they_take(name: str) -> None:
    environment: dict[str, str] = OURS[name]["environment"]
    fields = {key.removeprefix("TINYFARM_").lower(): value for key, value in environment.items()}
    assert set(fields) <= set(Settings.model_fields)
    Settings.model_validate(fields)


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_server_listens_where_others_look_for_it(name: str) -> None:
    environment: dict[str, str] = SERVERS[name]["environment"]
    host, _, port = environment[f"TINYFARM_{name.upper()}_ADDRESS"].partition(":")
    assert host == name
    assert environment["TINYFARM_LISTEN"] == f"0.0.0.0:{port}"
    assert SERVERS[name]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert SERVERS[name]["healthcheck"]["test"][-1] == f"127.0.0.1:{port}"


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_default_ports_of_the_settings_are_the_published_ones(name: str) -> None:
    published = SERVERS[name]["ports"][0].rsplit(":", 1)[-1]
    assert Settings.model_fields[f"{name}_address"].default.endswith(f":{published}")


def test_nothing_is_published_beyond_loopback() -> None:
    assert all(port.startswith("127.0.0.1:") for s in SERVICES.values() for port in s.get("ports", []))


def test_stop_grace_period_is_longer_than_the_drain() -> None:
    drain_s = Settings.model_fields["drain_s"].default
    longest_s = drain_s + worker._STOP_MARGIN_S
    assert all(float(s["stop_grace_period"].removesuffix("s")) > longest_s for s in OURS.values())


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_mounted_files_exist_and_volumes_are_declared(name: str) -> None:
    for mount in SERVICES[name].get("volumes", []):
        source = mount.split(":")[0]
        if source.startswith("."):
            assert (DEPLOY / source).exists()
        else:
            assert source in COMPOSE["volumes"]


def test_services_depend_on_services_that_exist() -> None:
    assert {d for s in SERVICES.values() for d in s.get("depends_on", [])} <= set(SERVICES)


def test_dockerfile_copies_what_exists_and_the_ignore_file_lets_through() -> None:
    root = DEPLOY.parent
    allowed = {line.removeprefix("!") for line in (root / ".dockerignore").read_text().split() if line[0] == "!"}
    copied = {
        source
        for line in re.findall(r"^COPY (.+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied == allowed
    assert all((root / source).exists() for source in copied)


def test_dockerfile_runs_as_a_user_who_owns_the_mounted_folder() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    assert re.search(r"^USER tinyfarm$", text, re.MULTILINE)
    (artifacts,) = {s["environment"]["TINYFARM_ARTIFACTS_URL"].removeprefix("file://") for s in OURS.values()}
    assert f"--owner=tinyfarm --group=tinyfarm /var/lib/tinyfarm {artifacts}" in text
    assert all(f"artifacts:{artifacts}" in s["volumes"] for s in OURS.values())
