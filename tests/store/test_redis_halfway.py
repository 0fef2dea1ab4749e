"""Approvals in a Redis whose writer dies between two calls: each change is done or not, and nothing is left over."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from stepup.proofs import ALICE, NOW, SESSION
from store.conftest import empty_store
from store.one_loop import run
from store.opening import after, approved, opening, replaced, told
from store.opening import opened as open_all
from store.parts import approval, given, letter

from extauthz.errors import StateUnavailable
from extauthz.store.approvals import ApprovalQuery, Opened, Replaced
from extauthz.store.protocol import CLOCK_SKEW, Store
from extauthz.store.redis_calls import RedisCalls
from extauthz.store.redis_letters import RedisLetters
from extauthz.store.redis_route import Command
from extauthz.store.redis_scripts import Run
from extauthz.store.redis_server import Reply
from extauthz.values.letters import LetterCounts

Open = Callable[[str], Store]
LATER = NOW + 2 * CLOCK_SKEW + 1
"""When nobody can be in the middle of anything that began at NOW."""


@pytest.fixture(params=["redis", "cluster"])
def address(request: pytest.FixtureRequest) -> str:
    return empty_store(request)


class Cut:
    """Lets so many calls to a Redis through, and no more: as if the process had been killed there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
        self.left = after
        self._run = RedisCalls.run

        async def cut_off(calls: RedisCalls, *asked: Run | Command) -> list[Reply]:
            if self.left == 0:
                raise StateUnavailable("killed")
            self.left -= 1
            return await self._run(calls, *asked)

        monkeypatch.setattr(RedisCalls, "run", cut_off)

    def heal(self) -> None:
        """Let everything through."""
        self.left = -1


def due(store: Store, now: float) -> list[str]:
    return [one.id for one in run(store.due_approvals(most=50, now=now))]


def waiting(store: Store) -> list[str]:
    """The letters that are there, and counted to be."""
    there = run(store.letters(dead=False, most=50))
    counts = run(store.letter_counts(now=NOW)).get("hook", LetterCounts(waiting=0, dead=0))
    assert counts.waiting == len(there)
    assert counts.oldest_at == min((one.letter.at for one in there), default=None)
    return [one.letter.id for one in there]


def lists(store: Store) -> dict[str, list[str]]:
    """What is on the lists of all subjects, whatever it is."""

    async def read() -> dict[str, list[str]]:
        calls = store._approvals._calls  # type: ignore[attr-defined]  # it is that of a Redis
        found = {}
        for name in store._approvals._lists:  # type: ignore[attr-defined]  # it is that of a Redis
            verb = ("HKEYS", name) if name.endswith(":places") else ("ZRANGE", name, 0, -1)
            (reply,) = await calls.exchange(Command(key=name, words=verb))
            found[name.rpartition(":")[2]] = sorted(member.decode() for member in reply)
        return found

    return run(read())


@pytest.mark.parametrize("calls", range(4))
def test_an_opening_that_stops_anywhere_is_done_or_not_and_leaves_nothing_over(
    store: Store, address: str, opened: Open, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    cut = Cut(monkeypatch, calls)
    with suppress(StateUnavailable):
        opening(store, approval(), letters=(letter(),))
    cut.heal()
    other = opened(address)
    is_there = run(other.approval("a1")) is not None
    assert is_there == (calls == 3)
    assert waiting(other) == (["l1"] if is_there else []), "what was only announced is not counted"
    assert told(other, NOW) == (["l1"] if is_there else [])
    assert due(other, NOW + 900) == (["a1"] if is_there else [])
    assert told(other, LATER + 30) == []
    if not is_there:
        assert all(not left for left in lists(other).values()), "nothing is looked for any more"
    assert opening(other, approval(), letters=(letter(),)).how is (Opened.JOINED if is_there else Opened.OPENED)


@pytest.mark.parametrize("calls", range(3))
def test_a_change_that_stops_anywhere_is_done_or_not_with_all_that_goes_with_it(
    store: Store, address: str, opened: Open, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    open_all(store, approval())
    cut = Cut(monkeypatch, calls)
    with suppress(StateUnavailable):
        replaced(store, approved(approval()), given(), letters=(letter(),))
    cut.heal()
    other = opened(address)
    is_done = calls == 2
    there = run(other.approval("a1"))
    assert there == (approved(approval()) if is_done else approval())
    assert bool(run(other.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants) == is_done
    assert waiting(other) == (["l1"] if is_done else [])
    assert told(other, NOW + 1) == (["l1"] if is_done else [])
    pending = run(other.approvals(ApprovalQuery(states=frozenset({"pending"})), most=9)).approvals
    assert [one.id for one in pending] == ([] if is_done else ["a1"])
    assert due(other, NOW + 1000) == due(other, NOW + 1006) == ([] if is_done else ["a1"])
    if not is_done:
        assert replaced(other, approved(approval()), given(), letters=(letter(),)) is Replaced.DONE
        assert told(other, NOW + 9) == ["l1"]


def test_what_the_dead_have_listed_keeps_the_clerk_from_nothing(
    store: Store, address: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = Cut(monkeypatch, 2)
    for number in range(5):
        cut.left = 2
        with pytest.raises(StateUnavailable):
            opening(store, approval(f"dead{number}", due_at=NOW + 1))
    cut.heal()
    other = opened(address)
    open_all(other, approval("a1", due_at=NOW + 5))
    assert [one.id for one in run(other.due_approvals(most=2, now=LATER))] == ["a1"]


def test_letters_that_nobody_has_written_are_not_counted_while_they_are_looked_for(
    store: Store, address: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening(store, approval(), letters=(letter("l1", at=NOW + 1),))
    cut = Cut(monkeypatch, 2)
    with pytest.raises(StateUnavailable):
        opening(store, approval("a2"), letters=(letter("l2"), letter("l3")))
    cut.heal()
    assert replaced(store, after(after(approval())), letters=(letter("l4"),)) is Replaced.CONFLICT
    other = opened(address)
    assert waiting(other) == ["l1"]
    assert told(other, NOW) == ["l1"]
    assert waiting(other) == []
    assert told(other, LATER) == []
    assert run(other.letter_counts(now=LATER))["hook"] == LetterCounts(waiting=0, dead=0)


@pytest.mark.parametrize("calls", range(2, 5))
def test_a_claim_that_stops_anywhere_leaves_the_letter_due_at_the_latest_when_it_ends(
    store: Store, address: str, opened: Open, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    opening(store, approval(), letters=(letter(),))
    run(store.claim_letters("another", most=1, lease=30, now=NOW))  # sweeps
    cut = Cut(monkeypatch, calls - 2)
    with suppress(StateUnavailable):
        run(store.claim_letters("hook", most=9, lease=30, now=NOW))
    cut.heal()
    other = opened(address)
    assert waiting(other) == ["l1"]
    assert told(other, NOW + 29) == (["l1"] if calls < 4 else [])
    assert told(other, NOW + 30) == ([] if calls < 4 else ["l1"])


@pytest.mark.parametrize("what", ["done", "later", "dead", "again"])
@pytest.mark.parametrize("calls", range(3))
def test_what_is_said_of_a_letter_and_stops_anywhere_loses_none(
    store: Store, address: str, opened: Open, monkeypatch: pytest.MonkeyPatch, what: str, calls: int
) -> None:
    opening(store, approval(), letters=(letter(),))
    run(store.claim_letters("hook", most=9, lease=30, now=NOW))
    if what == "again":
        assert run(store.letter_dead("l1", 1, error="", now=NOW))
    acts: dict[str, Callable[[], Any]] = {
        "done": lambda: store.letter_done("l1", 1, now=NOW),
        "later": lambda: store.letter_later("l1", 1, due_at=NOW + 60, error="", now=NOW),
        "dead": lambda: store.letter_dead("l1", 1, error="", now=NOW),
        "again": lambda: store.replay_letters(now=NOW),
    }
    cut = Cut(monkeypatch, calls)
    with suppress(StateUnavailable):
        run(acts[what]())
    cut.heal()
    other = opened(address)
    left = {one.letter.id: one.dead_at is not None for one in run(other.letters(most=9))}
    assert left == ({} if what == "done" and calls > 0 else {"l1": left.get("l1")})
    assert told(other, NOW + 60) == [id_ for id_, is_dead in left.items() if not is_dead]
    is_dead = any(left.values())
    counts = run(other.letter_counts(now=NOW))["hook"]
    assert (counts.waiting, counts.dead) == (0, is_dead)
    assert run(other.replay_letters(now=NOW + 60)) == is_dead
    assert told(other, NOW + 60) == (["l1"] if is_dead else [])
    assert run(other.letters(most=9)) == ()


def test_a_clock_that_is_behind_makes_nobody_forget_what_is_being_written(
    store: Store, address: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead, now = opened(address), NOW + CLOCK_SKEW
    announced = RedisLetters.announced
    looked: list[int] = []

    def meanwhile(letters: RedisLetters, *of: Any) -> list[Run]:
        looked.append(1)
        return announced(letters, *of)

    monkeypatch.setattr(RedisLetters, "announced", meanwhile)
    run_script = RedisCalls.run

    async def between(calls: RedisCalls, *asked: Run | Command) -> list[Reply]:
        done = await run_script(calls, *asked)
        if len(looked) == 1:
            looked.append(2)
            assert await ahead.claim_letters("hook", most=9, lease=30, now=now) == ()
            assert await ahead.due_approvals(most=9, now=now) == ()
        return done

    monkeypatch.setattr(RedisCalls, "run", between)
    opening(store, approval(due_at=NOW + 1), letters=(letter(),))
    assert looked == [1, 2]
    assert told(ahead, now + 10) == ["l1"]
    assert due(ahead, now + 10) == ["a1"]


def test_asking_again_for_what_is_pending_is_one_round_trip(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    open_all(store, approval())
    cut = Cut(monkeypatch, 1)
    assert opening(store, approval("a2", key=approval().key)).how is Opened.JOINED
    assert cut.left == 0
