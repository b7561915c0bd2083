"""Connections to Redis or Valkey from one URL; RESP2 is pinned, Sentinel is supported, Cluster is not."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from services.common.errors import InvalidArgumentError

_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel")
# About 20 s in all: longer than a supervised server takes to come back.
_RETRIES = 24
_OPTIONS: dict[str, Any] = {
    "protocol": 2,
    "health_check_interval": 15,
    "socket_connect_timeout": 5,
    "socket_timeout": 30,
}
_RETRY_ON: list[type[Exception]] = [RedisConnectionError, RedisTimeoutError]


def connect(url: str) -> redis.Redis:
    """Return a client that retries over a restart of the server; scripts it runs must bear being sent twice.

    Raises InvalidArgumentError for a URL of another scheme.
    """
    retry = Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), _RETRIES)
    options = {**_OPTIONS, "retry": retry, "retry_on_error": _RETRY_ON}
    if (sentinel := _sentinel(url)) is not None:
        hosts, master, db = sentinel
        return redis.sentinel.Sentinel(hosts).master_for(master, db=db, **options)  # type: ignore[no-any-return, no-untyped-call]
    return redis.Redis.from_url(url, **options)


def connect_async(url: str) -> redis.asyncio.Redis:
    """Return an asyncio client of the same server, for reads that wait."""
    retry = AsyncRetry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), _RETRIES)
    options = {**_OPTIONS, "retry": retry, "retry_on_error": _RETRY_ON}
    if (sentinel := _sentinel(url)) is not None:
        hosts, master, db = sentinel
        return redis.asyncio.sentinel.Sentinel(hosts).master_for(master, db=db, **options)  # type: ignore[no-any-return, no-untyped-call]
    return redis.asyncio.Redis.from_url(url, **options)


def _sentinel(url: str) -> tuple[list[tuple[str, int]], str, int] | None:
    """Parse redis+sentinel://host:26379,host2:26379/mymaster/0; None for a plain server."""
    scheme = urlsplit(url).scheme
    if scheme not in _SCHEMES:
        raise InvalidArgumentError(
            f"Redis URL {url!r} has scheme {scheme!r}: must be one of {', '.join(_SCHEMES)}",
            reason="BAD_REDIS_URL",
            subject="TINYFARM_REDIS_URL",
            value=url,
            allowed=", ".join(_SCHEMES),
        )
    if scheme != "redis+sentinel":
        return None
    parts = urlsplit(url)
    master, _, db = unquote(parts.path.strip("/")).partition("/")
    hosts = [
        (h.rpartition(":")[0] or h, int(h.rpartition(":")[2]) if ":" in h else 26379) for h in parts.netloc.split(",")
    ]
    return hosts, master or "mymaster", int(db or 0)
