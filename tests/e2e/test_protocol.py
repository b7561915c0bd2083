"""What any gRPC client may expect: reflection and health from grpcio's own packages."""

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

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
