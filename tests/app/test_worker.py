"""One worker and its parent: what each end of the link does when the other behaves, fails, hangs or is gone."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from app.link_programs import CRASHES, FAILS, HANGS, OBEYS, SIGNALLED, assignment, worker_of

from extauthz.app import worker as worker_module
from extauthz.app.envoy_launch import envoy_worker
from extauthz.app.python_launch import python_worker
from extauthz.app.worker import Launch, Worker
from extauthz.errors import ConfigurationError
from extauthz.settings import Settings, load_settings


def ignored() -> None:
    """News that nobody waits for."""


@pytest.fixture
def settings(folder: Path) -> Settings:
    return load_settings(folder / "extauthz.yaml")


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Worker]:
    """Makes workers that run these programs, each to be called on an event loop."""
    return lambda program: worker_of(program, tmp_path / "worker")


def cleaned(tmp_path: Path) -> bool:
    return (tmp_path / "worker" / "cleaned").exists()


def test_a_worker_serves_reloads_and_stops_when_it_is_told(make: Callable[[str], Worker], tmp_path: Path) -> None:
    async def scene() -> None:
        worker = make(OBEYS)
        await worker.start(ignored)
        assert (worker.revision, worker.address) == ("r1", "")
        worker.begin()
        await worker.serves()
        assert worker.address == "at r1"
        worker.reload()
        assert not cleaned(tmp_path)
        await worker.stop()
        await worker.ended()

    asyncio.run(scene())
    assert (tmp_path / "worker" / "told").read_text() == "Begin Reload Stop"
    assert cleaned(tmp_path)


@pytest.mark.parametrize(
    ("program", "message"),
    [(FAILS, "policies/site.yaml:7:1: no such name"), (CRASHES, "the server ended before it served; its log says why")],
)
def test_a_worker_that_can_not_serve_says_why(
    make: Callable[[str], Worker], tmp_path: Path, program: str, message: str
) -> None:
    async def scene() -> None:
        worker = make(program)
        with pytest.raises(ConfigurationError) as failed:
            await worker.start(ignored)
        assert str(failed.value) == message
        await worker.stop()

    asyncio.run(scene())
    assert cleaned(tmp_path)


def test_what_can_not_be_started_is_told(tmp_path: Path) -> None:
    async def scene() -> None:
        launch = Launch(command=("/no/such/envoy",), environ={}, folder=tmp_path, clean_up=lambda: None)
        worker = Worker(launch, assignment())
        with pytest.raises(ConfigurationError, match="can't start `/no/such/envoy`: no such file or directory"):
            await worker.start(ignored)
        await worker.stop()

    asyncio.run(scene())


def test_a_worker_that_does_not_end_is_killed(
    make: Callable[[str], Worker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "GRACE", 0.1)

    async def scene() -> None:
        worker = make(HANGS)
        await worker.start(ignored)
        await worker.stop()

    asyncio.run(scene())
    assert cleaned(tmp_path)


def children() -> set[int]:
    """The processes that this one has started."""
    return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def test_a_server_that_stands_still_is_killed(
    folder: Path, transport: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(worker_module, "ASKING", 0.5)
    settings = load_settings(folder / "extauthz.yaml")
    launch = {"grpcio": python_worker, "pyvoy": envoy_worker}[transport]

    async def scene() -> None:
        before = children()
        worker = launch(settings, {**os.environ, "TMPDIR": str(tmp_path)}, None)
        await worker.start(ignored)
        worker.begin()
        await worker.serves()
        (pid,) = children() - before
        await asyncio.sleep(worker_module.ASKING * (worker_module.PATIENCE + 2))
        assert worker.revision is not None, "one that answers lives on"
        os.kill(pid, signal.SIGSTOP)
        await worker.ended()
        assert worker.end == "it hung: no answer for 3 s, so it was killed"

    asyncio.run(scene())


def test_a_parent_that_stood_still_kills_nobody(make: Callable[[str], Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "ASKING", 0.05)

    async def scene() -> None:
        worker = make(OBEYS)
        await worker.start(ignored)
        worker.begin()
        await worker.serves()
        time.sleep(worker_module.ASKING * worker_module.PATIENCE * 4)  # noqa: ASYNC251 - as if it were stopped
        await asyncio.sleep(worker_module.ASKING * worker_module.PATIENCE)
        assert worker.revision == "r1"
        await worker.stop()

    asyncio.run(scene())


def test_the_signals_of_a_parent_are_blocked_in_its_workers(make: Callable[[str], Worker], tmp_path: Path) -> None:
    async def scene() -> None:
        worker = make(SIGNALLED)
        await worker.start(ignored)
        blocked = (tmp_path / "worker" / "told").read_text()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            assert repr(number) in blocked
        await worker.stop()

    asyncio.run(scene())
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


@pytest.mark.parametrize("missing", ["pyvoy._server", "envoy"])
def test_a_missing_package_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError, match="is not installed; `pip install 'extauthz"):
        envoy_worker(settings, os.environ, None)


def test_a_python_without_a_shared_library_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyvoy._server.get_envoy_environ", dict)
    with pytest.raises(ConfigurationError, match="needs Python's shared library"):
        envoy_worker(settings, os.environ, None)
