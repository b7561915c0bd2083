"""kill -9 in the middle of a job: it ends, once, with the right answer."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import psutil
import pytest

from tests.compiler.tflite_models import conv2d
from tests.conftest import start_stack, stop_stack
from tests.e2e import e2e_models
from tinyfarm import Client
from tinyfarm.client.arrays import write_npz
from tinyfarm.client.jobs import FINAL_STATES
from tinyfarm.v1 import job_options_pb2, job_pb2

AFRESH = job_options_pb2.JobOptions(ignore_cache=True)


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory):
    running = start_stack(tmp_path_factory.mktemp("kills"), TINYFARM_LEASE_S="3", TINYFARM_REAP_INTERVAL_S="0.5")
    yield running
    assert stop_stack(running) == 0


@pytest.fixture(scope="module")
def own_client(own_stack):
    with Client(own_stack.server) as connected:
        yield connected


def pid_of(stack, name):
    """The part's process now: what `up` told may have been replaced since."""
    words = ("valkey-server",) if name == "valkey" else (f"services.{name.split('-')[0]}", name.split("-")[1])
    for process in psutil.Process(stack.process.pid).children(recursive=True):
        try:
            line = process.cmdline()
        except psutil.NoSuchProcess:
            continue  # a short-lived child, gone since it was listed
        if name == "valkey" and line and line[0].endswith(("valkey-server", "redis-server")):
            return process.pid
        if "tinyfarm.up.leash" in line and tuple(line[-2:]) == words:
            return process.pid
    raise AssertionError(f"no process {name}")


def long_evaluation(client):
    model = conv2d((1, 40, 40, 16), 32, (3, 3), seed=4)
    x = np.random.default_rng(4).integers(-128, 128, (5, 40, 40, 16)).astype(np.int8)
    return client.submit_evaluation(model, board="nucleo-l4r5zi", inputs=write_npz(x), job=AFRESH)


def long_compilation(client):
    return client.submit_compile(e2e_models.two_mib_of_weights(), target="stm32h743", job=AFRESH)


def answer(client, job):
    match job.WhichOneof("result"):
        case "compile_result":
            return client.artifacts.get(job.compile_result.library)
        case "evaluation_result":
            result = job.evaluation_result
            assert result.twin_equal
            return client.artifacts.get(result.outputs), result.instructions, result.sram, result.flash
    raise AssertionError(job)


CASES = {
    "compiler-worker": long_compilation,
    "evaluator-worker": long_evaluation,
    "valkey": long_evaluation,
}


@pytest.mark.parametrize("victim", CASES)
def test_job_ends_once_with_the_right_answer(own_stack, own_client, victim):
    submit = CASES[victim]
    undisturbed = answer(own_client, own_client.jobs.wait(submit(own_client).name))
    name = submit(own_client).name
    events, killed_in = [], None
    for event in own_client.watch(name):
        events.append(event)
        if event.state == job_pb2.JOB_STATE_RUNNING and killed_in is None:
            if victim == "valkey":
                time.sleep(1.2)  # what was written is on disk after a second
            os.kill(pid_of(own_stack, victim), signal.SIGKILL)
            killed_in = own_client.get(name).state if victim != "valkey" else job_pb2.JOB_STATE_RUNNING
    job = own_client.get(name)
    assert killed_in == job_pb2.JOB_STATE_RUNNING
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED and not job.dead_lettered
    assert job.attempts == (1 if victim == "valkey" else 2)
    assert answer(own_client, job) == undisturbed
    assert [event.job.state in FINAL_STATES for event in events].count(True) == 1
    assert len({event.resume_token for event in events}) == len(events)
