"""What `tinyfarm get JOB -o DIR` writes, and what other commands say about a job."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.compiler.tflite_models import conv2d
from tests.conftest import ROOT
from tests.e2e import e2e_models
from tinyfarm.cli.main import app
from tinyfarm.client.arrays import write_npz
from tinyfarm.v1.job_pb2 import JOB_KIND_EVALUATE, JOB_STATE_CANCELLED


@pytest.fixture
def tinyfarm(stack):
    def run(*arguments, code=0):
        result = CliRunner().invoke(app, [*map(str, arguments), "--server", stack.server])
        assert result.exit_code == code, result.output
        return result.stdout

    return run


def test_run_leaves_library_firmware_and_outputs(tinyfarm, tmp_path):
    (tmp_path / "small.tflite").write_bytes(e2e_models.small())
    (tmp_path / "in.npz").write_bytes(write_npz(np.zeros((1, 8, 8, 3), np.int8)))
    arguments = ("--board", "rp2040", "--input", tmp_path / "in.npz", "--output", tmp_path / "out.npz", "--json")
    document = json.loads(tinyfarm("run", tmp_path / "small.tflite", *arguments))
    assert document["schema"] == "tinyfarm.run/1" and document["samples"] == 1
    folder = tmp_path / "results"
    files = json.loads(tinyfarm("get", document["job"], "-o", folder, "--json"))["files"]
    assert {str(folder / name) for name in ("job.json", "firmware.elf", "outputs.npz")} <= set(files)
    assert (folder / "firmware.elf").read_bytes()[:4] == b"\x7fELF"
    assert (folder / "outputs.npz").read_bytes() == (tmp_path / "out.npz").read_bytes()
    manifest = json.loads((folder / "library" / "manifest.json").read_text())
    assert manifest["schema"] == "tinyfarm.library/1"
    assert all((folder / "library" / name).is_file() for name in (*manifest["sources"], manifest["header"]))


def test_pulled_input_gives_the_same_outputs_with_less_memory(tinyfarm, tmp_path):
    (tmp_path / "small.tflite").write_bytes(e2e_models.small())
    image = np.random.default_rng(1).integers(-128, 128, (2, 8, 8, 3)).astype(np.int8)
    (tmp_path / "in.npz").write_bytes(write_npz(image))
    documents, outputs = [], []
    for more in ((), ("--pull-input",)):
        output = tmp_path / f"out{len(more)}.npz"
        arguments = ("--board", "nano33ble", "--input", tmp_path / "in.npz", "--output", output, "--json")
        documents.append(json.loads(tinyfarm("run", tmp_path / "small.tflite", *arguments, *more)))
        outputs.append(output.read_bytes())
    held, pulled = documents
    assert (held["pulled_input"], pulled["pulled_input"], pulled["schedule"]) == (False, True, "streaming")
    assert held["twin_equal"] is pulled["twin_equal"] is True and outputs[0] == outputs[1]
    assert pulled["sram_bytes"]["input"] < held["sram_bytes"]["input"] == 192
    assert pulled["layers"][0]["op"] == "PullRows"
    text = tinyfarm("check", tmp_path / "small.tflite", "--board", "nano33ble", "--pull-input")
    assert "streaming, input pulled" in text and "equal to the host twin" in text
    tinyfarm("compile", tmp_path / "small.tflite", "--target", "nano33ble", "--pull-input", "-o", tmp_path / "c")
    assert "small_read_rows_fn read_rows" in (tmp_path / "c" / "small.h").read_text()
    assert "streaming" in tinyfarm("explain", tmp_path / "small.tflite", "--pull-input")


def test_planner_keeps_to_the_sram_that_compile_and_run_allow(tinyfarm, tmp_path):
    (tmp_path / "small.tflite").write_bytes(e2e_models.small())
    (tmp_path / "in.npz").write_bytes(write_npz(np.zeros((1, 8, 8, 3), np.int8)))
    limit = ("--max-sram", "64KiB", "--json")
    ends = ("--board", "nano33ble", "--input", tmp_path / "in.npz", "--output", tmp_path / "out.npz")
    tinyfarm("compile", tmp_path / "small.tflite", "--target", "nano33ble", "-o", tmp_path / "compiled", *limit)
    job = json.loads(tinyfarm("run", tmp_path / "small.tflite", *ends, *limit))["job"]
    tinyfarm("get", job, "-o", tmp_path / "ran")
    for folder in (tmp_path / "compiled", tmp_path / "ran" / "library"):
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["schedule_reason"] == "per-layer: it fits in 65536 bytes"


def test_sram_that_the_planner_cannot_keep_to_is_a_broken_budget(tinyfarm, tmp_path):
    (tmp_path / "small.tflite").write_bytes(e2e_models.small())
    (tmp_path / "in.npz").write_bytes(write_npz(np.zeros((1, 8, 8, 3), np.int8)))
    ends = ("--board", "nano33ble", "--input", tmp_path / "in.npz", "--output", tmp_path / "out.npz")
    text = tinyfarm("compile", tmp_path / "small.tflite", "--target", "nano33ble", "--max-sram", "64", code=1)
    assert "schedule: per-layer: streaming saves no memory" in text
    tinyfarm("run", tmp_path / "small.tflite", *ends, "--max-sram", "64", "--json", code=1)
    assert (tmp_path / "out.npz").is_file()


def test_explain_draws_models_side_by_side(tinyfarm, tmp_path):
    (tmp_path / "small.tflite").write_bytes(e2e_models.small())
    (tmp_path / "large.tflite").write_bytes(e2e_models.half_mib_of_activations())
    models = (tmp_path / "small.tflite", tmp_path / "large.tflite")
    document = json.loads(tinyfarm("explain", *models, "--target", "nano33ble", "-o", tmp_path / "p.html", "--json"))
    small, large = document["networks"]
    assert (small["name"], large["name"]) == ("small", "large")
    assert large["arena_bytes"] > 256 * 1024 and small["layers"][0]["receptive_field_hw"] == [3, 3]
    page = (tmp_path / "p.html").read_text()
    assert page.count("<h2>") == 2 and "Weights against activations" in page
    assert small["schedule_reason"] in page and large["schedule_reason"] in page
    assert "small" in tinyfarm("explain", models[0], "--schedule", "per-layer")


def test_compile_writes_the_library_and_its_job_can_be_found(tinyfarm, tmp_path):
    (tmp_path / "small.tflite").write_bytes(e2e_models.small())
    text = tinyfarm("compile", tmp_path / "small.tflite", "--target", "nano33ble", "-o", tmp_path / "c", "--json")
    document = json.loads(text)
    assert (tmp_path / "c" / "small.h").is_file() and document["result"]["fits"] is True
    manifest = json.loads((tmp_path / "c" / "manifest.json").read_text())
    assert document["result"]["schedule_reason"] == manifest["schedule_reason"] != ""
    name = document["job"]
    jobs = json.loads(tinyfarm("jobs", "--state", "succeeded", "--json"))["jobs"]
    assert name in [job["name"] for job in jobs]
    assert name.rsplit("/", 1)[-1] in tinyfarm("jobs")
    assert json.loads(tinyfarm("cancel", name, "--json"))["state"] == "succeeded"
    events = [json.loads(line) for line in tinyfarm("watch", name, "--json").splitlines()]
    assert events[-1]["job"]["state"] == "succeeded"
    after = [
        json.loads(line)
        for line in tinyfarm("watch", name, "--json", "--resume-token", events[0]["resume_token"]).splitlines()
    ]
    assert after == events[1:]


def test_watching_a_failed_job_ends_in_its_error(client, stack):
    name = client.submit_compile(e2e_models.unsupported(), target="nano33ble").name
    result = CliRunner().invoke(app, ["watch", name, "--server", stack.server])
    assert result.exit_code == 2 and "COS" in result.stderr and "failed" in result.stdout
    got = CliRunner().invoke(app, ["get", name, "-o", "nowhere", "--server", stack.server])
    assert got.exit_code == 2 and "COS" in got.stderr


@pytest.mark.parametrize("command", ["boards", "targets", "jobs"])
def test_lists_print_tables_and_json(tinyfarm, command):
    assert len(json.loads(tinyfarm(command, "--json"))[command]) > 0
    assert tinyfarm(command).strip()


def test_doctor_finds_this_installation_well(tinyfarm):
    document = json.loads(tinyfarm("doctor", "--json"))
    assert document["ok"] is True
    assert {"python", "valkey", "zig", "simulator", "ports", "disk", "server"} <= {
        c["name"] for c in document["checks"]
    }


def test_ctrl_c_cancels_the_job_that_was_waited_for(client, stack, tmp_path):
    (tmp_path / "long.tflite").write_bytes(conv2d((1, 40, 40, 16), 32, (3, 3), seed=5))
    (tmp_path / "in.npz").write_bytes(write_npz(np.zeros((200, 40, 40, 16), np.int8)))
    words = ["run", "long.tflite", "--board", "rp2040", "--input", "in.npz", "--output", "out.npz"]
    before = {job.name for job in client.jobs.list()}
    command = [sys.executable, "-m", "tinyfarm.cli", *words, "--server", stack.server]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        # a test run in a shell's background inherits an ignored SIGINT
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one call, no locks
    )
    deadline = time.monotonic() + 60
    started = []
    while not started and time.monotonic() < deadline:
        started = [job.name for job in client.jobs.list() if job.name not in before and job.kind == JOB_KIND_EVALUATE]
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    # gRPC's own poller may log beside it that it was interrupted
    assert "interrupted" in process.stderr.read().splitlines()
    assert client.get(started[0]).state == JOB_STATE_CANCELLED


def print_into(output, stack, *arguments):
    """`tinyfarm` as a process whose standard output is a given file or pipe."""
    argv = [sys.executable, "-m", "tinyfarm.cli", *arguments, "--server", stack.server]
    return subprocess.run(argv, stdout=output, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_output_that_nobody_reads_is_no_broken_budget_and_no_word(stack, tmp_path, more):
    (tmp_path / "small.tflite").write_bytes(e2e_models.small())
    read, write = os.pipe()
    os.close(read)
    limit = ("--board", "nano33ble", "--max-sram", "1")
    done = print_into(write, stack, "check", str(tmp_path / "small.tflite"), *limit, *more)
    os.close(write)
    assert (done.returncode, done.stderr) == (2, "")


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_output_on_a_full_disk_is_one_clear_error(stack, more):
    with Path("/dev/full").open("w") as full:
        done = print_into(full, stack, "targets", *more)
    assert done.returncode == 2 and done.stderr.startswith("error: [Errno 28] No space left on device")
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 2
