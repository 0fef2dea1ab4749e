"""The server beside a real Redis that is not there, goes away and comes back, or is set up wrongly."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hardening.starting import refused_start
from ports import free_port
from redises import RedisProcess
from serving import Serve, Served

from extauthz.app.key_file import make_keys


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    """A Redis that is not running yet."""
    with RedisProcess(tmp_path / "redis", "--requirepass", "s3cret", port=free_port()) as made:
        yield made


@pytest.fixture
def settings(folder: Path, redis: RedisProcess) -> dict[str, str]:
    """What makes a server use it."""
    make_keys(folder / "keys.json", replace=False)
    return {"EXTAUTHZ_STORE": f"redis://:s3cret@127.0.0.1:{redis.port}"}


def until_ready(served: Served) -> float:
    began = time.monotonic()
    while served.probe("/ready").status_code != 200:
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_server_starts_without_its_redis_and_is_ready_when_that_is_there(
    serve: Serve, redis: RedisProcess, settings: dict[str, str]
) -> None:
    served = serve(**settings)
    waiting = served.probe("/ready")
    assert waiting.status_code == 503
    assert waiting.json()["store"]["reached"] is False
    assert "extauthz_store_up 0.0" in served.probe("/metrics").text
    assert served.allows("/one"), "what needs no state is decided as always"
    assert [line["event"] for line in served.heard if line["event"] == "store-unavailable"] == ["store-unavailable"]
    redis.start()
    until_ready(served)
    assert served.probe("/ready").json()["store"] == {"reached": True, "failing_since": None, "error": None}
    assert "extauthz_store_up 1.0" in served.probe("/metrics").text
    assert served.metric("extauthz_activity_waiting") == served.metric('extauthz_activity_total{result="failed"}') == 0
    assert "s3cret" not in str(served.heard) + served.probe("/ready").text + waiting.text


def test_a_server_whose_redis_goes_away_denies_what_needs_it_and_recovers_by_itself(
    serve: Serve, redis: RedisProcess, settings: dict[str, str]
) -> None:
    redis.start()
    served = serve(**settings)
    assert served.probe("/ready").status_code == 200
    redis.stop()
    served.next_event("store-unavailable")
    assert served.allows("/one")
    gone = served.probe("/ready")
    assert gone.status_code == 200, "taking out all servers at once would deny what needs no state"
    assert gone.json()["store"]["failing_since"] > 0
    assert gone.json()["store"]["reached"] is False
    redis.start()
    assert served.next_event("store-back")["seconds"] > 0
    assert served.probe("/ready").json()["store"]["error"] is None


def test_a_redis_that_may_forget_ends_the_start_with_what_to_do(
    folder: Path, redis: RedisProcess, settings: dict[str, str]
) -> None:
    redis.start()
    with redis.client("s3cret") as client:
        client.execute_command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    said = refused_start(folder, {**os.environ, **settings})
    assert f"store: redis://127.0.0.1:{redis.port}: its maxmemory-policy is `allkeys-lru`" in said
    assert "set `maxmemory-policy noeviction`" in said


def test_a_wrong_password_ends_the_start(folder: Path, redis: RedisProcess, settings: dict[str, str]) -> None:
    redis.start()
    said = refused_start(folder, {**os.environ, **settings, "EXTAUTHZ_STORE": f"redis://:wr0ng@127.0.0.1:{redis.port}"})
    assert "check user and password" in said
    assert "wr0ng" not in said


def test_servers_that_share_a_redis_make_no_keys_of_their_own(folder: Path, settings: dict[str, str]) -> None:
    (folder / "keys.json").unlink()
    said = refused_start(folder, {**os.environ, **settings})
    assert "keys.json: there are no keys; all servers on one Redis need the same" in said
    assert not (folder / "keys.json").exists()
