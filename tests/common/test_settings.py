from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.common.errors import InvalidArgumentError
from services.common.metrics import Address
from services.common.redis_connection import connect
from services.common.settings import Settings


def test_settings_come_from_the_environment_and_cannot_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYFARM_SLOTS", "3")
    monkeypatch.setenv("TINYFARM_QUEUES", " compile, evaluate.rp2040.sim")
    settings = Settings()
    assert (settings.slots, settings.queues) == (3, ("compile", "evaluate.rp2040.sim"))
    with pytest.raises(ValidationError):
        settings.slots = 4


@pytest.mark.parametrize(("name", "value"), [("SLOTS", "0"), ("LEASE_S", "-1"), ("EVENTS_KEPT", "many")])
def test_bad_setting_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"TINYFARM_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize("text", ["", "host", "host:", ":80", "host:70000", "host:x"])
def test_address_must_be_host_and_port(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="HOST:PORT"):
        Address.parse(text)


def test_redis_cluster_and_other_schemes_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"redis\+cluster"):
        connect("redis+cluster://host")


def test_sentinel_is_asked_for_the_master() -> None:
    client = connect("redis+sentinel://one:26379,two/master/2")
    pool = client.connection_pool
    assert (pool.service_name, pool.connection_kwargs["db"]) == ("master", 2)
    hosts = [s.connection_pool.connection_kwargs["host"] for s in pool.sentinel_manager.sentinels]
    assert hosts == ["one", "two"]
