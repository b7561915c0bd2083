"""What any gRPC client may expect: reflection and health from grpcio's own packages."""

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tinyfarm.v1 import (
    compile_pb2,
    compiler_pb2,
    compiler_pb2_grpc,
    error_pb2,
    evaluation_pb2,
    evaluator_pb2,
    evaluator_pb2_grpc,
    exploration_pb2,
    job_options_pb2,
    job_pb2,
    job_pb2_grpc,
    schedule_pb2,
    search_pb2,
    search_pb2_grpc,
    task_pb2,
)

SERVICES = {
    "tinyfarm.v1.SearchService": {"SubmitSearch", "GetFront"},
    "tinyfarm.v1.CompilerService": {"SubmitCompile", "Estimate", "SubmitQuantize", "ListSupportedOps"},
    "tinyfarm.v1.EvaluatorService": {"SubmitEvaluation", "ListBoards", "ListTargets"},
    "tinyfarm.v1.ArtifactService": {"Put", "Get", "Stat"},
    "tinyfarm.v1.JobService": {"GetJob", "ListJobs", "CancelJob", "WatchJob"},
}


@pytest.fixture(params=["search", "compiler", "evaluator"])
def channel(stack, request):
    with grpc.insecure_channel(stack.told["services"][request.param]) as channel:
        yield channel


def test_reflection_lists_every_service_with_its_methods(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    assert set(SERVICES) | {"grpc.health.v1.Health"} <= set(database.get_services())
    pool = DescriptorPool(database)
    for name, methods in SERVICES.items():
        assert {method.name for method in pool.FindServiceByName(name).methods} == methods


def test_health_answers_for_the_server_and_for_every_service(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", *SERVICES):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, service


def test_health_of_an_unknown_service_is_not_found(channel):
    with pytest.raises(grpc.RpcError) as caught:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=10)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def options(**fields):
    return compile_pb2.CompileOptions(**fields)


STREAMED_SOMEHOW = schedule_pb2.ScheduleRequest(kind=77)
# Method, request with an enum whose number has no name, and the field that is to blame.
UNKNOWN_NUMBERS = {
    "compile": (
        lambda channel: compiler_pb2_grpc.CompilerServiceStub(channel).SubmitCompile,
        compiler_pb2.SubmitCompileRequest(spec=compile_pb2.CompileSpec(target="rp2040", options=options(interface=77))),
        "spec.options.interface",
    ),
    "quantize": (
        lambda channel: compiler_pb2_grpc.CompilerServiceStub(channel).SubmitQuantize,
        compiler_pb2.SubmitQuantizeRequest(options=job_options_pb2.JobOptions(priority=77)),
        "options.priority",
    ),
    "estimate": (
        lambda channel: compiler_pb2_grpc.CompilerServiceStub(channel).Estimate,
        compiler_pb2.EstimateRequest(target="rp2040", options=options(schedule=STREAMED_SOMEHOW)),
        "options.schedule.kind",
    ),
    "evaluate": (
        lambda channel: evaluator_pb2_grpc.EvaluatorServiceStub(channel).SubmitEvaluation,
        evaluator_pb2.SubmitEvaluationRequest(
            spec=evaluation_pb2.EvaluationSpec(board="rp2040", options=options(kernels=77))
        ),
        "spec.options.kernels",
    ),
    "search": (
        lambda channel: search_pb2_grpc.SearchServiceStub(channel).SubmitSearch,
        search_pb2.SubmitSearchRequest(spec=exploration_pb2.SearchSpec(task=task_pb2.Task(kind=77))),
        "spec.task.kind",
    ),
    "list": (
        lambda channel: job_pb2_grpc.JobServiceStub(channel).ListJobs,
        job_pb2.ListJobsRequest(state=77),
        "state",
    ),
}


@pytest.mark.parametrize("case", UNKNOWN_NUMBERS)
def test_enum_number_of_a_newer_client_is_refused_not_taken_for_the_default(stack, case):
    method, request, field = UNKNOWN_NUMBERS[case]
    with grpc.insecure_channel(stack.server) as channel, pytest.raises(grpc.RpcError) as caught:
        method(channel)(request, timeout=30)
    error = error_pb2.Error.FromString(dict(caught.value.trailing_metadata())["tinyfarm-error-bin"])
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (error.reason, error.subject, error.value) == ("UNKNOWN_ENUM_VALUE", field, "77")
