"""Letters that tell of approvals: what every store promises of them."""

from collections.abc import Iterable
from typing import Any

import pytest
from stepup.proofs import NOW
from store.asking import BOB
from store.one_loop import crowd, run
from store.parts import approval, letter

from extauthz.store.approvals import Opened
from extauthz.store.letters import DEAD_SECONDS, WAITING_SECONDS
from extauthz.store.protocol import Store
from extauthz.values.letters import Claim, Letter, LetterCounts, LetterState

LEASE = 30.0


def write(store: Store, *letters: Letter, of: str = "a1", now: float = NOW, **changed: Any) -> None:
    """Letters that tell of an approval that is opened with them."""
    new = approval(of, opened_at=now, expires_at=now + 900, **changed)
    opening = store.open_approval(new, letters=letters, keep=3600, most_open=1000, now=now)
    assert run(opening).how is Opened.OPENED


def claim(store: Store, *, sink: str = "hook", most: int = 50, now: float = NOW) -> list[Claim]:
    return list(run(store.claim_letters(sink, most=most, lease=LEASE, now=now)))


def names(claims: Iterable[Claim]) -> list[tuple[str, int]]:
    return [(one.letter.id, one.attempt) for one in claims]


def states(store: Store, **meant: Any) -> list[str]:
    return [one.letter.id for one in run(store.letters(most=50, **meant))]


def test_who_claims_a_letter_has_it_alone_for_a_while(store: Store) -> None:
    write(store, letter("l1"), letter("l2", sink="mail", to="ann@example.com"))
    assert claim(store, now=NOW - 1) == [], "it is due when it was written"
    assert claim(store) == [Claim(letter=letter("l1"), attempt=1)]
    assert claim(store, now=NOW + LEASE - 1) == []
    assert names(claim(store, now=NOW + LEASE)) == [("l1", 2)], "whoever had it has died over it"
    assert claim(store, sink="mail") == [Claim(letter=letter("l2", sink="mail", to="ann@example.com"), attempt=1)]
    assert claim(store, sink="another") == []


def test_of_many_who_claim_at_once_each_has_others(store: Store) -> None:
    write(store, *(letter(f"l{number:02}") for number in range(20)))

    async def work() -> list[str]:
        had = await crowd(store.claim_letters("hook", most=4, lease=LEASE, now=NOW) for _ in range(8))
        return [one.letter.id for claims in had for one in claims]

    first = run(work())
    assert len(set(first)) == len(first)
    rest = [id_ for id_, _ in names(claim(store))]
    assert sorted([*first, *rest]) == [f"l{number:02}" for number in range(20)]


def test_letters_that_are_due_for_longest_come_first(store: Store) -> None:
    write(store, letter("l1"), letter("l2"), of="a1")
    write(store, letter("l0"), letter("l3"), of="a2", now=NOW + 1, subject=BOB)
    assert names(claim(store, most=3, now=NOW + 2)) == [("l1", 1), ("l2", 1), ("l0", 1)]
    assert names(claim(store, now=NOW + 2)) == [("l3", 1)]


def test_a_letter_that_was_delivered_is_gone(store: Store) -> None:
    write(store, letter())
    claim(store)
    assert run(store.letter_done("l1", 1, now=NOW))
    assert not run(store.letter_done("l1", 1, now=NOW))
    assert claim(store, now=NOW + 3600) == []
    assert states(store) == []


def test_who_delivers_late_spares_the_next_one_the_work(store: Store) -> None:
    write(store, letter())
    claim(store)
    assert names(claim(store, now=NOW + LEASE)) == [("l1", 2)]
    assert run(store.letter_done("l1", 1, now=NOW + LEASE))
    assert claim(store, now=NOW + 3600) == []


def test_a_letter_that_was_not_taken_is_due_when_it_is_said(store: Store) -> None:
    write(store, letter())
    claim(store)
    assert run(store.letter_later("l1", 1, due_at=NOW + 100, error="it said 500", now=NOW))
    assert claim(store, now=NOW + 99) == []
    (state,) = run(store.letters(most=9))
    assert state == LetterState(letter=letter(), attempts=1, due_at=NOW + 100, error="it said 500")
    assert names(claim(store, now=NOW + 100)) == [("l1", 2)]


def test_what_an_outdated_claim_says_changes_nothing(store: Store) -> None:
    write(store, letter())
    claim(store)
    claim(store, now=NOW + LEASE)
    assert not run(store.letter_later("l1", 1, due_at=NOW, error="", now=NOW))
    assert not run(store.letter_dead("l1", 1, error="", now=NOW))
    assert claim(store, now=NOW + LEASE) == []
    assert names(claim(store, now=NOW + 2 * LEASE)) == [("l1", 3)]
    for change in (
        store.letter_later("gone", 1, due_at=NOW, error="", now=NOW),
        store.letter_dead("gone", 1, error="", now=NOW),
        store.letter_done("gone", 1, now=NOW),
    ):
        assert not run(change)


def test_a_dead_letter_is_kept_and_can_be_sent_again(store: Store) -> None:
    write(store, letter("l1"), letter("l2"), letter("l3", sink="mail"))
    for sink in ("hook", "mail"):
        claim(store, sink=sink)
    for id_ in ("l1", "l2", "l3"):
        assert run(store.letter_dead(id_, 1, error=f"no {id_}", now=NOW + 5))
        assert not run(store.letter_later(id_, 1, due_at=NOW, error="", now=NOW + 5)), "it is dead"
    assert claim(store, now=NOW + 3600) == []
    dead = run(store.letters(dead=True, most=9))
    assert [(one.letter.id, one.dead_at, one.error) for one in dead] == [
        (id_, NOW + 5, f"no {id_}") for id_ in ("l1", "l2", "l3")
    ]
    assert states(store, dead=False) == []
    assert states(store, dead=True, sink="hook") == ["l1", "l2"]
    assert run(store.replay_letters(["l2", "gone"], now=NOW + 10)) == 1
    assert names(claim(store, now=NOW + 10)) == [("l2", 1)]
    assert run(store.replay_letters(sink="mail", now=NOW + 10)) == 1
    assert run(store.replay_letters(["l1"], "mail", now=NOW + 10)) == 0
    assert run(store.replay_letters(now=NOW + 10)) == 1
    assert run(store.replay_letters(now=NOW + 10)) == 0
    assert names(claim(store, sink="mail", now=NOW + 10)) == [("l3", 1)]
    assert states(store, dead=True) == []
    assert states(store, dead=False) == ["l1", "l2", "l3"]


def test_letters_are_listed_by_id_from_where_a_list_ended(store: Store) -> None:
    write(store, *(letter(f"l{number}") for number in range(5)))
    assert [one.letter.id for one in run(store.letters(most=2))] == ["l0", "l1"]
    assert [one.letter.id for one in run(store.letters(most=2, after="l1"))] == ["l2", "l3"]
    assert states(store, after="l4") == []


def test_letters_are_counted_by_sink(store: Store) -> None:
    assert not [one for one in run(store.letter_counts(now=NOW)).values() if one.waiting or one.dead]
    write(store, letter("l1", at=NOW + 2), letter("l2", at=NOW + 1), letter("l3", sink="mail"))
    claim(store)
    run(store.letter_dead("l2", 1, error="", now=NOW))
    counts = run(store.letter_counts(now=NOW))
    assert counts["hook"] == LetterCounts(waiting=1, dead=1, oldest_at=NOW + 2)
    assert counts["mail"] == LetterCounts(waiting=1, dead=0, oldest_at=NOW)
    run(store.letter_done("l1", 1, now=NOW))
    assert run(store.letter_counts(now=NOW))["hook"] == LetterCounts(waiting=0, dead=1)
    run(store.replay_letters(now=NOW))
    assert run(store.letter_counts(now=NOW))["hook"] == LetterCounts(waiting=1, dead=0, oldest_at=NOW + 1)


def test_a_letter_that_is_written_twice_is_one(store: Store) -> None:
    write(store, letter())
    claim(store)
    write(store, letter(content=b"other"), of="a2")
    assert claim(store) == []
    assert [one.letter for one in run(store.letters(most=9))] == [letter()]


@pytest.mark.parametrize(("dies", "kept"), [(True, DEAD_SECONDS), (False, WAITING_SECONDS)])
def test_what_nobody_wants_is_kept_for_long_and_not_for_ever(store: Store, dies: bool, kept: float) -> None:
    write(store, letter("l1"))
    claim(store)
    if dies:
        run(store.letter_dead("l1", 1, error="", now=NOW))
    else:
        run(store.letter_later("l1", 1, due_at=NOW, error="", now=NOW))
    for of, now, there in (("a2", NOW + kept - 100, ["l1"]), ("a3", NOW + kept + 100, [])):
        write(store, of=of, now=now)
        claim(store, sink="another", now=now)
        assert states(store) == there


def put(store: Store, *letters: Letter, sink: str = "hook", most: int = 100, now: float = NOW) -> int:
    return run(store.put_letters(sink, letters, most=most, now=now))


def test_a_letter_that_tells_of_no_approval_is_delivered_like_any_other(store: Store) -> None:
    alone = letter("l1", kind="decision.deny", approval="")
    assert put(store, alone) == 1
    assert put(store, letter("l1", kind="decision.deny", approval="", content=b"other")) == 1, "it is there"
    assert claim(store) == [Claim(letter=alone, attempt=1)]
    assert run(store.letter_later("l1", 1, due_at=NOW + 9, error="it said 500", now=NOW))
    assert names(claim(store, now=NOW + 9)) == [("l1", 2)]
    assert run(store.letter_counts(now=NOW))["hook"] == LetterCounts(waiting=1, dead=0, oldest_at=NOW)
    assert run(store.letter_dead("l1", 2, error="", now=NOW + 9))
    assert run(store.replay_letters(["l1"], now=NOW + 10)) == 1
    assert names(claim(store, now=NOW + 10)) == [("l1", 1)]
    assert run(store.letter_done("l1", 1, now=NOW + 10))
    assert states(store) == []


def test_of_a_sink_no_more_letters_are_put_than_may_wait(store: Store) -> None:
    write(store, letter("l0"))
    assert put(store, *(letter(f"l{number}") for number in range(1, 5)), most=3) == 2
    assert states(store) == ["l0", "l1", "l2"]
    assert put(store, letter("l5"), most=3) == 0
    assert put(store, letter("m1", sink="mail"), sink="mail", most=3) == 1, "each sink has its own room"
    claim(store)
    run(store.letter_done("l0", 1, now=NOW))
    run(store.letter_dead("l1", 1, error="", now=NOW))
    assert put(store, *(letter(f"l{number}") for number in range(6, 9)), most=3) == 2
    assert states(store, dead=False) == ["l2", "l6", "l7", "m1"]
    assert states(store, dead=True) == ["l1"]


def test_of_dead_letters_the_newest_stay_where_others_are_put(store: Store) -> None:
    put(store, *(letter(f"l{number}") for number in range(4)), letter("n"))
    claim(store)
    for number in (2, 0, 3, 1):
        run(store.letter_dead(f"l{number}", 1, error="", now=NOW + number))
    write(store, letter("m1", sink="mail"))
    claim(store, sink="mail")
    run(store.letter_dead("m1", 1, error="", now=NOW))
    assert put(store, most=4) == 0
    assert states(store, dead=True) == ["l0", "l1", "l2", "l3", "m1"]
    assert put(store, letter("l9"), most=2) == 1
    assert states(store, dead=True) == ["l2", "l3", "m1"]
    assert states(store, dead=False) == ["l9", "n"]


def test_servers_that_put_the_same_letters_at_once_leave_each_once(store: Store) -> None:
    letters = [letter(f"l{number}") for number in range(10)]

    async def work() -> None:
        await crowd(store.put_letters("hook", letters, most=100, now=NOW) for _ in range(6))

    run(work())
    assert states(store) == sorted(one.id for one in letters)
    assert run(store.letter_counts(now=NOW))["hook"].waiting == 10
