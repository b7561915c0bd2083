"""Content-addressed bytes in a local folder or an S3-compatible store; nothing is ever overwritten.

Keys are projects/{project}/artifacts/{sha256}. Checkpoints of running jobs, which are overwritten, live beside
them under projects/{project}/checkpoints/{job id}/{name}.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError as ObjectExistsError
from obstore.store import LocalStore, MemoryStore, S3Store

from services.common.errors import DataLossError, ExhaustedError, InvalidArgumentError, NotFoundError, OutOfRangeError

CHUNK_BYTES = 64 * 1024
_SPOOL_BYTES = 8 * 1024 * 1024
_NAME = re.compile(r"projects/(?P<project>[a-z0-9-]{1,63})/artifacts/(?P<sha256>[0-9a-f]{64})")

ObjectStore = LocalStore | MemoryStore | S3Store


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """Bytes of a project, known by their hash."""

    project: str
    sha256: str
    size_bytes: int

    @property
    def name(self) -> str:
        """The name clients use, which is also the key: projects/{project}/artifacts/{sha256}."""
        return artifact_name(self.project, self.sha256)


def artifact_name(project: str, sha256: str) -> str:
    """Return the name clients use."""
    return f"projects/{project}/artifacts/{sha256}"


def parse_artifact_name(name: str) -> tuple[str, str]:
    """Return (project, sha256); InvalidArgumentError where it is no name of an artifact."""
    if (match := _NAME.fullmatch(name)) is None:
        raise InvalidArgumentError(
            f"{name!r} is not the name of an artifact: must be projects/PROJECT/artifacts/SHA256",
            reason="BAD_ARTIFACT_NAME",
            subject="name",
            value=name,
            allowed="projects/PROJECT/artifacts/SHA256",
        )
    return match["project"], match["sha256"]


def open_object_store(url: str) -> ObjectStore:
    """Return the store of file:///FOLDER (made where missing), s3://BUCKET/PREFIX or memory://.

    Raises InvalidArgumentError for any other scheme.
    """
    parts = urlsplit(url)
    match parts.scheme:
        case "file":
            return LocalStore(prefix=Path(unquote(parts.path)), mkdir=True)
        case "s3":
            return S3Store(bucket=parts.netloc, prefix=parts.path.strip("/") or None, conditional_put="etag")
        case "memory":
            return MemoryStore()
        case _:
            raise InvalidArgumentError(
                f"artifacts URL {url!r} has scheme {parts.scheme!r}: must be file, s3 or memory",
                reason="BAD_ARTIFACTS_URL",
                subject="TINYFARM_ARTIFACTS_URL",
                value=url,
                allowed="file:///FOLDER, s3://BUCKET/PREFIX, memory://",
            )


class Spool:
    """Bytes on their way in: kept in memory up to 8 MiB, then on disk, hashed as they come."""

    def __init__(self, max_bytes: int) -> None:
        self._file = cast(IO[bytes], tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES))  # noqa: SIM115
        self._hash = hashlib.sha256()
        self._max_bytes = max_bytes
        self.size_bytes = 0

    def write(self, chunk: bytes) -> None:
        """Take a chunk; ExhaustedError where the artifact grows over the limit."""
        self.size_bytes += len(chunk)
        if self.size_bytes > self._max_bytes:
            raise ExhaustedError(
                f"the artifact is larger than {self._max_bytes} bytes",
                reason="ARTIFACT_TOO_LARGE",
                subject="artifact",
                value=self.size_bytes,
                allowed=f"at most {self._max_bytes} bytes",
            )
        self._hash.update(chunk)
        self._file.write(chunk)

    @property
    def sha256(self) -> str:
        """Hash of what was taken so far."""
        return self._hash.hexdigest()

    def rewind(self) -> IO[bytes]:
        """Return the bytes as a file at its start."""
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Drop the bytes."""
        self._file.close()


class ArtifactStore:
    """Artifacts of all projects; safe to use from several threads."""

    def __init__(self, store: ObjectStore, max_bytes: int = 2 * 1024**3) -> None:
        self._store = store
        self._max_bytes = max_bytes

    @classmethod
    def open(cls, url: str, max_bytes: int = 2 * 1024**3) -> ArtifactStore:
        """Return the store of an artifacts URL."""
        return cls(open_object_store(url), max_bytes)

    def spool(self) -> Spool:
        """Return an empty spool for `put`."""
        return Spool(self._max_bytes)

    def put(self, project: str, spool: Spool, expected_sha256: str = "") -> tuple[ArtifactRef, bool]:
        """Store a spool's bytes; also tells whether they were there before.

        Raises DataLossError where the hash is not the expected one.
        """
        if expected_sha256 and expected_sha256 != spool.sha256:
            raise DataLossError(
                f"the {spool.size_bytes} bytes received have sha256 {spool.sha256}, not {expected_sha256}",
                reason="HASH_MISMATCH",
                subject="sha256",
                value=spool.sha256,
                allowed=expected_sha256,
            )
        ref = ArtifactRef(project, spool.sha256, spool.size_bytes)
        try:
            # A put in one piece: only such a put can be create-only.
            obstore.put(self._store, ref.name, spool.rewind(), mode="create", use_multipart=False)
        except ObjectExistsError:
            return ref, True
        return ref, False

    def put_bytes(self, project: str, data: bytes) -> ArtifactRef:
        """Store bytes."""
        spool = self.spool()
        try:
            spool.write(data)
            return self.put(project, spool)[0]
        finally:
            spool.close()

    def stat(self, name: str) -> ArtifactRef:
        """Return what is known of an artifact; NotFoundError where the project does not hold it."""
        project, sha256 = parse_artifact_name(name)
        try:
            meta = obstore.head(self._store, name)
        except FileNotFoundError:
            raise _not_found(name) from None
        return ArtifactRef(project, sha256, meta["size"])

    def exists(self, name: str) -> bool:
        """Whether the project holds the artifact."""
        try:
            self.stat(name)
        except NotFoundError:
            return False
        return True

    def get_bytes(self, name: str) -> bytes:
        """Return the bytes; DataLossError where they no longer have their hash."""
        _, sha256 = parse_artifact_name(name)
        try:
            data = bytes(obstore.get(self._store, name).bytes())
        except FileNotFoundError:
            raise _not_found(name) from None
        if (found := hashlib.sha256(data).hexdigest()) != sha256:
            raise DataLossError(
                f"artifact {name} holds other bytes than were put there",
                reason="HASH_MISMATCH",
                subject="artifact",
                value=found,
                allowed=sha256,
            )
        return data

    async def stream(self, name: str, offset_bytes: int = 0) -> AsyncIterator[bytes]:
        """Yield the bytes from an offset in chunks of at most 64 KiB.

        Raises NotFoundError where there is no such artifact, OutOfRangeError for an offset beyond its end.
        """
        size_bytes = (await asyncio.to_thread(self.stat, name)).size_bytes
        if offset_bytes > size_bytes:
            raise OutOfRangeError(
                f"offset {offset_bytes} is beyond the {size_bytes} bytes of {name}",
                subject="offset_bytes",
                value=offset_bytes,
                allowed=f"0 to {size_bytes}",
            )
        if offset_bytes == size_bytes:
            return
        found = await obstore.get_async(self._store, name, options={"range": {"offset": offset_bytes}})
        async for part in found.stream(min_chunk_size=CHUNK_BYTES):
            for chunk in cut(bytes(part)):
                yield chunk

    def save_checkpoint(self, project: str, job_id: str, name: str, data: bytes) -> None:
        """Keep state of a running job for its next attempt, in place of what it saved under the name before."""
        obstore.put(self._store, f"{_checkpoints(project, job_id)}/{name}", data)

    def load_checkpoint(self, project: str, job_id: str, name: str) -> bytes | None:
        """Return the state an earlier attempt of the job saved under the name."""
        try:
            return bytes(obstore.get(self._store, f"{_checkpoints(project, job_id)}/{name}").bytes())
        except FileNotFoundError:
            return None

    def drop_checkpoints(self, project: str, job_id: str) -> None:
        """Forget the state of a job that has ended."""
        for batch in obstore.list(self._store, prefix=_checkpoints(project, job_id)):
            obstore.delete(self._store, [meta["path"] for meta in batch])


def cut(data: bytes) -> Iterator[bytes]:
    """Yield bytes in chunks of at most 64 KiB."""
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]


def _checkpoints(project: str, job_id: str) -> str:
    return f"projects/{project}/checkpoints/{job_id}"


def _not_found(name: str) -> NotFoundError:
    return NotFoundError(f"there is no artifact {name!r}", reason="NO_SUCH_ARTIFACT", subject="artifact", value=name)
