"""The one interceptor: errors become status codes, every call is counted and has a deadline."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
import grpc.aio
import redis

from services.common.clients import ERROR_KEY
from services.common.convert import error_to_proto
from services.common.errors import DeadlineError, FarmError, InternalError, UnavailableError
from services.common.metrics import ProcessMetrics

log = logging.getLogger(__name__)


# A call without a deadline would hold its resources for ever; streams last as long as somebody reads them.
_DEFAULT_DEADLINE_S = 300.0
_STATUS = {code.value[0]: code for code in grpc.StatusCode}

Context = grpc.aio.ServicerContext[Any, Any]


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every method of every service of a server."""

    def __init__(self, metrics: ProcessMetrics) -> None:
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the method's handler, wrapped."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        service, _, method = str(handler_call_details.method).lstrip("/").partition("/")
        return self._wrap(handler, service, method)

    def _wrap(self, handler: Any, service: str, method: str) -> grpc.RpcMethodHandler[Any, Any]:
        if handler.response_streaming:
            inner = handler.stream_stream or handler.unary_stream

            async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
                with _Call(self._metrics, service, method) as call:
                    try:
                        async for response in inner(request, context):
                            yield response
                    except Exception as error:
                        await call.abort(error, context)

            make = (
                grpc.stream_stream_rpc_method_handler
                if handler.request_streaming
                else grpc.unary_stream_rpc_method_handler
            )
            return make(stream, handler.request_deserializer, handler.response_serializer)

        inner_unary = handler.stream_unary or handler.unary_unary

        async def unary(request: Any, context: Context) -> Any:
            with _Call(self._metrics, service, method) as call:
                try:
                    return await asyncio.wait_for(inner_unary(request, context), _deadline_s(context))
                except Exception as error:
                    await call.abort(error, context)

        make = (
            grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
        )
        return make(unary, handler.request_deserializer, handler.response_serializer)


class _Call:
    """Counts one call and maps its error."""

    def __init__(self, metrics: ProcessMetrics, service: str, method: str) -> None:
        self._metrics = metrics
        self._service = service
        self._method = method
        self._code = "CANCELLED"

    def __enter__(self) -> _Call:
        self._started = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self._code = "OK"
        self._metrics.rpcs.labels(self._service, self._method, self._code).inc()
        self._metrics.rpc_seconds.labels(self._service, self._method).observe(time.monotonic() - self._started)

    async def abort(self, error: Exception, context: Context) -> NoReturn:
        """End the call with the error's status code."""
        if isinstance(error, grpc.aio.AbortError):
            self._code = context.code().name if context.code() else "UNKNOWN"
            raise error
        if isinstance(error, grpc.aio.AioRpcError):
            # From another service, which has said it all.
            self._code = error.code().name
            await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))
        told = _as_farm_error(error, f"{self._service}/{self._method}")
        self._code = told.code.name
        metadata = ((ERROR_KEY, error_to_proto(told).SerializeToString()),)
        await context.abort(_STATUS[told.code.value], told.message, metadata)


def _deadline_s(context: Context) -> float:
    remaining = context.time_remaining()
    return _DEFAULT_DEADLINE_S if remaining is None else min(remaining, 365 * 86_400.0)


def _as_farm_error(error: Exception, method: str) -> FarmError:
    match error:
        case FarmError():
            return error
        case TimeoutError():
            return DeadlineError(f"{method} did not end before its deadline", subject=method)
        case redis.ConnectionError() | redis.TimeoutError():
            log.warning("%s: Redis does not answer: %s", method, error)
            return UnavailableError("Redis does not answer", reason="REDIS_UNAVAILABLE", subject="redis")
        case _:
            log.exception("%s hit a bug", method, exc_info=error)
            return InternalError(f"{method} hit a bug: {type(error).__name__}", reason="BUG", subject=method)
