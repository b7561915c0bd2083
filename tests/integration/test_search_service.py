"""A whole search through gRPC and the queue: trained, quantized, compiled and measured by the other services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.farm_stack import FarmCaller, FarmStack
from tests.integration.plumbing_stack import FINAL, running, until
from tinyfarm.v1 import compile_pb2, exploration_pb2, job_pb2, metric_pb2, search_pb2, task_pb2

SRAM_BYTES = 16 * 1024
TINY = exploration_pb2.SearchSpec(
    task=task_pb2.Task(
        kind=task_pb2.TASK_KIND_IMAGE_CLASSIFICATION,
        dataset=task_pb2.Dataset(builtin="mnist5k", max_samples=300),
    ),
    board="nano33ble",
    budgets=metric_pb2.Budgets(sram_bytes=SRAM_BYTES),
    space=exploration_pb2.SearchSpace(resolutions=[14, 20], width_multipliers=[0.5], depths=[1]),
    training=exploration_pb2.TrainingOptions(supernet_epochs=1, finetune_epochs=1),
    evolution=exploration_pb2.EvolutionOptions(population=2, iterations=1),
    finalists=1,
    seed=1,
)


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarmCaller]:
    with running(FarmStack(tmp_path_factory.mktemp("search"), TINYFARM_LEASE_S="8")) as stack:
        assert isinstance(stack, FarmStack)
        stack.start_valkey()
        for service in ("compiler", "evaluator", "search"):
            stack.start_server_of(service)
            stack.start_worker_of(service)
        yield FarmCaller(stack.addresses["compiler"])


def test_search_measures_what_it_predicted(caller: FarmCaller) -> None:
    job = caller.search.SubmitSearch(search_pb2.SubmitSearchRequest(spec=TINY), timeout=60).job

    def now() -> job_pb2.Job:
        return caller.jobs.GetJob(job_pb2.GetJobRequest(name=job.name), timeout=60).job

    until(lambda: now().state in FINAL, 400)
    done = now()
    assert done.state == job_pb2.JOB_STATE_SUCCEEDED, done.error
    (point,) = done.search_result.points
    predicted, compiled, measured = point.predicted, point.compiled_estimate, point.measured
    for part in ("input", "activations", "line_buffers", "scratch", "arena"):
        assert getattr(compiled.sram, part) == getattr(measured.sram, part)
    assert compiled.flash.total == pytest.approx(measured.flash.total, rel=0.02)
    # channels that training leaves constant are removed when the weights are known: less than predicted, never more
    assert 0 < measured.sram.arena <= predicted.sram.arena
    assert measured.macs <= predicted.macs
    assert 0 < measured.flash.total <= 1.02 * predicted.flash.total
    assert measured.kernels == compile_pb2.KERNELS_CORE
    assert measured.sram.total <= SRAM_BYTES
    assert measured.twin_equal
    assert point.accuracy.value == measured.accuracy.value
    assert done.search_result.winner == point.name
    assert caller.bytes_of(done.search_result.report).startswith(b"<!")
    assert caller.bytes_of(point.model)
    assert caller.bytes_of(point.library)[:2] == b"PK"
    front = caller.search.GetFront(search_pb2.GetFrontRequest(job=job.name), timeout=60)
    assert (list(front.points), front.complete) == ([point], True)
