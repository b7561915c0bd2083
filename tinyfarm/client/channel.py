"""One gRPC channel with retries by gRPC's own policy, deadlines, and errors of the client's tree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypeVar

import grpc

from tinyfarm.client.errors import from_rpc
from tinyfarm.v1 import artifact_pb2_grpc, compiler_pb2_grpc, evaluator_pb2_grpc, job_pb2_grpc, search_pb2_grpc

Request = TypeVar("Request")
Response = TypeVar("Response")

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
CALL_TIMEOUT_S = 60.0
# Every submit carries a request id and artifacts are known by hash, so every call may be sent again.
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "3s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    # A put is sent again from this buffer.
    ("grpc.per_rpc_retry_buffer_size", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # A dead peer is found in half a minute also while a watch is silent.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


class Connection:
    """The channel to one server and the stubs on it; calls raise the errors of `tinyfarm.client.errors`."""

    def __init__(self, server: str) -> None:
        self.server = server
        self._channel = grpc.insecure_channel(server, options=_OPTIONS)
        self.search = search_pb2_grpc.SearchServiceStub(self._channel)
        self.compiler = compiler_pb2_grpc.CompilerServiceStub(self._channel)
        self.evaluator = evaluator_pb2_grpc.EvaluatorServiceStub(self._channel)
        self.artifacts = artifact_pb2_grpc.ArtifactServiceStub(self._channel)
        self.jobs = job_pb2_grpc.JobServiceStub(self._channel)

    def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        self._channel.close()

    def call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Response:
        """One answer to one request within the deadline."""
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise from_rpc(error, self.server) from None

    def send(
        self, method: grpc.StreamUnaryMultiCallable[Request, Response], requests: Iterator[Request], timeout_s: float
    ) -> Response:
        """One answer to a stream of requests within the deadline."""
        try:
            return method(requests, timeout=timeout_s)
        except grpc.RpcError as error:
            raise from_rpc(error, self.server) from None

    def receive(
        self, method: grpc.UnaryStreamMultiCallable[Request, Response], request: Request, timeout_s: float
    ) -> Iterator[Response]:
        """A stream of answers to one request; leaving the iteration cancels the call."""
        answers = method(request, timeout=timeout_s)
        try:
            yield from answers
        except grpc.RpcError as error:
            raise from_rpc(error, self.server) from None
        finally:
            answers.cancel()
