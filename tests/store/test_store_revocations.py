"""What every store promises of revocations, and what the file of SQLite adds to it."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import run
from store.parts import LIMIT, enrolment, factor, grant

from extauthz.errors import StateUnavailable
from extauthz.identity.holders import session_of_sid
from extauthz.identity.revocations import KINDS, Revocation, RevocationKey
from extauthz.store import memory_revocations, redis_revocations, sqlite_revocations
from extauthz.store.open import open_store
from extauthz.store.protocol import Presence, Redeemed, Redemption, SpentTicket, Store, UseUp
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

BOB = Subject(ALICE.issuer, "bob")


def revocation(kind: str = "block", subject: Subject = ALICE, id_: str = "", **changed: float) -> Revocation:
    return Revocation(kind=kind, subject=subject, id=id_, **{"at": NOW, **changed})  # type: ignore[arg-type]  # the kinds are those of the tests


def put(store: Store, *revocations: Revocation, now: float = NOW) -> None:
    for one in revocations:
        run(store.put_revocation(one, now=now))


def prove(store: Store, *grants: Grant) -> None:
    for subject in dict.fromkeys(one.subject for one in grants):
        run(store.enroll(enrolment(factor(f"of-{subject.id}", subject)), now=NOW))
        theirs = tuple(one for one in grants if one.subject == subject)
        proof = Redemption(subject=subject, burn=Presence(factor=f"of-{subject.id}"), grants=theirs)
        assert run(store.redeem(proof, now=NOW)) is Redeemed.DONE


def grants_of(store: Store, subject: Subject = ALICE, session: str = SESSION) -> list[str]:
    return [one.id for one in run(store.look_up(subject, session, fingerprint="", now=NOW)).grants]


@pytest.mark.parametrize("kind", KINDS)
def test_a_revocation_comes_back_as_it_was(store: Store, kind: str) -> None:
    id_ = "x1" if kind in ("session", "token", "device") else ""
    for subject in (ALICE, Subject("", "spiffe://example.org/web"), Subject('is"[s', "o\udc80ther")):
        made = revocation(kind, subject, id_, at=NOW + 0.125, until=NOW + 60)
        assert run(store.put_revocation(made, now=NOW)).revocation == made
        assert run(store.revocations(subject, now=NOW)) == (made,)
        assert made in run(store.revocation_changes(None)).put


def test_a_list_is_of_one_subject_or_of_everybody_and_oldest_first(store: Store) -> None:
    old, new, other = revocation("token", id_="t", at=NOW - 1), revocation(), revocation(subject=BOB, at=NOW + 1)
    put(store, other, new, old)
    assert run(store.revocations(ALICE, now=NOW)) == (old, new)
    assert run(store.revocations(Subject("https://other.example", ALICE.id), now=NOW)) == ()
    assert run(store.revocations(None, now=NOW)) == (old, new, other)


def test_a_revocation_ends_when_it_says_and_the_next_one_knows_nothing_of_it(store: Store) -> None:
    put(store, revocation("tokens", at=NOW, until=NOW + 10))
    assert len(run(store.revocations(ALICE, now=NOW + 9.9))) == 1
    assert run(store.revocations(ALICE, now=NOW + 10)) == ()
    assert not run(store.withdraw_revocation(revocation("tokens").key, now=NOW + 10))
    put(store, revocation("tokens", at=NOW + 20, until=NOW + 60))
    early = revocation("tokens", at=NOW - 100, until=NOW + 99)
    assert run(store.put_revocation(early, now=NOW + 60)).revocation == early


def test_what_is_revoked_again_is_only_widened(store: Store) -> None:
    put(store, revocation("tokens", at=NOW, until=inf))
    again = run(store.put_revocation(revocation("tokens", at=NOW - 50, until=NOW + 10), now=NOW))
    assert again.revocation == revocation("tokens", at=NOW, until=inf)
    put(store, revocation("tokens", at=NOW + 50, until=NOW + 60))
    assert run(store.revocations(None, now=NOW)) == (revocation("tokens", at=NOW + 50, until=inf),)


def test_what_is_withdrawn_is_gone(store: Store) -> None:
    put(store, revocation(), revocation(subject=BOB))
    assert run(store.withdraw_revocation(revocation().key, now=NOW))
    assert not run(store.withdraw_revocation(revocation().key, now=NOW))
    assert run(store.revocations(None, now=NOW)) == (revocation(subject=BOB),)


def test_the_grants_of_a_subject_go_with_its_tokens(store: Store) -> None:
    spent, over = grant("spent", uses=1), grant("over", expires_at=NOW + 1)
    prove(store, grant("a"), grant("b", session="sid:2"), spent, over, grant("of-bob", subject=BOB))
    assert run(store.consume(ALICE, ["spent"], fingerprint="f", now=NOW))
    revoked = run(store.put_revocation(revocation("tokens"), now=NOW + 2))
    assert revoked.grants == 2
    assert (grants_of(store), grants_of(store, session="sid:2"), grants_of(store, BOB)) == ([], [], ["of-bob"])
    assert run(store.look_up(ALICE, SESSION, fingerprint="f", now=NOW)).grants == ()


def test_the_grants_of_a_session_go_with_it(store: Store) -> None:
    session = session_of_sid(ALICE.issuer, "s1")
    prove(store, grant("a"), grant("b", session=session), grant("of-bob", subject=BOB, session=session))
    assert run(store.put_revocation(revocation("session", id_="s1"), now=NOW)).grants == 1
    assert (grants_of(store), grants_of(store, session=session)) == (["a"], [])
    assert grants_of(store, BOB, session) == ["of-bob"]


@pytest.mark.parametrize("kind", ["block", "token"])
def test_a_block_and_a_single_token_take_no_grants(store: Store, kind: str) -> None:
    prove(store, grant("a"))
    assert run(store.put_revocation(revocation(kind, id_="t" if kind == "token" else ""), now=NOW)).grants == 0
    assert grants_of(store) == ["a"]


def test_changes_are_told_once_and_what_came_and_went_is_withdrawn(store: Store) -> None:
    first = run(store.revocation_changes(None))
    assert (first.whole, first.put, first.withdrawn) == (True, (), ())
    put(store, revocation(), revocation(subject=BOB))
    run(store.withdraw_revocation(revocation().key, now=NOW))
    put(store, revocation(subject=BOB, until=NOW + 5))
    second = run(store.revocation_changes(first.mark))
    assert (second.whole, second.put, second.withdrawn) == (False, (revocation(subject=BOB),), (revocation().key,))
    third = run(store.revocation_changes(second.mark))
    assert (third.mark, third.whole, third.put, third.withdrawn) == (second.mark, False, (), ())


def sweep(store: Store, now: float) -> None:
    """What writes sweeps: a file whatever is written, a Redis what is of the same kind."""
    run(store.attempt([LIMIT], now=now))
    put(store, revocation("token", id_="another"), now=now)


def test_who_has_missed_more_than_is_remembered_gets_everything(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (memory_revocations, redis_revocations, sqlite_revocations):
        monkeypatch.setattr(module, "REMEMBERED_CHANGES", 3)
    long_ago = run(store.revocation_changes(None)).mark
    put(store, revocation())
    lately = run(store.revocation_changes(None)).mark
    put(store, *(revocation("token", id_=str(number)) for number in range(3)))
    run(store.attempt([LIMIT], now=NOW + 1000))  # sweeps
    missed = run(store.revocation_changes(long_ago))
    assert (missed.whole, len(missed.put)) == (True, 4)
    followed = run(store.revocation_changes(lately))
    assert (followed.whole, len(followed.put)) == (False, 3)
    assert followed.mark == missed.mark


def test_what_has_ended_is_swept_away_once_every_clock_agrees(store: Store) -> None:
    put(store, revocation(until=NOW + 10), revocation(subject=BOB))
    sweep(store, NOW + 300)
    assert revocation(until=NOW + 10) in run(store.revocation_changes(None)).put
    sweep(store, NOW + 400)
    assert revocation(until=NOW + 10) not in run(store.revocation_changes(None)).put


def test_a_closed_store_is_out_of_reach(store: Store) -> None:
    run(store.close())
    for call in (
        store.put_revocation(revocation(), now=NOW),
        store.withdraw_revocation(revocation().key, now=NOW),
        store.revocations(None, now=NOW),
        store.revocation_changes(None),
    ):
        with pytest.raises(StateUnavailable):
            run(call)


actions = st.lists(
    st.tuples(
        st.sampled_from(["put", "withdraw", "look"]),
        st.builds(
            revocation,
            kind=st.sampled_from(KINDS),
            subject=st.sampled_from([ALICE, BOB]),
            id_=st.just(""),
            at=st.integers(0, 5).map(lambda late: NOW + late),
            until=st.sampled_from([NOW + 100, inf]),
        ),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(done=actions)
def test_who_follows_the_changes_knows_what_is_in_force(store: Store, done: list[tuple[str, Revocation]]) -> None:
    seen: dict[RevocationKey, Revocation] = {}
    mark: str | None = None

    def look() -> str:
        changes = run(store.revocation_changes(mark))
        if changes.whole:
            seen.clear()
        for key in changes.withdrawn:
            seen.pop(key, None)
        seen.update({one.key: one for one in changes.put})
        return changes.mark

    for action, one in done:
        if action == "put":
            put(store, one)
        elif action == "withdraw":
            run(store.withdraw_revocation(one.key, now=NOW))
        else:
            mark = look()
    look()
    assert sorted(seen) == sorted(one.key for one in run(store.revocations(None, now=NOW)))
    assert set(seen.values()) == set(run(store.revocations(None, now=NOW)))


IN_SESSION = session_of_sid(ALICE.issuer, "1")


def redeemed(store: Store, *, since: float = NOW - 10, session: str = IN_SESSION, now: float = NOW) -> Redeemed:
    """How a proof of Alice goes that would leave a grant in her session."""
    if not run(store.factors(ALICE)):
        run(store.enroll(enrolment(factor("code", kind="recovery")), now=NOW))
    proof = Redemption(
        subject=ALICE,
        burn=UseUp(factor="code"),
        grants=(grant("late", session=session, expires_at=now + 300),),
        since=since,
        limits=(LIMIT,),
        known_to=LIMIT,
        ticket=SpentTicket(id="t", expires_at=now + 300),
    )
    return run(store.redeem(proof, now=now))


@pytest.mark.parametrize(
    ("kind", "refused"),
    [("block", Redeemed.BLOCKED), ("tokens", Redeemed.REVOKED), ("session", Redeemed.REVOKED)],
)
def test_a_proof_that_comes_after_a_revocation_leaves_nothing_and_burns_nothing(
    store: Store, kind: str, refused: Redeemed
) -> None:
    made = revocation(kind, id_="1" if kind == "session" else "", until=NOW + 600)
    put(store, made)
    for _ in range(2):
        assert redeemed(store) is refused
    assert grants_of(store, session=IN_SESSION) == []
    assert [one.id for one in run(store.factors(ALICE))] == ["code"]
    assert run(store.withdraw_revocation(made.key, now=NOW))
    assert redeemed(store) is Redeemed.DONE, "neither code nor ticket was burned"


@pytest.mark.parametrize("kind", ["block", "tokens", "session"])
def test_a_revocation_that_has_ended_stands_against_no_proof(store: Store, kind: str) -> None:
    put(store, revocation(kind, id_="1" if kind == "session" else "", until=NOW + 60))
    assert redeemed(store, now=NOW + 59.5) is not Redeemed.DONE
    assert redeemed(store, now=NOW + 60) is Redeemed.DONE


def test_a_proof_on_newer_tokens_in_another_session_or_of_somebody_else_is_taken(store: Store) -> None:
    put(store, revocation("tokens"), revocation("session", id_="2"), revocation("token", id_="jti"))
    put(store, revocation("block", BOB), revocation("tokens", Subject("https://other.example", ALICE.id), at=NOW + 9))
    assert redeemed(store, since=NOW) is Redeemed.REVOKED
    assert redeemed(store, since=NOW + 1, session=session_of_sid(ALICE.issuer, "2")) is Redeemed.REVOKED
    assert redeemed(store, since=NOW + 1) is Redeemed.DONE


def test_a_block_is_told_before_what_else_is_revoked(store: Store) -> None:
    put(store, revocation("tokens"), revocation("session", id_="1"), revocation())
    assert redeemed(store) is Redeemed.BLOCKED


def test_of_two_that_revoke_the_wider_stands_against_proofs(store: Store) -> None:
    put(store, revocation("tokens", at=NOW + 50, until=NOW + 100), revocation("tokens", at=NOW, until=NOW + 60))
    assert redeemed(store, since=NOW + 40, now=NOW + 90) is Redeemed.REVOKED
    assert redeemed(store, since=NOW + 51, now=NOW + 90) is Redeemed.DONE


@pytest.mark.parametrize("kind", ["tokens", "session"])
def test_a_revocation_that_meets_proofs_leaves_none_of_their_grants(store: Store, kind: str) -> None:
    made = revocation(kind, id_="1" if kind == "session" else "")

    async def race(number: int) -> None:
        def prove_once(one: int) -> Redemption:
            left = grant(f"g{number}.{one}", session=IN_SESSION)
            spent = SpentTicket(id=left.id, expires_at=NOW + 300)
            return Redemption(subject=ALICE, burn=None, grants=(left,), since=NOW - 10, ticket=spent)

        early = [asyncio.create_task(store.redeem(prove_once(one), now=NOW)) for one in range(4)]
        await store.put_revocation(made, now=NOW)
        late = await asyncio.gather(*(store.redeem(prove_once(one), now=NOW) for one in range(4, 8)))
        await asyncio.gather(*early)
        assert set(late) == {Redeemed.REVOKED}
        assert (await store.look_up(ALICE, IN_SESSION, fingerprint="", now=NOW)).grants == ()
        assert await store.withdraw_revocation(made.key, now=NOW)

    for number in range(20):
        run(race(number))


@pytest.mark.parametrize("address", ["sqlite", "redis", "cluster"], indirect=True)
def test_a_second_process_sees_what_the_first_has_done(address: str, opened: Callable[[str], Store]) -> None:
    one, other = opened(address), opened(address)
    mark = run(other.revocation_changes(None)).mark
    put(one, revocation())
    changes = run(other.revocation_changes(mark))
    assert (changes.whole, changes.put) == (False, (revocation(),))
    reopened = opened(address)
    assert run(reopened.revocation_changes(changes.mark)).whole is False
    assert run(reopened.revocations(None, now=NOW)) == (revocation(),)


def copy_of(path: Path, name: str) -> Path:
    """A backup of the database as it is now."""
    source, target = sqlite3.connect(path), sqlite3.connect(path.with_name(name))
    source.backup(target)
    source.close()
    target.close()
    return path.with_name(name)


@pytest.mark.parametrize("later", [0, 1, 2, 5])
def test_a_file_that_was_restored_is_noticed_however_far_it_has_come_since(tmp_path: Path, later: int) -> None:
    path = tmp_path / "state.db"
    store = open_store("sqlite:///state.db", base=tmp_path)
    put(store, revocation())
    backup = copy_of(path, "backup.db")
    put(store, revocation("token", id_="lost"), revocation("token", id_="lost, too"))
    mark = run(store.revocation_changes(None)).mark
    for suffix in ("-wal", "-shm"):
        path.with_name(f"state.db{suffix}").unlink()
    shutil.move(backup, path)
    put(store, *(revocation("token", id_=str(number)) for number in range(later)))
    changes = run(store.revocation_changes(mark))
    assert changes.whole
    assert {one.id for one in changes.put} == {"", *map(str, range(later))}
    run(store.close())
