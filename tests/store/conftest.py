"""Every store that there is, for the one suite that they all pass."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from redises import RedisProcess, running_cluster
from store.one_loop import run, runner

from extauthz.store import redis_calls
from extauthz.store.open import open_store
from extauthz.store.protocol import Store

STORES = ("memory", "sqlite", "redis", "cluster")


@pytest.fixture(scope="session", autouse=True)
def _loop() -> Iterator[None]:
    yield
    runner.close()


@pytest.fixture(autouse=True)
def _patience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that runs tests is busy: only tests that say so hold a Redis to its deadline."""
    if request.node.get_closest_marker("in_time") is None:
        monkeypatch.setattr(redis_calls, "CALL_SECONDS", 20.0)


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """A Redis for all tests; who breaks one starts another."""
    with RedisProcess(tmp_path_factory.mktemp("redis")).start() as running:
        yield running


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisProcess]:
    """A Redis that a test may break; it keeps every write on disk."""
    with RedisProcess(tmp_path / "redis", "--appendonly", "yes", "--appendfsync", "always").start() as running:
        yield running


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[RedisProcess]]:
    """A cluster of three masters for all tests."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(params=STORES)
def address(request: pytest.FixtureRequest) -> str:
    """The address of each store, which is empty."""
    return empty_store(request)


def empty_store(request: pytest.FixtureRequest) -> str:
    """The address of an empty store of the kind that is the request's parameter."""
    if request.param == "memory":
        return "memory:"
    if request.param == "sqlite":
        return "sqlite:///state.db"
    if request.param == "redis":
        running: RedisProcess = request.getfixturevalue("redis")
        with running.client() as client:
            client.flushall()
        return running.url
    nodes: Sequence[RedisProcess] = request.getfixturevalue("cluster")
    for node in nodes:
        with node.client() as client:
            client.flushall()
    return f"redis+cluster://127.0.0.1:{nodes[0].port}"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[str], Store]]:
    """Opens stores, and closes them after the test."""
    made: list[Store] = []

    def open_one(url: str) -> Store:
        made.append(open_store(url, base=tmp_path))
        return made[-1]

    yield open_one
    for store in made:
        run(store.close())


@pytest.fixture
def store(address: str, opened: Callable[[str], Store]) -> Store:
    """An empty store."""
    return opened(address)
