"""A parent and its workers: who is replaced, when, and by which policies they begin."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from app.link_programs import (
    ENDS_AT_ONCE,
    ENDS_ON_RELOAD,
    FAILS,
    OBEYS,
    OBEYS_WITH_OLD_FILES,
    STOPS_ITSELF,
    worker_of,
)
from structlog.testing import capture_logs

from extauthz.app import parent, worker
from extauthz.app.parent import Plan, watch
from extauthz.app.worker import Worker
from extauthz.errors import ConfigurationError
from extauthz.settings import Settings, load_settings

GENEROUS = 60.0


class Stage:
    """Workers by number: each runs the first of its programs, the one after it the next, and so on with the last."""

    def __init__(self, settings: Settings, folder: Path, programs: Sequence[Sequence[str]]) -> None:
        self._settings = settings
        self._folder = folder
        self._programs = programs
        self._counts = Counter[int]()
        self.made: list[Worker] = []
        self.numbers: list[int] = []
        self.reads = 0
        self.broken = False
        self.plan = Plan(count=len(programs), read=self._read, make=self._make)

    def _read(self) -> Settings:
        self.reads += 1
        if self.broken:
            raise ConfigurationError("extauthz.yaml:1:1: broken")
        return self._settings

    def _make(self, _settings: Settings, number: int) -> Worker:
        programs = self._programs[number]
        at = self._counts[number]
        self._counts[number] += 1
        self.numbers.append(number)
        self.made.append(worker_of(programs[min(at, len(programs) - 1)], self._place(number, at)))
        return self.made[-1]

    def _place(self, number: int, at: int) -> Path:
        return self._folder / f"{number}-{at}"

    def told(self, number: int, at: int = 0) -> str:
        """The orders that a worker got."""
        return (self._place(number, at) / "told").read_text()

    async def serving(self, count: int) -> None:
        """Until so many have been made, and the last of each number serves."""
        await comes(lambda: len(self.made) >= count)
        await asyncio.gather(*(worker.serves() for worker in self.made[-len(self._programs) :]))


@pytest.fixture
def make(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stage]:
    """Makes stages, on which nobody waits for long."""
    monkeypatch.setattr(parent, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(parent, "SETTLING", 0.1)
    monkeypatch.setattr(parent, "LEAVING", 0.0)
    settings = load_settings(folder / "extauthz.yaml")
    return lambda *programs: Stage(settings, tmp_path, programs)


async def comes(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GENEROUS
    while not what():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def play(stage: Stage, scene: Callable[[], Any]) -> list[MutableMapping[str, Any]]:
    """What the parent logs while a scene is played; SIGTERM ends it."""

    async def playing() -> None:
        watching = asyncio.create_task(watch(stage.plan))
        playing = asyncio.create_task(scene())
        await asyncio.wait((watching, playing), return_when=asyncio.FIRST_COMPLETED)
        os.kill(os.getpid(), signal.SIGTERM)
        await watching
        await playing

    with capture_logs() as logs:
        asyncio.run(playing())
    return logs


def test_a_worker_that_ends_is_replaced_and_no_other(make: Callable[..., Stage]) -> None:
    stage = make([OBEYS], [ENDS_ON_RELOAD, OBEYS])

    async def scene() -> None:
        await stage.serving(2)
        stage.made[1].reload()
        await comes(lambda: len(stage.made) == 3)
        await stage.made[2].serves()

    logs = play(stage, scene)
    assert stage.numbers == [0, 1, 1]
    assert stage.told(0) == "Begin Stop"
    (ended,) = [line for line in logs if line["event"] == "worker-ended"]
    assert (ended["worker"], ended["end"]) == (1, "exit status 0")


def test_a_worker_that_hangs_is_replaced(make: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "ASKING", 0.1)
    stage = make([OBEYS], [STOPS_ITSELF, OBEYS])

    async def scene() -> None:
        await stage.serving(2)
        await comes(lambda: len(stage.made) == 3)
        await stage.made[2].serves()

    logs = play(stage, scene)
    assert stage.numbers == [0, 1, 1]
    (ended,) = [line for line in logs if line["event"] == "worker-ended"]
    assert (ended["worker"], ended["end"]) == (1, "it hung: no answer for 0.6 s, so it was killed")


def test_workers_that_do_not_last_are_replaced_later_each_time(make: Callable[..., Stage]) -> None:
    stage = make([OBEYS], [ENDS_ON_RELOAD, ENDS_AT_ONCE])

    async def scene() -> None:
        await stage.serving(2)
        stage.made[1].reload()
        await comes(lambda: len(stage.made) == 6)

    logs = play(stage, scene)
    pauses = [line["again_in"] for line in logs if line["event"] == "worker-ended"]
    assert pauses[:4] == [0.01, 0.02, 0.04, 0.08]
    assert stage.numbers.count(0) == 1


def test_a_worker_that_can_not_be_replaced_is_tried_again_and_told(make: Callable[..., Stage]) -> None:
    stage = make([OBEYS], [ENDS_ON_RELOAD, FAILS, FAILS, OBEYS])

    async def scene() -> None:
        await stage.serving(2)
        stage.made[1].reload()
        await comes(lambda: len(stage.made) == 5)
        await stage.made[4].serves()

    logs = play(stage, scene)
    ends = [line["end"] for line in logs if line["event"] == "worker-ended"]
    assert ends == ["exit status 0", *["policies/site.yaml:7:1: no such name"] * 2]
    assert [line["worker"] for line in logs if line["event"] == "worker-serving"] == [1]


def test_a_parent_whose_worker_can_not_serve_at_first_ends_the_others_and_says_why(make: Callable[..., Stage]) -> None:
    stage = make([OBEYS], [FAILS])

    async def scene() -> None:
        with pytest.raises(ConfigurationError, match="no such name"):
            await watch(stage.plan)
        await stage.made[0].ended()

    asyncio.run(scene())
    assert stage.numbers == [0, 1]


def test_workers_begin_by_the_same_policies(make: Callable[..., Stage]) -> None:
    stage = make([OBEYS_WITH_OLD_FILES], [OBEYS])

    async def scene() -> None:
        await stage.serving(2)

    logs = play(stage, scene)
    assert [worker.address for worker in stage.made] == ["at r1", "at r1"]
    assert (stage.told(0), stage.told(1)) == ("Reload Begin Stop", "Reload Begin Stop")
    assert {"event": "revisions-differ", "log_level": "warning", "revisions": ["r0", "r1"]} in logs


def test_a_worker_in_the_place_of_another_begins_by_the_policies_of_the_rest(make: Callable[..., Stage]) -> None:
    stage = make([OBEYS], [ENDS_ON_RELOAD, OBEYS_WITH_OLD_FILES])

    async def scene() -> None:
        await stage.serving(2)
        stage.made[1].reload()
        await comes(lambda: len(stage.made) == 3)
        await stage.made[2].serves()
        assert stage.made[2].address == "at r1"

    play(stage, scene)
    assert (stage.told(0), stage.told(1, 1)) == ("Begin Reload Stop", "Reload Begin Stop")


def test_a_signal_replaces_workers_one_after_the_other(make: Callable[..., Stage]) -> None:
    stage = make([OBEYS], [OBEYS])

    async def scene() -> None:
        await stage.serving(2)
        os.kill(os.getpid(), signal.SIGUSR2)
        await comes(lambda: len(stage.made) == 3)
        assert stage.made[0].revision is None
        assert stage.made[1].revision == "r1"
        await comes(lambda: len(stage.made) == 4)
        assert stage.made[2].address == "at r1", "the second goes when the first is back"
        await stage.made[3].serves()

    logs = play(stage, scene)
    assert stage.reads == 2
    assert stage.numbers == [0, 1, 0, 1]
    assert [line for line in logs if line["event"] == "worker-ended"] == []


def test_a_configuration_that_is_wrong_replaces_nobody(make: Callable[..., Stage]) -> None:
    stage = make([OBEYS], [OBEYS])

    async def scene() -> None:
        await stage.serving(2)
        stage.broken = True
        os.kill(os.getpid(), signal.SIGUSR2)
        await comes(lambda: stage.reads == 2)

    logs = play(stage, scene)
    assert stage.numbers == [0, 1]
    (refused,) = [line for line in logs if line["event"] == "renewal-refused"]
    assert refused["error"] == "extauthz.yaml:1:1: broken"
