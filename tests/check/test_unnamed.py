"""Callers who were looked for in what is revoked: that nothing was found of them is forgotten when it may change."""

import asyncio
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from extauthz.check import revocation_feed
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.errors import Refused
from extauthz.identity.revocations import Kind, Revocation, RevocationKey
from extauthz.identity.signals.facts import Signal, SignalKey
from extauthz.store.memory import MemoryStore
from extauthz.store.signals import Delivery
from extauthz.values.identity import Credential, Identity, Subject, User, Workload

IDP = "https://idp.example.com"
ALICE, BOB, AGENT = (Subject(IDP, name) for name in ("alice", "bob", "agent"))
WEB = Workload(id="spiffe://example.org/web", trust_domain="example.org", path="/web", verified_by="source_principal")


def token(*subjects: Subject, jti: str, sid: str) -> Identity:
    user = User(sub=subjects[0].id, iss=IDP, token_hash=jti)
    return Identity(
        user=user, credentials=(Credential(subjects=subjects, issued_at=10.0, sid=sid, jti=jti, digest=jti),)
    )


CALLERS = (
    Identity(),
    Identity(workload=WEB),
    token(ALICE, jti="t1", sid="s1"),
    token(ALICE, jti="t2", sid="s2"),
    token(BOB, AGENT, jti="t3", sid="s1"),
)


def revocation(kind: Kind, subject: Subject, until: float) -> Revocation:
    name = {"session": "s1", "token": "t1"}.get(kind, "")
    return Revocation(kind=kind, subject=subject, id=name, at=20.0, until=until)


REVOKED = st.builds(
    revocation,
    st.sampled_from(["block", "tokens", "session", "token"]),
    st.sampled_from([ALICE, BOB, AGENT, WEB.subject]),
    st.sampled_from([60.0, inf]),
)
SIGNALS = st.builds(
    lambda subject, level, at: Signal(
        key=SignalKey("subject", subject.issuer, subject.id, "", "account", "hr"), level=level, at=at, until=100.0
    ),
    st.sampled_from([ALICE, AGENT, WEB.subject]),
    st.sampled_from(["enabled", "disabled"]),
    st.sampled_from([1.0, 2.0, 3.0]),
)
CHANGES = REVOKED | SIGNALS | REVOKED.map(lambda one: one.key) | st.sampled_from([30.0, 70.0, 130.0])
LOOKS = st.tuples(st.sampled_from(CALLERS), st.booleans())


def said(by: RevocationFeed, identity: Identity, now: float) -> str:
    try:
        by.check(identity, now=now)
    except Refused as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize("most", [2, 4096])
@given(steps=st.lists(LOOKS | LOOKS | CHANGES, max_size=30))
def test_whoever_was_not_named_is_looked_for_as_if_for_the_first_time(most: int, steps: list[object]) -> None:
    async def live() -> None:
        store, now = MemoryStore(), [25.0]
        feed = RevocationFeed(store, max_staleness=inf, now=lambda: now[0], clock=lambda: now[0])
        await feed.load()
        for step in steps:
            match step:
                case Revocation() as one:
                    await store.put_revocation(one, now=now[0])
                case Signal() as one:
                    await store.deliver(Delivery(receipt=None, signals=(one,)), now=now[0])
                case float() as moment:
                    now[0] = max(now[0], moment)
                case (Identity() as identity, bool() as is_new):
                    new = RevocationFeed(store, max_staleness=inf, now=lambda: now[0], clock=lambda: now[0])
                    await new.load()
                    asked = replace(identity) if is_new else identity
                    assert said(feed, asked, now[0]) == said(new, asked, now[0])
                    assert len(feed._known.unnamed) <= most
                    continue
                case RevocationKey() as key:
                    await store.withdraw_revocation(key, now=now[0])
                case _:
                    raise AssertionError(step)
            await feed.load()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(revocation_feed, "MOST_UNNAMED", most)
        asyncio.run(live())


def test_while_nothing_is_revoked_nobody_is_remembered() -> None:
    async def live() -> None:
        store = MemoryStore()
        feed = RevocationFeed(store, max_staleness=inf)
        await feed.load()
        for identity in CALLERS:
            feed.check(identity, now=25.0)
        assert not feed._known.unnamed
        await store.put_revocation(Revocation(kind="block", subject=Subject("", "nobody"), at=1.0), now=25.0)
        await feed.load()
        for identity in CALLERS:
            feed.check(identity, now=25.0)
        assert feed._known.unnamed

    asyncio.run(live())


def test_a_signal_alone_is_looked_at() -> None:
    async def live() -> None:
        store = MemoryStore()
        key = SignalKey("subject", ALICE.issuer, ALICE.id, "", "account", "hr")
        disabled = Signal(key=key, level="disabled", at=1.0)
        await store.deliver(Delivery(receipt=None, signals=(disabled,)), now=25.0)
        feed = RevocationFeed(store, max_staleness=inf)
        await feed.load()
        refused = [said(feed, identity, 25.0) for identity in CALLERS]
        assert [bool(text) for text in refused] == [False, False, True, True, False]

    asyncio.run(live())
