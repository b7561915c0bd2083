"""The client against the shared stack."""

import concurrent.futures
import doctest
import hashlib
import os

import grpc
import jsonschema
import numpy as np
import pytest

import tinyfarm.client.client
from tests.e2e import e2e_models
from tinyfarm import Client
from tinyfarm.client import (
    Budgets,
    ConflictError,
    InvalidInputError,
    JobFailedError,
    NotFoundError,
    TinyfarmError,
    UnavailableError,
)
from tinyfarm.client.check import json_schema
from tinyfarm.v1 import compile_pb2, job_options_pb2, job_pb2, job_pb2_grpc

SLOW = job_options_pb2.JobOptions(ignore_cache=True)


def test_docstring_example(stack, monkeypatch):
    monkeypatch.setenv("TINYFARM_SERVER", stack.server)
    module = tinyfarm.client.client
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(module.Client, "Client", module, {"model": e2e_models.small(), "Budgets": Budgets})
    assert example.examples
    output = []
    failures = doctest.DocTestRunner().run(example, out=output.append)
    assert failures.failed == 0, "".join(output)


def test_artifacts_come_back_and_are_sent_once(client):
    content = np.random.default_rng(1).bytes(1_000_000)
    artifact = client.artifacts.put(content)
    assert artifact.sha256 == hashlib.sha256(content).hexdigest() and artifact.size_bytes == len(content)
    assert client.artifacts.put(content) == artifact
    assert client.artifacts.get(artifact) == content
    assert client.artifacts.get(artifact.sha256) == content
    assert client.artifacts.get(client.artifacts.put(b"")) == b""


def test_saved_artifact_appears_whole_or_not_at_all(client, tmp_path):
    artifact = client.artifacts.put(b"content")
    assert client.artifacts.save(artifact, tmp_path / "new" / "file").read_bytes() == b"content"
    with pytest.raises(NotFoundError):
        client.artifacts.save("0" * 64, tmp_path / "missing")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["file"]


def test_saved_artifact_goes_through_a_link_and_into_a_pipe_and_leaves_both_what_they_are(client, tmp_path):
    artifact = client.artifacts.put(b"content")
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(tmp_path / "file")
    client.artifacts.save(artifact, link)
    assert link.is_symlink() and (tmp_path / "file").read_bytes() == b"content"
    os.mkfifo(pipe)
    with concurrent.futures.ThreadPoolExecutor(1) as reader:
        read = reader.submit(pipe.read_bytes)
        client.artifacts.save(artifact, pipe)
        assert read.result(30) == b"content" and pipe.is_fifo()


def test_projects_do_not_see_each_others_artifacts_and_jobs(stack, client):
    artifact = client.artifacts.put(b"of the default project")
    job = client.submit_compile(e2e_models.small(), target="nano33ble")
    with Client(stack.server, project="other") as other:
        with pytest.raises(NotFoundError):
            other.artifacts.get(artifact.sha256)
        with pytest.raises(NotFoundError):
            other.get(job.name.rsplit("/", 1)[-1])
        assert job.name not in [listed.name for listed in other.jobs.list()]


def test_run_gives_the_outputs_of_every_sample(client):
    x = np.random.default_rng(2).integers(-128, 128, (3, 8, 8, 3)).astype(np.int8)
    done = client.run(e2e_models.small(), x, board="nano33ble", name="small")
    (output,) = done.outputs.values()
    assert output.shape == (3, 6, 6, 4) and output.dtype == np.int8
    assert done.evaluation.twin_equal and done.evaluation.model_name == "small"
    alone = client.run(e2e_models.small(), x[1:2], board="nano33ble")
    assert np.array_equal(next(iter(alone.outputs.values())), output[1:2])


def test_check_document_holds_to_its_schema_and_is_cached_the_second_time(client):
    arguments = {"board": "rp2040", "name": "cached once", "budgets": Budgets(sram_bytes=10**6)}
    first = client.check(e2e_models.small(), **arguments)
    again = client.check(e2e_models.small(), **arguments)
    for report in (first, again):
        jsonschema.validate(report.document, json_schema())
    assert first.passed and not first.document["cached"] and again.document["cached"]
    assert {**again.document, "cached": False} == first.document
    assert client.check(e2e_models.small(), board="rp2040", budgets=Budgets(sram_bytes=10)).passed is False


def test_compile_gives_the_library_and_quantities_that_add_up(client):
    result = client.compile(e2e_models.small(), target="nano33ble", name="my model")
    assert result.name == "my_model" and result.fits
    sram = result.sram
    assert sram.arena == sram.input + sram.activations + sram.line_buffers + sram.scratch
    assert client.artifacts.get(result.library)[:2] == b"PK"


def test_same_request_id_is_one_job_and_another_payload_a_conflict(client):
    first = client.submit_compile(e2e_models.small(), target="nano33ble", request_id="e2e-1")
    assert client.submit_compile(e2e_models.small(), target="nano33ble", request_id="e2e-1").name == first.name
    with pytest.raises(ConflictError) as caught:
        client.submit_compile(e2e_models.small(), target="rp2040", request_id="e2e-1")
    assert caught.value.value == "e2e-1"


def test_errors_name_the_thing_its_value_and_what_is_allowed(client):
    with pytest.raises(NotFoundError) as unknown:
        client.check(e2e_models.small(), board="toaster")
    assert (unknown.value.subject, unknown.value.value) == ("board", "toaster") and "nano33ble" in unknown.value.allowed
    with pytest.raises(JobFailedError) as failed:
        client.compile(e2e_models.unsupported(), target="nano33ble")
    assert failed.value.job.state == job_pb2.JOB_STATE_FAILED and "COS" in failed.value.message
    with pytest.raises(InvalidInputError, match="cannot read"):
        client.compile("/no/such/file.tflite", target="nano33ble")


def test_unreachable_server_is_unavailable():
    with Client("127.0.0.1:1") as nobody, pytest.raises(UnavailableError, match="cannot be reached"):
        nobody.boards()


def test_server_of_something_else_is_named_with_what_it_said():
    other = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    said = f"server 127.0.0.1:{port} answered UNIMPLEMENTED: Method not found"
    try:
        with Client(f"127.0.0.1:{port}") as client, pytest.raises(TinyfarmError, match=said):
            client.boards()
    finally:
        other.stop(None)


def test_lists_hold_the_boards_targets_and_operators(client):
    assert {"nano33ble", "nucleo-l4r5zi", "stm32f746", "nucleo-u575zi", "rp2040"} <= {b.name for b in client.boards()}
    targets = {target.name: target for target in client.targets()}
    assert targets["nano33ble"].core == "cortex-m4" and targets["nano33ble"].sram_bytes == 256 * 1024
    assert {"Conv2D", "DepthwiseConv2D", "FullyConnected"} <= {op.name for op in client.supported_ops()}


def test_cancelling_a_finished_job_leaves_it_as_it_is(client):
    job = client.submit_compile(e2e_models.small(), target="nano33ble")
    done = client.jobs.wait(job.name)
    assert client.cancel(job.name) == client.get(job.name) == done


def submit_slow(client):
    """A job with many events: a large model measured afresh on many samples."""
    x = np.random.default_rng(3).integers(-128, 128, (40, 8, 8, 3)).astype(np.int8)
    from tinyfarm.client.arrays import write_npz

    return client.submit_evaluation(e2e_models.small(), board="nano33ble", inputs=write_npz(x), job=SLOW)


def test_watch_cut_after_every_event_shows_every_event_once(client):
    name = submit_slow(client).name
    whole = list(client.watch(name))
    assert len(whole) >= 3 and whole[-1].job.state == job_pb2.JOB_STATE_SUCCEEDED
    pieces, token = [], ""
    while True:
        for event in client.watch(name, token):
            pieces.append(event)
            token = event.resume_token
            break  # closes the stream
        if pieces[-1].HasField("job") and pieces[-1].job.state == job_pb2.JOB_STATE_SUCCEEDED:
            break
    assert [event.resume_token for event in pieces] == [event.resume_token for event in whole]
    assert len({event.resume_token for event in whole}) == len(whole)


def test_options_reach_the_compiler(client):
    options = compile_pb2.CompileOptions(interface=compile_pb2.INTERFACE_INT8)
    assert client.compile(e2e_models.small(), target="rp2040", options=options).interface == compile_pb2.INTERFACE_INT8


def test_plain_grpc_client_gets_the_error_in_the_trailing_metadata(stack):
    from tinyfarm.v1 import error_pb2

    with grpc.insecure_channel(stack.server) as channel, pytest.raises(grpc.RpcError) as caught:
        job_pb2_grpc.JobServiceStub(channel).GetJob(job_pb2.GetJobRequest(name="projects/default/jobs/" + "0" * 32))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    detail = dict(caught.value.trailing_metadata())["tinyfarm-error-bin"]
    assert error_pb2.Error.FromString(detail).reason == "NO_SUCH_JOB"
