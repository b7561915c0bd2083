"""Jobs on real processes and a real Valkey: every kill ends in one right result."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.integration.plumbing_stack import Caller, Stack, is_alive, kill, running, until
from tinyfarm.v1 import error_pb2, job_options_pb2, job_pb2

SLOW_ADD: dict[str, Any] = {"do": "add", "steps": 20, "step_s": 0.1}
SLOW_SUM = "190"


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that tests share and leave whole."""
    with running(Stack(tmp_path_factory.mktemp("calm"), TINYFARM_EVENTS_KEPT="50")) as stack:
        stack.start_valkey()
        stack.start_server()
        stack.start_worker("--slots", "2")
        yield stack


@pytest.fixture(scope="module")
def caller(calm: Stack) -> Caller:
    return Caller(calm.address)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack whose processes a test kills."""
    with running(Stack(tmp_path)) as stack:
        stack.start_valkey()
        stack.start_server()
        yield stack


def wait_running(caller: Caller, name: str) -> None:
    until(lambda: caller.get(name).progress.fraction > 0.1, 30)


def code_of(error: pytest.ExceptionInfo[grpc.RpcError]) -> grpc.StatusCode:
    assert isinstance(error.value, grpc.Call)
    return error.value.code()


def reason_of(error: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    assert isinstance(error.value, grpc.Call)
    trailing = dict(error.value.trailing_metadata() or ())
    return error_pb2.Error.FromString(trailing["tinyfarm-error-bin"]).reason


def test_killed_worker_costs_an_attempt_and_nothing_else(stack: Stack) -> None:
    first = stack.start_worker()
    caller = Caller(stack.address)
    job = caller.submit(SLOW_ADD)
    wait_running(caller, job.name)
    kill(first)
    stack.start_worker()
    done = caller.wait(job.name)
    assert (done.state, done.compile_result.name, done.attempts) == (job_pb2.JOB_STATE_SUCCEEDED, SLOW_SUM, 2)
    ends = [e for e in caller.watch(job.name) if e.state == job_pb2.JOB_STATE_SUCCEEDED]
    assert len(ends) == 1
    assert stack.run_count == 2


def test_killed_worker_takes_its_children_with_it(stack: Stack) -> None:
    worker = stack.start_worker()
    caller = Caller(stack.address)
    caller.submit({"do": "spawn and hang"})
    until(lambda: stack.run_count == 1, 20)
    child = int(stack.runs.read_text().split()[1])
    kill(worker)
    until(lambda: not is_alive(child), 10)


def test_killed_valkey_loses_no_job(stack: Stack) -> None:
    stack.start_worker()
    caller = Caller(stack.address)
    job = caller.submit(SLOW_ADD)
    waiting = caller.submit({"do": "add", "steps": 1, "step_s": 0})
    wait_running(caller, job.name)
    stack.kill_valkey()
    time.sleep(0.5)
    stack.start_valkey()
    done, after = caller.wait(job.name), caller.wait(waiting.name)
    assert (done.state, done.compile_result.name, done.attempts) == (job_pb2.JOB_STATE_SUCCEEDED, SLOW_SUM, 1)
    assert (after.state, after.compile_result.name) == (job_pb2.JOB_STATE_SUCCEEDED, "0")
    assert stack.run_count == 2
    numbers = [int(e.resume_token.split("-")[0]) for e in caller.watch(job.name)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_stopped_worker_hands_its_job_back_without_an_attempt(stack: Stack) -> None:
    first = stack.start_worker()
    caller = Caller(stack.address)
    job = caller.submit(SLOW_ADD)
    wait_running(caller, job.name)
    first.terminate()
    assert first.wait(20) == 0
    assert caller.get(job.name).state == job_pb2.JOB_STATE_QUEUED
    assert caller.get(job.name).attempts == 0
    stack.start_worker()
    done = caller.wait(job.name)
    assert (done.state, done.compile_result.name, done.attempts) == (job_pb2.JOB_STATE_SUCCEEDED, SLOW_SUM, 1)


def test_job_that_kills_its_worker_is_put_aside(stack: Stack) -> None:
    caller = Caller(stack.address)
    job = caller.submit({"do": "kill worker"})
    for _ in range(3):
        worker = stack.start_worker()
        worker.wait(30)
        assert worker.returncode == -signal.SIGKILL
    stack.start_worker()
    done = caller.wait(job.name)
    assert (done.state, done.dead_lettered, done.error.reason) == (job_pb2.JOB_STATE_FAILED, True, "DEAD_LETTER")
    assert stack.run_count == 3
    well = caller.wait(caller.submit({"do": "add", "steps": 3, "step_s": 0}).name)
    assert well.compile_result.name == "3"
    dead = caller.jobs.ListJobs(job_pb2.ListJobsRequest(dead_lettered_only=True)).jobs
    assert [j.name for j in dead] == [job.name]


def test_server_killed_mid_watch_is_resumed_without_loss(stack: Stack) -> None:
    server = stack.processes[0]
    stack.start_worker()
    caller = Caller(stack.address)
    job = caller.submit(SLOW_ADD)
    seen: list[str] = []
    with pytest.raises(grpc.RpcError):
        for event in caller.watch(job.name):
            seen.append(event.resume_token)
            if len(seen) == 4:
                kill(server)
    stack.start_server()
    again = Caller(stack.address)
    seen += [event.resume_token for event in again.watch(job.name, seen[-1])]
    assert seen == [f"{n}-0" for n in range(1, len(seen) + 1)]
    assert again.get(job.name).state == job_pb2.JOB_STATE_SUCCEEDED


def test_cut_watch_resumes_with_each_event_once(caller: Caller) -> None:
    job = caller.submit({"do": "add", "steps": 12, "step_s": 0.25})
    seen: list[str] = []
    last = None
    while last is None or not last.HasField("job"):
        for count, event in enumerate(caller.watch(job.name, seen[-1] if seen else "")):
            seen.append(event.resume_token)
            last = event
            if count == 2:
                break  # the call is dropped with its iterator
    assert seen == [f"{n}-0" for n in range(1, len(seen) + 1)]
    assert last.job.compile_result.name == "66"
    progress = [e.progress.text for e in caller.watch(job.name) if e.kind == job_pb2.JOB_EVENT_KIND_PROGRESS]
    assert progress == [f"step {n}" for n in range(1, 13)]


def test_token_older_than_the_kept_events_gets_a_snapshot(caller: Caller) -> None:
    job = caller.wait(caller.submit({"do": "chatter", "lines": 200}).name)
    answers = caller.watch(job.name, "3-0")
    snapshot = next(answers)
    assert snapshot.kind == job_pb2.JOB_EVENT_KIND_SNAPSHOT
    assert snapshot.job.compile_result.name == "said it all"
    with pytest.raises(grpc.RpcError) as caught:
        next(answers)
    assert code_of(caught) == grpc.StatusCode.OUT_OF_RANGE
    assert list(caller.watch(job.name, snapshot.resume_token)) == []


def test_bad_tokens_and_names_are_refused(caller: Caller) -> None:
    job = caller.wait(caller.submit({"do": "add", "steps": 1, "step_s": 0}).name)
    with pytest.raises(grpc.RpcError) as caught:
        list(caller.watch(job.name, "yesterday"))
    assert (code_of(caught), reason_of(caught)) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_RESUME_TOKEN")
    for name, code in {
        "jobs/7": grpc.StatusCode.INVALID_ARGUMENT,
        "projects/default/jobs/" + "0" * 32: grpc.StatusCode.NOT_FOUND,
        job.name.replace("default", "other"): grpc.StatusCode.NOT_FOUND,
    }.items():
        with pytest.raises(grpc.RpcError) as caught:
            caller.get(name)
        assert code_of(caught) == code


def test_cancel_kills_native_code_and_is_idempotent(calm: Stack, caller: Caller) -> None:
    before = calm.run_count
    job = caller.submit({"do": "hang"})
    until(lambda: calm.run_count == before + 1, 20)
    child = int(calm.runs.read_text().split()[-1])
    for _ in range(3):
        answer = caller.jobs.CancelJob(job_pb2.CancelJobRequest(name=job.name)).job
        assert answer.state == job_pb2.JOB_STATE_CANCELLED
    until(lambda: not is_alive(child), 10)
    assert [e.state for e in caller.watch(job.name)].count(job_pb2.JOB_STATE_CANCELLED) == 1
    assert caller.wait(caller.submit({"do": "add", "steps": 2, "step_s": 0}).name).compile_result.name == "1"


def test_cancel_reaches_the_jobs_that_a_job_asked_for(caller: Caller) -> None:
    parent = caller.submit({"do": "hang"})
    child = caller.submit({"do": "hang"}, metadata=(("tinyfarm-parent-job", parent.name),))
    caller.jobs.CancelJob(job_pb2.CancelJobRequest(name=parent.name))
    assert caller.get(child.name).state == job_pb2.JOB_STATE_CANCELLED
    late = caller.submit({"do": "hang"}, metadata=(("tinyfarm-parent-job", parent.name),))
    assert late.state == job_pb2.JOB_STATE_CANCELLED


def test_cancelling_a_finished_job_changes_nothing(caller: Caller) -> None:
    done = caller.wait(caller.submit({"do": "add", "steps": 2, "step_s": 0}).name)
    assert caller.jobs.CancelJob(job_pb2.CancelJobRequest(name=done.name)).job == done


def test_time_limit_kills_the_work(caller: Caller) -> None:
    done = caller.wait(caller.submit({"do": "hang"}, time_limit_ms=1000).name)
    assert (done.state, done.error.code) == (job_pb2.JOB_STATE_FAILED, error_pb2.ERROR_CODE_DEADLINE_EXCEEDED)
    assert "1 s" in done.error.message


def test_same_request_id_is_the_same_job(calm: Stack, caller: Caller) -> None:
    before = calm.run_count
    order = {"do": "add", "steps": 4, "step_s": 0.05}
    jobs = [caller.submit(order, request_id="once") for _ in range(5)]
    assert len({j.name for j in jobs}) == 1
    assert caller.wait(jobs[0].name).compile_result.name == "6"
    assert caller.submit(order, request_id="once").name == jobs[0].name
    assert calm.run_count == before + 1
    with pytest.raises(grpc.RpcError) as caught:
        caller.submit({"do": "add", "steps": 5, "step_s": 0.05}, request_id="once")
    assert (code_of(caught), reason_of(caught)) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    other = caller.submit(order, request_id="once", project="other")
    assert other.name.startswith("projects/other/jobs/")
    caller.wait(other.name)


def test_identical_work_is_done_once(calm: Stack, caller: Caller) -> None:
    before = calm.run_count
    order = {"do": "add", "steps": 5, "step_s": 0.1, "artifact": "library"}
    jobs = [caller.submit(order, shared=True) for _ in range(4)]
    done = [caller.wait(j.name) for j in jobs]
    late = caller.submit(order, shared=True)
    assert {j.compile_result.name for j in (*done, late)} == {"10"}
    assert sorted(j.cached for j in done) == [False, True, True, True]
    assert (late.state, late.cached) == (job_pb2.JOB_STATE_SUCCEEDED, True)
    assert calm.run_count == before + 1
    foreign = caller.wait(caller.submit(order, shared=True, project="other").name)
    fresh = caller.wait(caller.submit(order, shared=True, ignore_cache=True).name)
    assert (foreign.cached, fresh.cached) == (False, False)
    assert calm.run_count == before + 3


def test_known_result_whose_artifact_is_gone_is_computed_again(calm: Stack, caller: Caller) -> None:
    order = {"do": "add", "steps": 1, "step_s": 0, "artifact": "to be removed"}
    done = caller.wait(caller.submit(order, shared=True).name)
    (calm.folder / "artifacts" / done.compile_result.library.name).unlink()
    again = caller.wait(caller.submit(order, shared=True).name)
    assert not again.cached
    assert (calm.folder / "artifacts" / done.compile_result.library.name).read_text() == "to be removed"


def test_cancelled_leader_does_not_take_identical_work_with_it(calm: Stack, caller: Caller) -> None:
    order = {"do": "add", "steps": 30, "step_s": 0.05}
    leader, follower = (caller.submit(order, shared=True) for _ in range(2))
    wait_running(caller, leader.name)
    caller.jobs.CancelJob(job_pb2.CancelJobRequest(name=leader.name))
    done = caller.wait(follower.name)
    assert (done.state, done.compile_result.name, done.cached) == (job_pb2.JOB_STATE_SUCCEEDED, "435", False)


def test_failure_that_would_repeat_answers_identical_work(caller: Caller) -> None:
    blockers = [caller.submit({"do": "add", "steps": 5, "step_s": 0.1}) for _ in range(2)]
    jobs = [caller.submit({"do": "refuse"}, shared=True) for _ in range(3)]
    done = [caller.wait(j.name) for j in jobs]
    assert {j.error.reason for j in done} == {"UNSUPPORTED_OPERATOR"}
    assert sorted(j.attempts for j in done) == [0, 0, 1]
    assert all(caller.wait(j.name).state == job_pb2.JOB_STATE_SUCCEEDED for j in blockers)


def test_child_that_dies_is_replaced_and_the_job_put_aside(calm: Stack, caller: Caller) -> None:
    before = calm.run_count
    done = caller.wait(caller.submit({"do": "die"}).name)
    assert (done.state, done.dead_lettered, done.attempts) == (job_pb2.JOB_STATE_FAILED, True, 3)
    assert calm.run_count == before + 3


def test_checkpoints_let_a_crashing_job_go_on(caller: Caller) -> None:
    done = caller.wait(caller.submit({"do": "crash between checkpoints", "times": 6}).name)
    assert (done.state, done.compile_result.name, done.attempts) == (job_pb2.JOB_STATE_SUCCEEDED, "6", 7)


def test_bug_is_told_without_a_traceback(caller: Caller) -> None:
    done = caller.wait(caller.submit({"do": "bug"}).name)
    assert (done.error.code, done.error.reason) == (error_pb2.ERROR_CODE_INTERNAL, "BUG")
    assert "ZeroDivisionError" in done.error.message
    assert "Traceback" not in done.error.message


def test_high_priority_is_served_first(caller: Caller) -> None:
    blockers = [caller.submit({"do": "add", "steps": 8, "step_s": 0.1}) for _ in range(2)]
    for job in blockers:
        wait_running(caller, job.name)
    normal = [caller.submit({"do": "add", "steps": 2, "step_s": 0.1}) for _ in range(6)]
    urgent = caller.submit({"do": "add", "steps": 2, "step_s": 0.1}, priority=job_options_pb2.JOB_PRIORITY_HIGH)
    done = caller.wait(urgent.name)
    assert done.queue == "compile.high"
    starts = [caller.wait(j.name).start_time.ToMilliseconds() for j in normal]
    assert sum(s < done.start_time.ToMilliseconds() for s in starts) <= 1


def test_lost_message_is_sent_again(calm: Stack, caller: Caller) -> None:
    import redis

    client = redis.Redis(port=calm.valkey_port, protocol=2)
    blockers = [caller.submit({"do": "add", "steps": 10, "step_s": 0.1}) for _ in range(2)]
    for job in blockers:
        wait_running(caller, job.name)
    job = caller.submit({"do": "add", "steps": 3, "step_s": 0})
    assert client.delete("tinyfarm-queue:compile") == 1
    message = client.hget(f"tinyfarm:job:{job.name.rsplit('/', 1)[1]}", "message_id")
    assert message is not None
    assert client.hdel("tinyfarm-queue:compile.msgs", message) == 1
    client.close()
    assert caller.wait(job.name).compile_result.name == "3"


def test_jobs_are_listed_newest_first_in_pages(caller: Caller) -> None:
    names = [caller.submit({"do": "add", "steps": 1, "step_s": 0}, project="paged").name for _ in range(5)]
    first = caller.jobs.ListJobs(job_pb2.ListJobsRequest(project="paged", page_size=3))
    rest = caller.jobs.ListJobs(job_pb2.ListJobsRequest(project="paged", page_size=3, page_token=first.next_page_token))
    listed = [j.name for j in (*first.jobs, *rest.jobs)]
    assert sorted(listed) == sorted(names)
    times = [j.create_time.ToMilliseconds() for j in (*first.jobs, *rest.jobs)]
    assert times == sorted(times, reverse=True)


def test_health_and_reflection_answer_plain_grpc(calm: Stack) -> None:
    with grpc.insecure_channel(calm.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        for service in ("", "tinyfarm.v1.CompilerService", "tinyfarm.v1.JobService", "tinyfarm.v1.ArtifactService"):
            assert health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status == serving
        # Nobody listens at the search service's usual port here, or somebody else does: it is asked, not assumed.
        with pytest.raises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service="tinyfarm.v1.NoService"), timeout=10)
        assert code_of(caught) == grpc.StatusCode.NOT_FOUND
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        (answer,) = stub.ServerReflectionInfo(requests, timeout=10)
        names = {service.name for service in answer.list_services_response.service}
    ours = {f"tinyfarm.v1.{name}Service" for name in ("Search", "Compiler", "Evaluator", "Artifact", "Job")}
    assert names >= ours


def test_metrics_tell_of_calls_and_jobs(calm: Stack, caller: Caller) -> None:
    caller.wait(caller.submit({"do": "add", "steps": 1, "step_s": 0}).name)
    with urllib.request.urlopen(f"http://{calm.metrics}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert 'tinyfarm_rpcs_total{code="OK",method="SubmitCompile",service="tinyfarm.v1.CompilerService"}' in text
    assert 'tinyfarm_jobs_submitted_total{cached="false",kind="compile"}' in text


def test_broken_settings_are_one_line_and_exit_2(tmp_path: Path) -> None:
    import subprocess
    import sys

    for variable, value in {"TINYFARM_SLOTS": "none", "TINYFARM_REDIS_URL": "http://x"}.items():
        done = subprocess.run(
            [sys.executable, "-m", "tests.integration.plumbing_service", "worker"],
            env={**os.environ, variable: value, "TINYFARM_ARTIFACTS_URL": f"file://{tmp_path}"},
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
            cwd=Path(__file__).parents[2],
        )
        assert done.returncode == 2
        assert variable in done.stderr or value in done.stderr
        assert "Traceback" not in done.stderr
