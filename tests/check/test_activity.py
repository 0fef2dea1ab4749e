"""What the checker remembers of sessions: how often it writes, what an outage costs, and that it never exaggerates."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from check.watching import WATCHED, pass_time, person
from checking import Bench, make_bench
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extauthz.check import activity
from extauthz.check.activity import Activities, ActivityCounts
from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import Activity, Found, Store
from extauthz.store.sqlite import SqliteStore
from extauthz.values.facts import Question
from extauthz.values.grants import SessionTimes
from extauthz.values.identity import Subject

ALICE = Subject("https://idp.example.com", "alice")


class Counting(MemoryStore):
    """A store that counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_up = 0
        self.touched: list[list[Activity]] = []
        self.begun = asyncio.Event()

    async def look_up(
        self,
        subject: Subject | None,
        session: str | None,
        *,
        fingerprint: str,
        now: float,
        questions: Sequence[Question] = (),
    ) -> Found:
        self.looked_up += 1
        return await super().look_up(subject, session, fingerprint=fingerprint, now=now, questions=questions)

    async def touch(self, activities: Sequence[Activity]) -> None:
        self.touched.append(list(activities))
        self.begun.set()
        for _ in range(3):  # whoever waits for it comes before it is done
            await asyncio.sleep(0)
        await super().touch(activities)


@pytest.fixture
def store() -> Counting:
    return Counting()


def test_ages_and_grants_are_one_look_up_and_nobody_else_pays_for_it(bench: Bench, store: Counting) -> None:
    alice = person(bench)
    assert alice.asks("/pay") == "allow"
    assert store.looked_up == 1
    assert alice.asks("/other") == "allow"
    assert bench.decision(bench.request("/pay"))[0] == "deny"
    assert store.looked_up == 1, "no rule that looks, or no session to look at"


def test_a_session_is_written_at_most_once_in_an_interval_and_many_in_one_call(bench: Bench, store: Counting) -> None:
    alice = person(bench)
    for _ in range(240):
        assert alice.asks() == "allow"
        asyncio.run(bench.activities.write())
        pass_time(bench, 1 / 60)
    assert [len(one) for one in store.touched] == [1] * 4
    assert [one[0].at - alice.issued_at for one in store.touched] == [0, 60, 120, 180]
    activities = Activities(store, touch_every=60, keep=86400)
    for number in range(activity.BATCH + 1):
        activities.note(ALICE, f"sid:{number}", at=1.0)
    asyncio.run(activities.write())
    assert [len(one) for one in store.touched[4:]] == [activity.BATCH, 1]


def test_what_was_written_and_is_over_is_forgotten(store: Counting) -> None:
    now = [0.0]
    activities = Activities(store, touch_every=60, keep=86400, clock=lambda: now[0])
    activities.note(ALICE, "sid:1", at=1.0)
    asyncio.run(activities.write())
    assert activities.times(ALICE, "sid:1", None) == SessionTimes(started_at=1.0, last_seen=1.0)
    now[0] = 60.0
    asyncio.run(activities.write())
    assert activities.times(ALICE, "sid:1", None) is None
    assert len(store.touched) == 1


def test_what_happens_while_it_is_written_is_written_later(store: Counting) -> None:
    activities = Activities(store, touch_every=60, keep=86400)
    activities.note(ALICE, "sid:1", at=1.0)

    async def write_and_note() -> None:
        writing = asyncio.create_task(activities.write())
        await asyncio.wait_for(store.begun.wait(), 10)
        activities.note(ALICE, "sid:1", at=2.0)
        assert not writing.done()
        await writing
        await activities.close()

    asyncio.run(write_and_note())
    assert [one.at for batch in store.touched for one in batch] == [1.0, 2.0]


def test_memory_is_bounded_and_what_finds_no_room_looks_idle(store: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activity, "MOST", 2)
    now = [0.0]
    activities = Activities(store, touch_every=60, keep=86400, clock=lambda: now[0])
    for number in range(3):
        activities.note(ALICE, f"sid:{number}", at=5.0)
    asyncio.run(activities.write())
    assert [one.session for one in store.touched[0]] == ["sid:0", "sid:1"]
    assert activities.counts == ActivityCounts(waiting=0, written=2, failed=0, forgotten=1)
    assert activities.times(ALICE, "sid:2", SessionTimes(started_at=1.0, last_seen=2.0)) == SessionTimes(
        started_at=1.0, last_seen=2.0
    )
    now[0] = 60.0
    asyncio.run(activities.write())
    activities.note(ALICE, "sid:2", at=6.0)
    assert activities.counts.waiting == 1, "there is room again"


class TestOutages:
    """What the store does not take is kept and tried again; no decision waits for it or fails by it."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> SqliteStore:
        return SqliteStore(tmp_path / "state.db")

    def test_a_locked_file_delays_what_is_written_and_nothing_else(self, bench: Bench, tmp_path: Path) -> None:
        alice = person(bench)
        assert alice.asks() == "allow"
        locked = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
        locked.execute("BEGIN IMMEDIATE")

        async def decide_meanwhile() -> int:
            writing = asyncio.create_task(bench.activities.write())
            await asyncio.sleep(0.05)
            assert not writing.done()
            payload = bench.request("/pay", headers={"authorization": f"Bearer {bench.token()}"})
            opened = bench.checker.start(payload)
            assert not isinstance(opened, bytes)
            await bench.checker.finish(opened, deadline=None)
            assert not writing.done()
            await writing
            return bench.activities.counts.waiting

        assert asyncio.run(decide_meanwhile()) == 1
        assert (bench.activities.counts.failed, bench.activities.counts.written) == (1, 0)
        assert bench.records.kept[-1].decision.reason == "allowed"
        locked.execute("ROLLBACK")
        locked.close()
        asyncio.run(bench.activities.write())
        assert bench.activities.counts == ActivityCounts(waiting=0, written=1, failed=1, forgotten=0)
        pass_time(bench, 14)
        assert alice.asks(on=bench.replica(bench.store)) == "allow"

    def test_without_its_store_a_rule_that_is_obeyed_denies_and_one_in_shadow_errs(self, bench: Bench) -> None:
        alice = person(bench)
        shadow = WATCHED.replace("effect: challenge", "effect: challenge\n      mode: shadow")
        asyncio.run(bench.store.close())
        assert alice.asks() == "deny"
        assert bench.records.kept[-1].decision.reason == "state-unavailable"
        bench.decide_by(shadow)
        assert alice.asks() == "allow"
        record = bench.records.kept[-1]
        (shadowed,) = [one for one in record.rules if one.mode == "shadow"]
        assert shadowed.result == "error"
        assert "could not be looked up" in (shadowed.error or "")
        assert record.session is None
        asyncio.run(bench.activities.close())  # and says nothing worse than that it could not


class Hanging(MemoryStore):
    """A store whose look-ups take an hour."""

    async def look_up(
        self,
        subject: Subject | None,
        session: str | None,
        *,
        fingerprint: str,
        now: float,
        questions: Sequence[Question] = (),
    ) -> Found:
        await asyncio.sleep(3600)
        return await super().look_up(subject, session, fingerprint=fingerprint, now=now, questions=questions)


def test_a_rule_in_shadow_waits_for_no_store_that_hangs() -> None:
    bench = make_bench(Hanging())
    alice = person(bench)
    bench.decide_by(WATCHED.replace("effect: challenge", "effect: challenge\n      mode: shadow"))
    assert alice.asks() == "allow"
    assert alice.idle() is None


def test_a_rule_in_shadow_sees_what_it_would_if_it_were_obeyed(bench: Bench) -> None:
    alice = person(bench)
    bench.decide_by(WATCHED.replace("effect: challenge", "effect: challenge\n      mode: shadow"))
    pass_time(bench, 16)
    results = []
    for _ in range(2):
        assert alice.asks() == "allow"
        results += [one.result for one in bench.records.kept[-1].rules if one.mode == "shadow"]
    assert results == ["match", "no-match"]


MINUTES = st.sampled_from((0.0, 1 / 60, 0.5, 1.0, 7.0, 16.0))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("/pay", "/pay", "/never", "/other", "write", "kill", "stop")), st.integers(0, 1), MINUTES
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_a_session_is_never_less_idle_than_it_really_is(steps: list[tuple[str, int, float]]) -> None:
    """Whatever two servers are asked, wherever they are killed; and by one interval more, at most, if none is."""
    store: Store = MemoryStore()
    first = make_bench(store)
    alice = person(first)
    servers = [first, first.replica(store)]
    active, killed = float(alice.issued_at), False
    for step, number, minutes in steps:
        server = servers[number]
        if step == "write":
            asyncio.run(server.activities.write())
        elif step in ("kill", "stop"):
            if step == "stop":
                asyncio.run(server.activities.close())
            killed = killed or step == "kill"
            servers[number] = first.replica(store)
        else:
            decision = alice.asks(step, on=server)
            if step != "/other":
                idle = alice.idle()
                assert idle is not None
                assert idle >= first.now[0] - active
            if step == "/pay" and decision == "allow":
                active = first.now[0]
        pass_time(first, minutes)
    for server in servers:
        asyncio.run(server.activities.close())
    alice.asks(on=first.replica(store))
    if not killed:
        assert alice.idle() == first.now[0] - active
