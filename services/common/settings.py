"""Settings of every process: read once, in __main__, from TINYFARM_* variables and command-line options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """Where the parts of a stack find each other, and the limits they keep.

    Every field is the environment variable TINYFARM_<FIELD IN CAPITALS>.
    """

    model_config = SettingsConfigDict(env_prefix="TINYFARM_", frozen=True, extra="ignore")

    # Queue and records: redis://, unix:// or redis+sentinel://HOST:PORT,.../MASTER/DB. Redis Cluster is not supported.
    redis_url: str = "redis://127.0.0.1:6379/0"
    # file:///FOLDER or s3://BUCKET/PREFIX (credentials from the usual AWS_* variables).
    artifacts_url: str = "file:///var/lib/tinyfarm/artifacts"
    # Address of this process's gRPC server; port 0 picks a free one. Empty is the service's own port.
    listen: str = ""
    # HOST:PORT of the Prometheus endpoint of this process; port 0 picks a free one; empty is off.
    metrics: str = ""
    # Where the services answer; a server forwards what it does not host.
    search_address: str = "127.0.0.1:50051"
    compiler_address: str = "127.0.0.1:50052"
    evaluator_address: str = "127.0.0.1:50053"
    # Jobs a worker process runs at a time.
    slots: Annotated[int, Field(ge=1, le=256)] = 1
    # Queues of this worker, separated by commas; empty is all queues of its service.
    queues: Annotated[tuple[str, ...], NoDecode] = ()
    # Boards file of the evaluator; empty is one simulated board for each known target.
    boards: Path | None = None
    # Folder of what tools compile once: firmware harness, simulator, host twins.
    cache: Path = Path("~/.cache/tinyfarm")
    # Processes that compute estimates beside the compiler's server.
    estimate_processes: Annotated[int, Field(ge=1, le=256)] = 2

    lease_s: Seconds = 8.0
    heartbeat_s: Seconds = 1.0
    reap_interval_s: Seconds = 2.0
    max_attempts: Annotated[int, Field(ge=1)] = 3
    events_kept: Annotated[int, Field(ge=10)] = 2000
    records_kept_s: Seconds = 14 * 86_400.0
    compile_time_limit_s: Seconds = 600.0
    evaluate_time_limit_s: Seconds = 1800.0
    search_time_limit_s: Seconds = 86_400.0
    # How long a server lets calls finish, and a worker waits for slots, after SIGTERM.
    drain_s: Seconds = 10.0
    max_artifact_bytes: Annotated[int, Field(ge=1)] = 2 * 1024**3
    log_level: str = "INFO"

    @field_validator("queues", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value
