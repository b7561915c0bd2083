"""Forwarding: a server answers for the services it does not host, so that any server is an address for all.

Messages are passed on as bytes; deadlines, metadata and cancellation go with them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from services.common.clients import CHANNEL_OPTIONS
from services.common.errors import UnavailableError

Context = grpc.aio.ServicerContext[Any, Any]
_HOPS = "tinyfarm-hops"
_OF_THE_HOP = ("grpc-", ":", "user-agent")
_HEALTH_DEADLINE_S = 2.0


class Forwarder(grpc.GenericRpcHandler):
    """Handles every method of the given services by calling the server at their address."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._channels = {
            service: grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
            for service, address in addresses.items()
        }
        self._addresses = dict(addresses)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return a handler that passes bytes on, or None for services that are not forwarded."""
        method = str(handler_call_details.method)
        service = method.lstrip("/").partition("/")[0]
        channel = self._channels.get(service)
        if channel is None:
            return None

        async def forward(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            metadata = tuple(context.invocation_metadata() or ())
            if any(key == _HOPS for key, _ in metadata):
                address = self._addresses[service]
                raise UnavailableError(
                    f"{service} is not hosted at {address}", reason="WRONG_ADDRESS", subject=service, value=address
                )
            passed: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(method)
            call = passed(
                requests,
                timeout=context.time_remaining(),
                metadata=(
                    *((key, value) for key, value in metadata if not key.startswith(_OF_THE_HOP)),
                    (_HOPS, "1"),
                ),
            )
            async for response in call:
                yield response

        return grpc.stream_stream_rpc_method_handler(forward)

    async def health(self, service: str) -> health_pb2.HealthCheckResponse:
        """Ask the server that hosts the service how it is."""
        check: grpc.aio.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]
        check = self._channels[service].unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            return await check(health_pb2.HealthCheckRequest(service=service), timeout=_HEALTH_DEADLINE_S)
        except grpc.aio.AioRpcError:
            return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)

    def hosts(self, service: str) -> bool:
        """Whether the service is forwarded."""
        return service in self._channels

    async def close(self) -> None:
        """Close the channels."""
        for channel in self._channels.values():
            await channel.close()


class ForwardingHealth(health_aio.HealthServicer):
    """Health of this server's own services, and of the forwarded ones at their own servers."""

    def __init__(self, forwarder: Forwarder) -> None:
        super().__init__()
        self._forwarder = forwarder

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> Any:  # noqa: N802
        """Answer SERVING or NOT_SERVING; NOT_FOUND for unknown services."""
        if self._forwarder.hosts(request.service):
            return await self._forwarder.health(request.service)
        return await super().Check(request, context)
