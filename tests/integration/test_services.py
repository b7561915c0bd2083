"""The compiler and the evaluator through gRPC and the queue, also while their processes are killed."""

from __future__ import annotations

import concurrent.futures
import io
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.integration.farm_stack import SHARED, FarmCaller, FarmStack
from tests.integration.plumbing_stack import FINAL, kill, running, until
from tinyfarm.v1 import (
    artifact_pb2,
    compile_pb2,
    compiler_pb2,
    error_pb2,
    evaluation_pb2,
    evaluator_pb2,
    job_options_pb2,
    job_pb2,
    search_pb2,
)

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the models of ../shared, which users do not have")
MODEL, BOARD = "kws_ref_model", "nucleo-l4r5zi"
NOT_CACHED = job_options_pb2.JobOptions(ignore_cache=True)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarmStack]:
    with running(FarmStack(tmp_path_factory.mktemp("farm"), TINYFARM_LEASE_S="4")) as stack:
        assert isinstance(stack, FarmStack)
        stack.start_valkey()
        for service in ("compiler", "evaluator"):
            stack.start_server_of(service)
        yield stack


@pytest.fixture(scope="module")
def caller(stack: FarmStack) -> FarmCaller:
    # One address for all: the evaluator's server passes on what the compiler hosts.
    return FarmCaller(stack.addresses["evaluator"])


@pytest.fixture
def workers(stack: FarmStack) -> Iterator[dict[str, object]]:
    processes = {service: stack.start_worker_of(service) for service in ("compiler", "evaluator")}
    yield processes
    for process in processes.values():
        process.terminate()
    for process in processes.values():
        process.wait(30)


def submit_compile(caller: FarmCaller, model: str = MODEL) -> job_pb2.Job:
    artifact = caller.put((SHARED / "models" / f"{model}.tflite").read_bytes())
    spec = compile_pb2.CompileSpec(model=artifact, model_name=model, target=BOARD)
    request = compiler_pb2.SubmitCompileRequest(request_id=uuid4().hex, spec=spec, options=NOT_CACHED)
    return caller.compiler.SubmitCompile(request, timeout=60).job


def submit_run(caller: FarmCaller) -> job_pb2.Job:
    """Run the golden inputs on the board."""
    golden = np.load(SHARED / "golden" / f"{MODEL}.npz")
    buffer = io.BytesIO()
    np.savez(buffer, x=golden["input"])
    spec = evaluation_pb2.EvaluationSpec(
        model=caller.put((SHARED / "models" / f"{MODEL}.tflite").read_bytes()),
        model_name=MODEL,
        board=BOARD,
        inputs=caller.put(buffer.getvalue()),
    )
    request = evaluator_pb2.SubmitEvaluationRequest(request_id=uuid4().hex, spec=spec, options=NOT_CACHED)
    return caller.evaluator.SubmitEvaluation(request, timeout=60).job


def wait_for(caller: FarmCaller, name: str, condition: Callable[[job_pb2.Job], bool]) -> job_pb2.Job:
    until(lambda: condition(get(caller, name)), 120)
    return get(caller, name)


def get(caller: FarmCaller, name: str) -> job_pb2.Job:
    return caller.jobs.GetJob(job_pb2.GetJobRequest(name=name), timeout=60).job


def ended(job: job_pb2.Job) -> bool:
    return job.state in FINAL


def on_board(job: job_pb2.Job) -> bool:
    assert not ended(job), job.error
    return "on nucleo" in job.progress.text


def assert_golden(caller: FarmCaller, job: job_pb2.Job) -> None:
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED, job.error
    result = job.evaluation_result
    assert result.twin_equal
    outputs = np.load(io.BytesIO(caller.bytes_of(result.outputs)))
    expected = np.load(SHARED / "golden" / f"{MODEL}.npz")["output"]
    np.testing.assert_array_equal(outputs[outputs.files[0]].reshape(expected.shape), expected)


def assert_ended_once(caller: FarmCaller, job: job_pb2.Job) -> None:
    events = [a.event for a in caller.jobs.WatchJob(job_pb2.WatchJobRequest(name=job.name), timeout=60)]
    assert [e.state for e in events if e.kind == job_pb2.JOB_EVENT_KIND_STATE].count(job.state) == 1
    assert [e.resume_token for e in events] == [f"{n}-0" for n in range(1, len(events) + 1)]


@pytest.mark.usefixtures("workers")
def test_model_runs_bit_for_bit_through_every_service(caller: FarmCaller) -> None:
    job = wait_for(caller, submit_run(caller).name, ended)
    assert_golden(caller, job)
    result = job.evaluation_result
    sram, flash = result.sram, result.flash
    assert sram.input + sram.activations + sram.line_buffers + sram.scratch == sram.arena
    assert sram.arena + sram.static + sram.stack == sram.total
    assert flash.code + flash.weights + flash.tables == flash.total
    assert sum(layer.instructions for layer in result.layers) <= result.instructions.value
    assert result.samples_on_board == 8


def test_killed_compile_worker(stack: FarmStack, caller: FarmCaller) -> None:
    worker = stack.start_worker_of("compiler")
    job = submit_compile(caller, "mcunet_vww1")
    wait_for(caller, job.name, lambda j: j.state == job_pb2.JOB_STATE_RUNNING)
    kill(worker)
    assert get(caller, job.name).state == job_pb2.JOB_STATE_RUNNING
    worker = stack.start_worker_of("compiler")
    done = wait_for(caller, job.name, ended)
    again = wait_for(caller, submit_compile(caller, "mcunet_vww1").name, ended)
    worker.terminate()
    assert (done.state, done.attempts) == (job_pb2.JOB_STATE_SUCCEEDED, 2)
    assert done.compile_result.library == again.compile_result.library
    assert_ended_once(caller, done)


def test_killed_board_worker(stack: FarmStack, caller: FarmCaller) -> None:
    compiler, board = stack.start_worker_of("compiler"), stack.start_worker_of("evaluator")
    job = submit_run(caller)
    wait_for(caller, job.name, on_board)
    kill(board)
    board = stack.start_worker_of("evaluator")
    done = wait_for(caller, job.name, ended)
    for worker in (compiler, board):
        worker.terminate()
    assert_golden(caller, done)
    assert done.attempts == 2
    assert_ended_once(caller, done)


@pytest.mark.usefixtures("workers")
def test_killed_valkey(stack: FarmStack, caller: FarmCaller) -> None:
    job = submit_run(caller)
    wait_for(caller, job.name, on_board)
    stack.kill_valkey()
    time.sleep(0.5)
    stack.start_valkey()
    done = wait_for(caller, job.name, ended)
    assert_golden(caller, done)
    assert_ended_once(caller, done)


def test_health_answers_while_estimates_saturate_the_server(caller: FarmCaller, workers: object) -> None:
    network = wait_for(caller, submit_compile(caller).name, ended).compile_result.network
    request = compiler_pb2.EstimateRequest(networks=[network] * 400, target=BOARD)
    health = health_pb2_grpc.HealthStub(caller.channel)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        batches = [pool.submit(caller.compiler.Estimate, request, timeout=120) for _ in range(4)]
        checks = 0
        while not all(batch.done() for batch in batches):
            check = health_pb2.HealthCheckRequest(service="tinyfarm.v1.CompilerService")
            assert health.Check(check, timeout=30).status == health_pb2.HealthCheckResponse.SERVING
            checks += 1
        answers = [batch.result() for batch in batches]
    assert checks >= 3
    assert {len(a.estimates) for a in answers} == {400}


def test_estimate_tells_the_memory_of_the_compiled_network(caller: FarmCaller, workers: object) -> None:
    compiled = wait_for(caller, submit_compile(caller).name, ended).compile_result
    broken = type(compiled.network)(name="broken")
    broken.CopyFrom(compiled.network)
    broken.ops[0].inputs[0] = 10_000
    request = compiler_pb2.EstimateRequest(networks=[broken, compiled.network], target=BOARD)
    refused, estimate = caller.compiler.Estimate(request, timeout=60).estimates
    assert refused.error.code == error_pb2.ERROR_CODE_INVALID_ARGUMENT
    assert estimate.sram == compiled.sram
    assert (estimate.flash.weights, estimate.flash.tables) == (compiled.flash.weights, compiled.flash.tables)
    assert estimate.macs == compiled.macs


@pytest.mark.parametrize(
    ("spec", "code", "subject"),
    [
        ({"board": "no-such-board"}, grpc.StatusCode.NOT_FOUND, "board"),
        ({"model": None}, grpc.StatusCode.INVALID_ARGUMENT, "spec.subject"),
        ({"model": artifact_pb2.Artifact(sha256="0" * 64)}, grpc.StatusCode.NOT_FOUND, "artifact"),
        ({"model": artifact_pb2.Artifact(name="/etc/passwd")}, grpc.StatusCode.INVALID_ARGUMENT, "name"),
    ],
)
def test_bad_evaluation_is_refused_at_once(
    caller: FarmCaller, spec: dict[str, object], code: grpc.StatusCode, subject: str
) -> None:
    fields = {"board": BOARD, "model": caller.put(b"not a model"), **spec}
    with pytest.raises(grpc.RpcError) as caught:
        request = evaluator_pb2.SubmitEvaluationRequest(spec=evaluation_pb2.EvaluationSpec(**fields))
        caller.evaluator.SubmitEvaluation(request, timeout=60)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == code
    trailing = dict(caught.value.trailing_metadata() or ())
    assert error_pb2.Error.FromString(trailing["tinyfarm-error-bin"]).subject == subject


@pytest.mark.usefixtures("workers")
def test_bad_model_fails_its_job_with_the_compilers_error(caller: FarmCaller) -> None:
    truncated = (SHARED / "models" / f"{MODEL}.tflite").read_bytes()[:3000]
    spec = evaluation_pb2.EvaluationSpec(model=caller.put(truncated), board=BOARD, model_name="bad")
    job = caller.evaluator.SubmitEvaluation(evaluator_pb2.SubmitEvaluationRequest(spec=spec), timeout=60).job
    done = wait_for(caller, job.name, ended)
    assert (done.state, done.error.reason) == (job_pb2.JOB_STATE_FAILED, "INVALID_MODEL")


def test_every_server_lists_boards_targets_and_operators(stack: FarmStack) -> None:
    for service in ("compiler", "evaluator"):
        caller = FarmCaller(stack.addresses[service])
        boards = caller.evaluator.ListBoards(evaluator_pb2.ListBoardsRequest(), timeout=30).boards
        targets = caller.evaluator.ListTargets(evaluator_pb2.ListTargetsRequest(), timeout=30).targets
        ops = caller.compiler.ListSupportedOps(compiler_pb2.ListSupportedOpsRequest(), timeout=30).ops
        assert {b.target for b in boards} <= {t.name for t in targets}
        assert "Conv2D" in {op.name for op in ops}


def test_service_that_is_down_is_unavailable_and_not_serving(caller: FarmCaller) -> None:
    status = health_pb2_grpc.HealthStub(caller.channel).Check(
        health_pb2.HealthCheckRequest(service="tinyfarm.v1.SearchService"), timeout=10
    )
    assert status.status == health_pb2.HealthCheckResponse.NOT_SERVING
    with pytest.raises(grpc.RpcError) as caught:
        caller.search.GetFront(search_pb2.GetFrontRequest(job="projects/default/jobs/" + "0" * 32), timeout=10)
    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_reflection_describes_every_message(caller: FarmCaller) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(caller.channel)
    symbols = [f"tinyfarm.v1.{name}Service" for name in ("Search", "Compiler", "Evaluator", "Artifact", "Job")]
    requests = iter([reflection_pb2.ServerReflectionRequest(file_containing_symbol=s) for s in symbols])
    answers = list(stub.ServerReflectionInfo(requests, timeout=10))
    assert all(answer.file_descriptor_response.file_descriptor_proto for answer in answers)
