"""Laws of stores: whatever is done in whatever order, each store answers as the naive model does."""

import math
from collections.abc import Callable
from dataclasses import replace
from math import inf

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redises import RedisProcess
from stepup.proofs import ALICE, NOW
from store.model import Model
from store.one_loop import run
from store.parts import ADDRESS, LIMIT, factor, grant

from extauthz.identity.holders import session_of_sid
from extauthz.identity.revocations import Kind, Revocation
from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import (
    Activity,
    Advance,
    Burn,
    Enrolment,
    FactorKind,
    Ground,
    Presence,
    Redemption,
    Selection,
    SpentTicket,
    Store,
    UseUp,
)
from extauthz.values.identity import Subject

BOB = Subject(ALICE.issuer, "bob")
SUBJECTS = st.sampled_from([ALICE, BOB])
SESSION_TEXTS = [session_of_sid(ALICE.issuer, sid) for sid in ("1", "2")]
SESSIONS = st.sampled_from(SESSION_TEXTS)
SINCE = st.sampled_from([-inf, NOW - 1, NOW + 16, inf])
FACTORS = st.sampled_from(["f1", "f2", "f3"])
FINGERPRINTS = st.sampled_from(["", "x", "y"])
TICKETS = st.sampled_from(["", "t1", "t2"])
OWN = [replace(LIMIT, holder=holder) for holder in ("cookie:a", "peer:b")]
LIMITS = st.lists(st.sampled_from([LIMIT, *OWN, ADDRESS]), unique_by=lambda limit: limit.key)
KNOWN_TO = st.none() | st.sampled_from(OWN)
REVOCATIONS: st.SearchStrategy[Kind] = st.sampled_from(["block", "tokens", "session", "token"])
FEW = 3
AGES = st.sampled_from([-math.inf, 0.0, 5.0, 1000.0])
BURNS: st.SearchStrategy[Burn | None] = st.one_of(
    st.none(),
    st.builds(Advance, factor=FACTORS, mark=st.integers(0, 5)),
    st.builds(UseUp, factor=FACTORS),
    st.builds(Presence, factor=FACTORS),
)
KINDS: st.SearchStrategy[FactorKind] = st.sampled_from(["totp", "webauthn", "recovery"])
STEPS = st.sampled_from([0.0, 0.125, 1.0, 15.0, 31.0, 400.0])


@st.composite
def actions(draw: st.DrawFn) -> list[tuple[float, Callable[[Store, Model, float], tuple[object, object]]]]:
    """Things to do, each with the seconds before it; grants and factors have ids of their own."""
    made = 0
    done: list[tuple[float, Callable[[Store, Model, float], tuple[object, object]]]] = []

    def ids(prefix: str) -> str:
        nonlocal made
        made += 1
        return f"{prefix}{made}"

    for _ in range(draw(st.integers(1, 14))):
        which = draw(st.sampled_from(["redeem", "enroll", "consume", "revoke", "other"]))
        subject = draw(SUBJECTS)
        if which == "redeem":
            done.append((draw(STEPS), redeem(draw, subject, ids)))
        elif which == "enroll":
            done.append((draw(STEPS), enroll(draw, subject)))
        elif which == "consume":
            done.append((draw(STEPS), consume(draw, subject, made)))
        elif which == "revoke":
            done.append((draw(STEPS), revoke(draw, subject)))
        else:
            done.append((draw(STEPS), other(draw, subject)))
    return done


Action = Callable[[Store, Model, float], tuple[object, object]]


def owned(id_: str, subject: Subject) -> str:
    """Ids of tickets and factors are nobody else's."""
    return f"{subject.id}-{id_}"


def draw_ticket(draw: st.DrawFn, subject: Subject) -> SpentTicket | None:
    id_ = draw(TICKETS)
    return SpentTicket(id=owned(id_, subject), expires_at=NOW + 100_000) if id_ else None


def redeem(draw: st.DrawFn, subject: Subject, ids: Callable[[str], str]) -> Action:
    burn, ticket, limits = draw(BURNS), draw_ticket(draw, subject), tuple(draw(LIMITS))
    if burn is not None:
        burn = replace(burn, factor=owned(burn.factor, subject))
    left = [
        (ids("g"), draw(SESSIONS), draw(st.sampled_from(["p/r", "p/s"])), draw(st.sampled_from([None, 1, 2])))
        for _ in range(draw(st.integers(0, 2)))
    ]
    lives, age, known_to = draw(st.sampled_from([10.0, 500.0])), draw(AGES), draw(KNOWN_TO)

    def act(store: Store, model: Model, now: float) -> tuple[object, object]:
        grants = tuple(
            grant(id_, subject=subject, session=session, rule=rule, uses=uses, issued_at=now, expires_at=now + lives)
            for id_, session, rule, uses in left
        )
        redemption = Redemption(
            subject=subject,
            burn=burn,
            grants=grants,
            since=now - age if math.isfinite(age) else age,
            limits=limits,
            known_to=known_to,
            ticket=ticket,
        )
        return run(store.redeem(redemption, now=now)), model.redeem(redemption, now)

    return act


def draw_ground(draw: st.DrawFn, subject: Subject) -> Ground | None:
    if draw(st.booleans()):
        return None
    laid_at = draw(st.sampled_from([NOW - 1, NOW + 1, NOW + 100, inf]))
    factor = owned(draw(FACTORS), subject) if draw(st.booleans()) else ""
    return Ground(factor=factor, laid_at=laid_at, since=draw(SINCE), session=draw(SESSIONS))


def enroll(draw: st.DrawFn, subject: Subject) -> Action:
    names = draw(st.lists(FACTORS, min_size=1, max_size=2, unique=True))
    kinds, confirmed = [draw(KINDS) for _ in names], draw(st.booleans())
    replaces, ground, ticket = frozenset(draw(st.sets(KINDS))), draw_ground(draw, subject), draw_ticket(draw, subject)
    advance = Advance(factor=owned(draw(FACTORS), subject), mark=draw(st.integers(0, 5)))
    confirms = draw(st.booleans())

    def act(store: Store, model: Model, now: float) -> tuple[object, object]:
        if confirms:
            done = run(store.confirm_factor(subject, advance, now=now, ground=ground, ticket=ticket))
            return done, model.confirm(subject, advance, ground, ticket, now)
        new = tuple(
            factor(owned(name, subject), subject, kind=kind, confirmed=confirmed, created_at=now)
            for name, kind in zip(names, kinds, strict=True)
            if not any(one.id == owned(name, subject) for one in model.factors)
        )
        enrolment = Enrolment(subject=subject, factors=new, replaces=replaces, ground=ground, ticket=ticket)
        return run(store.enroll(enrolment, now=now)), model.enroll(enrolment, now)

    return act


def consume(draw: st.DrawFn, subject: Subject, made: int) -> Action:
    ids = [f"g{draw(st.integers(1, made + 1))}" for _ in range(draw(st.integers(1, 3)))]
    fingerprint = draw(FINGERPRINTS)

    def act(store: Store, model: Model, now: float) -> tuple[object, object]:
        done = run(store.consume(subject, ids, fingerprint=fingerprint, now=now))
        return done, model.consume(subject, ids, fingerprint, now)

    return act


def revoke(draw: st.DrawFn, subject: Subject) -> Action:
    kind = draw(REVOCATIONS)
    # A session is one subject's, and so is its revocation.
    id_ = {"session": "1" if subject == ALICE else "2", "token": f"{subject.id}'s"}.get(kind, "")
    lasts, withdrawn = draw(st.sampled_from([1.0, 100.0, math.inf])), draw(st.booleans())

    def act(store: Store, model: Model, now: float) -> tuple[object, object]:
        revocation = Revocation(kind=kind, subject=subject, id=id_, at=now, until=now + lasts)
        if withdrawn:
            done = run(store.withdraw_revocation(revocation.key, now=now))
            return done, model.withdraw_revocation(revocation, now)
        put = run(store.put_revocation(revocation, now=now))
        return (put.revocation, put.grants), model.put_revocation(revocation, now)

    return act


def other(draw: st.DrawFn, subject: Subject) -> Action:
    which = draw(st.sampled_from(["attempt", "touch", "revoke", "reset", "rename", "remove"]))
    limits, session, name = draw(LIMITS), draw(SESSIONS), owned(draw(FACTORS), subject)
    selection = draw(
        st.builds(
            Selection,
            subject=st.none() | SUBJECTS,
            session=st.none() | SESSIONS,
            rule=st.none() | st.sampled_from(["p/r", "p/s"]),
        )
    )
    ground = draw_ground(draw, subject)
    lasts, late = draw(st.sampled_from([1.0, 100.0])), draw(st.sampled_from([0.0, 20.0]))

    def act(store: Store, model: Model, now: float) -> tuple[object, object]:
        match which:
            case "attempt":
                return run(store.attempt(limits, now=now)), model.attempt(limits, now)
            case "touch":
                at, until = now - late, now - late + lasts
                run(store.touch([Activity(subject=subject, session=session, at=at, until=until)]))
                model.touched.append((subject, session, at, until))
                return None, None
            case "revoke":
                return run(store.revoke(selection, now=now)), model.revoke(selection, now)
            case "reset":
                return run(store.reset_factors(subject, limits, now=now)), model.reset(subject, limits, now)
            case "rename":
                done = run(store.rename_factor(subject, name, "new", ground=ground, now=now))
                return done, model.rename(subject, name, "new", ground, now)
            case _:
                done = run(store.remove_factor(subject, name, ground=ground, now=now))
                return done, model.remove(subject, name, ground, now)

    return act


@pytest.fixture(autouse=True)
def few_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as actions can leave, and more."""
    for module in ("memory_grants", "sqlite_grants", "redis"):
        monkeypatch.setattr(f"extauthz.store.{module}.MOST_GRANTS", FEW)


def agree(store: Store, done: list[tuple[float, Action]]) -> None:
    model, now = Model(most_grants=FEW), NOW
    for before, act in done:
        now += before
        answered, expected = act(store, model, now)
        assert answered == expected
        for subject in (ALICE, BOB):
            for session in SESSION_TEXTS:
                for fingerprint in ("", "x"):
                    found = run(store.look_up(subject, session, fingerprint=fingerprint, now=now))
                    assert list(found.grants) == model.look_up(subject, session, fingerprint, now)
                    times = found.session
                    seen = None if times is None else (times.started_at, times.last_seen)
                    assert seen == model.times(subject, session, now)
    oldest_first = tuple(sorted(model.factors, key=lambda one: (one.created_at, one.id)))
    assert run(store.factors(None)) == oldest_first
    good = [one for one in model.grants if one.expires_at > now and one.uses != 0]
    assert sorted(one.id for one in run(store.grants(Selection(), now=now))) == sorted(one.id for one in good)


LAWS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@settings(LAWS, max_examples=100)
@given(done=actions())
def test_memory_does_what_the_model_does(done: list[tuple[float, Action]]) -> None:
    agree(MemoryStore(), done)


@settings(LAWS, max_examples=10)
@given(done=actions())
def test_a_file_does_what_the_model_does(
    opened: Callable[[str], Store], done: list[tuple[float, Action]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    agree(opened(f"sqlite:///{tmp_path_factory.mktemp('law')}/state.db"), done)


@settings(LAWS, max_examples=60)
@given(done=actions())
def test_a_redis_does_what_the_model_does(
    opened: Callable[[str], Store], redis: RedisProcess, done: list[tuple[float, Action]]
) -> None:
    with redis.client() as client:
        client.flushall()
    agree(opened(redis.url), done)
