"""Content-addressed bytes: sent and fetched in chunks of 64 KiB, never sent twice."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Iterator
from pathlib import Path

from tinyfarm.client.channel import Connection
from tinyfarm.client.errors import InvalidInputError, NotFoundError, ServerFaultError, UnavailableError
from tinyfarm.v1 import artifact_pb2

CHUNK_BYTES = 64 * 1024
TRANSFER_TIMEOUT_S = 900.0
_DOWNLOAD_ATTEMPTS = 5


class Artifacts:
    """The artifacts of one project."""

    def __init__(self, connection: Connection, project: str) -> None:
        self._connection = connection
        self._project = project

    def put(self, content: bytes | Path | str) -> artifact_pb2.Artifact:
        """Store bytes or a file; nothing is sent where the project already holds them.

        Raises `InvalidInputError` where the file cannot be read.
        """
        if isinstance(content, bytes):
            return self._put(io.BytesIO(content))
        path = Path(content)
        try:
            with path.open("rb") as source:
                return self._put(source)
        except OSError as error:
            raise unreadable(path, error) from None

    def get(self, artifact: artifact_pb2.Artifact | str) -> bytes:
        """The bytes of an artifact, verified against its hash."""
        sink = io.BytesIO()
        self._get(artifact, sink)
        return sink.getvalue()

    def save(self, artifact: artifact_pb2.Artifact | str, path: Path) -> Path:
        """Write an artifact to a file, which appears only when it is whole.

        A link is followed; a device, as /dev/null, is written to and stays.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        place = path.resolve()
        if place.exists() and not place.is_file():
            with place.open("wb") as sink:
                self._get(artifact, sink)
            return path
        # A name of its own: two commands may write to one place, and the later one is to win.
        draft = place.with_name(f"{place.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with draft.open("wb") as sink:
                self._get(artifact, sink)
            draft.replace(place)
        finally:
            draft.unlink(missing_ok=True)
        return path

    def stat(self, name: str) -> artifact_pb2.Artifact:
        """Hash and size of an artifact; `NotFoundError` where the project does not hold it."""
        return self._connection.call(
            self._connection.artifacts.Stat, artifact_pb2.StatRequest(name=self._full(name))
        ).artifact

    def _full(self, name: str) -> str:
        return name if "/" in name else f"projects/{self._project}/artifacts/{name}"

    def _put(self, source: io.BufferedIOBase) -> artifact_pb2.Artifact:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
        source.seek(0)
        try:
            return self.stat(digest)
        except NotFoundError:
            pass
        answer = self._connection.send(
            self._connection.artifacts.Put, self._chunks(source, digest), timeout_s=TRANSFER_TIMEOUT_S
        )
        return answer.artifact

    def _chunks(self, source: io.BufferedIOBase, digest: str) -> Iterator[artifact_pb2.PutRequest]:
        yield artifact_pb2.PutRequest(project=self._project, sha256=digest)
        while chunk := source.read(CHUNK_BYTES):
            yield artifact_pb2.PutRequest(chunk=chunk)

    def _get(self, artifact: artifact_pb2.Artifact | str, sink: io.BufferedIOBase) -> None:
        name = self._full(artifact if isinstance(artifact, str) else artifact.name)
        digest, received = hashlib.sha256(), 0
        # grpc's policy covers the time before the first chunk; a stream broken later goes on from its offset here.
        for attempt in range(_DOWNLOAD_ATTEMPTS):
            request = artifact_pb2.GetRequest(name=name, offset_bytes=received)
            try:
                for answer in self._connection.receive(
                    self._connection.artifacts.Get, request, timeout_s=TRANSFER_TIMEOUT_S
                ):
                    sink.write(answer.chunk)
                    digest.update(answer.chunk)
                    received += len(answer.chunk)
                break
            except UnavailableError:
                if received == 0 or attempt == _DOWNLOAD_ATTEMPTS - 1:
                    raise
        if digest.hexdigest() != name.rsplit("/", 1)[-1]:
            raise ServerFaultError(
                f"artifact {name} arrived with hash {digest.hexdigest()}", reason="HASH_MISMATCH", subject=name
            )


def unreadable(path: Path, error: OSError) -> InvalidInputError:
    """The error for a file that the user named and that cannot be read."""
    return InvalidInputError(
        f"cannot read {str(path)!r}: {error.strerror or error}",
        reason="UNREADABLE_FILE",
        subject="file",
        value=str(path),
        allowed="a file that can be read",
        hint="check the path",
    )
