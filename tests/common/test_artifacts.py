"""One contract for every kind of artifact store."""

from __future__ import annotations

import asyncio
import hashlib
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.common.artifacts import CHUNK_BYTES, ArtifactStore, parse_artifact_name
from services.common.errors import DataLossError, ExhaustedError, InvalidArgumentError, NotFoundError, OutOfRangeError

DATA = bytes(range(256)) * 1000


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """An S3 service of another maker on a loopback port; what is tested speaks HTTP with it."""
    server = pytest.importorskip("moto.server", reason="moto is not installed: pip install moto[s3] flask flask-cors")
    service = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    service.start()
    host, port = service.get_host_and_port()
    yield f"http://{host}:{port}"
    service.stop()


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty bucket; the store finds endpoint and credentials as in production, in AWS_* variables."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": s3_endpoint,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{uuid.uuid4().hex}"
    urllib.request.urlopen(urllib.request.Request(f"{s3_endpoint}/{name}", method="PUT"), timeout=60).close()
    return f"s3://{name}"


@pytest.fixture(params=["file", "memory", "s3", "s3 with a prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    match request.param:
        case "file":
            url = f"file://{tmp_path}/with space"
        case "memory":
            url = "memory://"
        case "s3":
            url = request.getfixturevalue("bucket")
        case _:
            url = request.getfixturevalue("bucket") + "/farm/of/mine"
    return ArtifactStore.open(url, 1 << 20)


def stream(store: ArtifactStore, name: str, offset_bytes: int = 0) -> list[bytes]:
    async def collect() -> list[bytes]:
        return [chunk async for chunk in store.stream(name, offset_bytes)]

    return asyncio.run(collect())


def test_bytes_come_back_under_their_hash(store: ArtifactStore) -> None:
    ref = store.put_bytes("default", DATA)
    assert ref.name == f"projects/default/artifacts/{hashlib.sha256(DATA).hexdigest()}"
    assert (store.stat(ref.name), store.get_bytes(ref.name)) == (ref, DATA)


def test_second_put_finds_the_first(store: ArtifactStore) -> None:
    answers = []
    for _ in range(2):
        spool = store.spool()
        spool.write(DATA[:1000])
        spool.write(DATA[1000:])
        answers.append(store.put("default", spool))
    assert [existed for _, existed in answers] == [False, True]
    assert answers[0][0] == answers[1][0]


def test_one_of_many_puts_at_the_same_time_is_the_first(store: ArtifactStore) -> None:
    def put(_: int) -> bool:
        spool = store.spool()
        spool.write(DATA)
        return store.put("default", spool)[1]

    with ThreadPoolExecutor(8) as pool:
        existed = list(pool.map(put, range(8)))
    assert existed.count(False) == 1


def test_wrong_hash_is_refused_and_not_stored(store: ArtifactStore) -> None:
    spool = store.spool()
    spool.write(DATA)
    with pytest.raises(DataLossError, match="not 0000"):
        store.put("default", spool, "0" * 64)
    assert not store.exists(f"projects/default/artifacts/{spool.sha256}")


def test_projects_do_not_see_each_other(store: ArtifactStore) -> None:
    name = store.put_bytes("one", DATA).name
    assert not store.exists(name.replace("one", "two"))
    with pytest.raises(NotFoundError):
        store.get_bytes(name.replace("one", "two"))


@pytest.mark.parametrize("offset", [0, 1, CHUNK_BYTES, len(DATA) - 1, len(DATA)])
def test_stream_goes_on_from_any_offset_in_small_chunks(store: ArtifactStore, offset: int) -> None:
    chunks = stream(store, store.put_bytes("default", DATA).name, offset)
    assert b"".join(chunks) == DATA[offset:]
    assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in chunks)


def test_offset_beyond_the_end_is_out_of_range(store: ArtifactStore) -> None:
    with pytest.raises(OutOfRangeError, match="beyond"):
        stream(store, store.put_bytes("default", DATA).name, len(DATA) + 1)


def test_empty_bytes_are_an_artifact(store: ArtifactStore) -> None:
    name = store.put_bytes("default", b"").name
    assert (store.get_bytes(name), stream(store, name)) == (b"", [])


def test_artifact_over_the_limit_is_refused(store: ArtifactStore) -> None:
    with pytest.raises(ExhaustedError, match="1048576"):
        store.put_bytes("default", bytes((1 << 20) + 1))


def test_checkpoints_are_replaced_and_dropped_by_job(store: ArtifactStore) -> None:
    for content in (b"first", b"second"):
        store.save_checkpoint("default", "a" * 32, "state", content)
    store.save_checkpoint("default", "b" * 32, "state", b"another job's")
    assert store.load_checkpoint("default", "a" * 32, "state") == b"second"
    assert store.load_checkpoint("default", "a" * 32, "nothing") is None
    store.drop_checkpoints("default", "a" * 32)
    store.drop_checkpoints("default", "a" * 32)
    assert store.load_checkpoint("default", "a" * 32, "state") is None
    assert store.load_checkpoint("default", "b" * 32, "state") == b"another job's"


def test_bytes_that_changed_on_disk_are_noticed(tmp_path: Path) -> None:
    store = ArtifactStore.open(f"file://{tmp_path}")
    name = store.put_bytes("default", DATA).name
    (tmp_path / name).write_bytes(b"rotten")
    with pytest.raises(DataLossError, match="other bytes"):
        store.get_bytes(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "artifacts/" + "0" * 64,
        "projects/../artifacts/" + "0" * 64,
        "projects/p/artifacts/" + "0" * 63,
        "projects/p/artifacts/" + "G" * 64,
        "projects/p/artifacts/" + "0" * 64 + "/../../x",
    ],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="projects/PROJECT/artifacts/SHA256"):
        parse_artifact_name(name)


def test_unknown_kind_of_store_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="'ftp'"):
        ArtifactStore.open("ftp://host/folder")
