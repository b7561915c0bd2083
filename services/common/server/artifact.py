"""ArtifactService: bytes in and out in small chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from services.common.artifacts import CHUNK_BYTES, ArtifactStore
from services.common.convert import artifact_to_proto
from services.common.errors import InvalidArgumentError
from services.common.jobs.record import parse_project
from tinyfarm.v1 import artifact_pb2, artifact_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class ArtifactServicer(artifact_pb2_grpc.ArtifactServiceServicer):
    """Serves an ArtifactStore."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    async def Put(  # noqa: N802
        self, request_iterator: AsyncIterator[artifact_pb2.PutRequest], context: Context
    ) -> artifact_pb2.PutResponse:
        """Store what the stream brings; the hash is checked before anything is kept."""
        project, expected = "", ""
        spool = self._store.spool()
        try:
            first = True
            async for request in request_iterator:
                if first:
                    project, expected, first = parse_project(request.project), request.sha256, False
                if len(request.chunk) > CHUNK_BYTES:
                    raise InvalidArgumentError(
                        f"a chunk has {len(request.chunk)} bytes: at most {CHUNK_BYTES} are allowed",
                        reason="CHUNK_TOO_LARGE",
                        subject="chunk",
                        value=len(request.chunk),
                        allowed=f"at most {CHUNK_BYTES} bytes",
                    )
                spool.write(request.chunk)
            ref, existed = await asyncio.to_thread(self._store.put, parse_project(project), spool, expected)
        finally:
            spool.close()
        return artifact_pb2.PutResponse(artifact=artifact_to_proto(ref), existed=existed)

    async def Get(  # noqa: N802
        self, request: artifact_pb2.GetRequest, context: Context
    ) -> AsyncIterator[artifact_pb2.GetResponse]:
        """Stream an artifact from the offset."""
        ref = await asyncio.to_thread(self._store.stat, request.name)
        yield artifact_pb2.GetResponse(artifact=artifact_to_proto(ref))
        async for chunk in self._store.stream(request.name, request.offset_bytes):
            yield artifact_pb2.GetResponse(chunk=chunk)

    async def Stat(  # noqa: N802
        self, request: artifact_pb2.StatRequest, context: Context
    ) -> artifact_pb2.StatResponse:
        """Return the artifact's size."""
        ref = await asyncio.to_thread(self._store.stat, request.name)
        return artifact_pb2.StatResponse(artifact=artifact_to_proto(ref))
