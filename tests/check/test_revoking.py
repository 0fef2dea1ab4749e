"""Revoked tokens and blocked subjects on the way through the pipeline: they beat every cache, grant and wait."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from checking import ISSUER, Bench, make_bench, told
from identity.possession import new_client

from extauthz.check.revocation_feed import RevocationFeed
from extauthz.errors import StateUnavailable
from extauthz.identity.revocations import DIGEST_PREFIX, Kind, Revocation
from extauthz.store.memory import MemoryStore
from extauthz.store.protocol import Consumed, Store
from extauthz.store.revocations import Changes
from extauthz.store.sqlite import SqliteStore
from extauthz.values.decisions import Deny
from extauthz.values.identity import Subject
from extauthz.wire.compose import check_request

ALICE, BOB = Subject(ISSUER, "alice"), Subject(ISSUER, "bob")
WEB = "spiffe://example.org/web"
ALLOWED = ("allow", "allowed", 0)
REVOKED = ("deny", "token-revoked", 16)
BLOCKED = ("deny", "subject-blocked", 7)
STALE = ("deny", "revocations-stale", 14)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "state.db")


def pay(bench: Bench, token: str, **headers: str) -> bytes:
    return bench.request("/pay?amount=5", headers={"authorization": f"Bearer {token}", **headers})


def unblock(bench: Bench, subject: Subject) -> None:
    key = Revocation(kind="block", subject=subject, at=0).key
    assert asyncio.run(bench.store.withdraw_revocation(key, now=bench.now[0]))
    asyncio.run(bench.feed.load())


@pytest.mark.parametrize("by", ["tokens", "session", "token", "digest"])
def test_a_revoked_token_is_refused_although_it_was_verified_before(
    bench: Bench, by: Literal["tokens", "session", "token", "digest"]
) -> None:
    token, other = bench.token(jti="t1"), bench.token("bob", jti="t2", sid="s2")
    assert [bench.decision(pay(bench, one)) for one in (token, other)] == [ALLOWED, ALLOWED]
    identity = bench.records.kept[0].identity
    assert identity is not None
    (credential,) = identity.credentials
    kind: Kind = "token" if by == "digest" else by
    bench.revoke(kind, ALICE, {"session": "s1", "token": "t1", "digest": DIGEST_PREFIX + credential.digest}.get(by, ""))
    assert [bench.decision(pay(bench, one)) for one in (token, other)] == [REVOKED, ALLOWED]


def test_a_token_that_was_issued_later_is_good(bench: Bench) -> None:
    claims = {"iss": ISSUER, "aud": "shop", "sub": "alice", "exp": int(bench.now[0]) + 600}
    old, undated = bench.token(), bench.sign(claims)
    bench.revoke("tokens", ALICE)
    assert bench.decision(pay(bench, old)) == REVOKED
    bench.now[0] += 1
    assert bench.decision(pay(bench, bench.token())) == ALLOWED
    assert bench.decision(pay(bench, undated)) == REVOKED


def test_what_was_wrong_is_told_and_recorded_without_details_leaving(bench: Bench) -> None:
    bench.revoke("session", ALICE, "s1")
    response = bench.answer(bench.as_user("/pay?amount=5"))
    assert response.denied_response.status.code == 401
    sent = {option.header.key: option.header.value for option in response.denied_response.headers}
    assert 'error="invalid_token"' in sent["www-authenticate"]
    assert "revoked" in response.denied_response.body
    assert "session" not in response.denied_response.body
    (record,) = bench.records.kept
    assert isinstance(record.decision, Deny)
    assert record.detail == "revocations: the session of the token is revoked"
    assert record.identity is not None
    assert record.identity.user is not None


def test_a_block_counts_for_users_workloads_and_every_actor_until_it_is_lifted(bench: Bench) -> None:
    chained = bench.token("bob", sid="s2", act={"sub": "agent", "act": {"sub": WEB, "iss": "https://other.example"}})
    by_web = check_request(
        method="POST",
        host="payments.example.com",
        path="/pay?amount=5",
        headers={"authorization": f"Bearer {bench.token('bob', sid='s2')}"},
        principal=WEB,
    )
    for subject, asked in (
        (BOB, pay(bench, bench.token("bob", sid="s2"))),
        (Subject(ISSUER, "agent"), pay(bench, chained)),
        (Subject("https://other.example", WEB), pay(bench, chained)),
        (Subject("", WEB), pay(bench, chained)),
        (Subject("", WEB), by_web),
    ):
        assert bench.decision(asked) == ALLOWED
        bench.revoke("block", subject)
        assert bench.decision(asked) == BLOCKED
        assert bench.decision(pay(bench, bench.token())) == ALLOWED
        unblock(bench, subject)
        assert bench.decision(asked) == ALLOWED


def test_a_block_for_a_while_ends_by_itself(bench: Bench) -> None:
    bench.revoke("block", ALICE, until=bench.now[0] + 60)
    assert bench.decision(bench.as_user("/pay?amount=5")) == BLOCKED
    bench.now[0] += 60
    assert bench.decision(bench.as_user("/pay?amount=5")) == ALLOWED


def test_a_block_beats_a_grant_and_a_code_burns_nothing(bench: Bench) -> None:
    large = bench.as_user("/pay?amount=5000", code=bench.code())
    bench.revoke("block", ALICE)
    assert bench.decision(large) == BLOCKED
    unblock(bench, ALICE)
    assert bench.decision(large) == ALLOWED, "the code is still good"
    assert bench.decision(bench.as_user("/pay?amount=6000")) == ALLOWED, "it has left a grant"
    bench.revoke("block", ALICE)
    assert bench.decision(bench.as_user("/pay?amount=6000")) == BLOCKED
    unblock(bench, ALICE)
    assert bench.decision(bench.as_user("/pay?amount=6000")) == ALLOWED


def test_what_was_proven_goes_with_the_tokens(bench: Bench) -> None:
    assert bench.decision(bench.as_user("/pay?amount=5000", code=bench.code())) == ALLOWED
    bench.revoke("tokens", ALICE)
    bench.now[0] += 1
    assert bench.decision(bench.as_user("/pay?amount=5000"))[:2] == ("challenge", "proof-required")


@pytest.mark.parametrize("kind", ["block", "tokens", "session"])
def test_a_code_that_comes_before_this_server_has_heard_of_a_revocation_leaves_no_grant(
    bench: Bench, kind: Kind
) -> None:
    made = Revocation(kind=kind, subject=ALICE, id="s1" if kind == "session" else "", at=bench.now[0])
    large = bench.as_user("/pay?amount=5000", code=bench.code())
    asyncio.run(bench.store.put_revocation(made, now=bench.now[0]))
    for _ in range(2):
        assert bench.decision(large) == (BLOCKED if kind == "block" else REVOKED)
    assert asyncio.run(bench.store.withdraw_revocation(made.key, now=bench.now[0]))
    assert bench.decision(bench.as_user("/pay?amount=5000"))[:2] == ("challenge", "proof-required")
    assert bench.decision(large) == ALLOWED, "the code is still good"


def test_a_code_beside_a_token_that_was_issued_after_a_revocation_is_good_at_once(bench: Bench) -> None:
    asyncio.run(bench.store.put_revocation(Revocation(kind="tokens", subject=ALICE, at=bench.now[0]), now=bench.now[0]))
    bench.now[0] += 2
    newer = bench.token(iat=int(bench.now[0]))
    sent = {"authorization": f"Bearer {newer}", "x-extauthz-otp": bench.code()}
    assert bench.decision(bench.request("/pay?amount=5000", headers=sent)) == ALLOWED


@dataclass
class Interrupted(MemoryStore):
    """A store in which something happens while it is asked."""

    meanwhile: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    async def consume(self, subject: Subject, grants: Sequence[str], *, fingerprint: str, now: float) -> Consumed:
        used = await super().consume(subject, grants, fingerprint=fingerprint, now=now)
        await self.happen("consume")
        return used

    async def use_proof(self, proof: str, *, expires_at: float, fingerprint: str, now: float) -> bool:
        first = await super().use_proof(proof, expires_at=expires_at, fingerprint=fingerprint, now=now)
        await self.happen("use_proof")
        return first

    async def happen(self, during: str) -> None:
        if during in self.meanwhile:
            await self.meanwhile.pop(during)()


@pytest.mark.parametrize("kind", ["block", "tokens"])
def test_what_is_revoked_while_a_check_waits_counts_for_it(kind: Kind) -> None:
    store = Interrupted()
    bench = make_bench(store)
    revocation = Revocation(kind=kind, subject=ALICE, at=bench.now[0])

    async def revoke() -> None:
        await store.put_revocation(revocation, now=bench.now[0])
        await bench.feed.load()

    client = new_client()
    bound = bench.token(cnf={"jkt": client.thumbprint})
    proof = client.proof(bound, now=bench.now[0], htm="POST", htu="https://payments.example.com/pay")
    sent = {"authorization": f"Bearer {bench.token()}", "x-extauthz-otp": bench.code()}
    once = bench.request("/pay?once=1&amount=1", headers=sent, body=b"x")
    for during, asked in (
        ("consume", once),
        ("use_proof", bench.request("/pay?amount=5", headers={"authorization": f"DPoP {bound}", "dpop": proof})),
    ):
        store.meanwhile[during] = revoke
        assert bench.decision(asked) == (BLOCKED if kind == "block" else REVOKED)
        assert store.meanwhile == {}
        assert asyncio.run(store.withdraw_revocation(revocation.key, now=bench.now[0]))
        asyncio.run(bench.feed.load())


def test_whoever_can_not_be_known_to_be_unblocked_is_denied_and_nobody_else(bench: Bench) -> None:
    web = check_request(method="POST", host="payments.example.com", path="/health", principal=WEB)
    asked = (bench.as_user("/pay?amount=5"), web, bench.request("/health"))
    bench.elapsed[0] += 60
    assert [bench.decision(one) for one in asked] == [ALLOWED] * 3
    bench.elapsed[0] += 0.1
    assert [bench.decision(one) for one in asked] == [STALE, STALE, ALLOWED]
    assert bench.feed.standing.is_stale
    asyncio.run(bench.feed.load())
    assert [bench.decision(one) for one in asked] == [ALLOWED] * 3


def test_a_known_block_is_told_although_the_rest_is_stale(bench: Bench) -> None:
    bench.revoke("block", ALICE)
    bench.elapsed[0] += 61
    assert bench.decision(bench.as_user("/pay?amount=5")) == BLOCKED


class Silent(MemoryStore):
    """A store that does not always answer about revocations."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None

    async def revocation_changes(self, since: str | None) -> Changes:
        if self.error is not None:
            raise self.error
        return await super().revocation_changes(since)


def test_before_the_first_answer_of_the_store_nobody_is_known_to_be_unblocked() -> None:
    silent = Silent()
    silent.error = StateUnavailable("store: it is away")
    feed = RevocationFeed(silent, max_staleness=float("inf"))
    assert feed.standing.is_stale
    with pytest.raises(StateUnavailable):
        asyncio.run(feed.load())
    assert (feed.standing.is_stale, feed.standing.confirmed_at) == (True, None)
    silent.error = None
    asyncio.run(feed.load())
    assert not feed.standing.is_stale


@pytest.mark.parametrize(
    ("error", "said"), [(StateUnavailable("store: it is away"), "store: it is away"), (KeyError("x"), "KeyError")]
)
def test_what_is_known_stays_in_force_while_the_store_is_silent_and_it_recovers_by_itself(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("extauthz.check.revocation_feed.POLL", 0.001)
    silent = Silent()
    elapsed = [0.0]
    feed = RevocationFeed(silent, max_staleness=60, now=lambda: 1_000 + elapsed[0], clock=lambda: elapsed[0])
    block = Revocation(kind="block", subject=ALICE, at=0)

    async def until(reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not reached():  # noqa: ASYNC110 - the feed polls
                await asyncio.sleep(0.001)

    async def live() -> None:
        await feed.load()
        following = asyncio.create_task(feed.follow())
        await silent.put_revocation(block, now=0)
        await until(lambda: feed.standing.counts["block"] == 1)
        silent.error = error
        await until(lambda: feed.standing.error is not None)
        assert (feed.standing.error, feed.standing.failing_since) == (said, 1_000)
        assert (feed.standing.counts["block"], feed.standing.is_stale) == (1, False)
        elapsed[0] = 61.0
        assert feed.standing.is_stale
        silent.error = None
        await until(lambda: not feed.standing.is_stale and feed.standing.error is None)
        assert (feed.standing.confirmed_at, feed.standing.failing_since) == (1_061, None)
        following.cancel()

    asyncio.run(live())


def test_what_has_ended_is_forgotten_after_a_while() -> None:
    store, elapsed = MemoryStore(), [0.0]
    feed = RevocationFeed(store, max_staleness=60, now=lambda: elapsed[0], clock=lambda: elapsed[0])

    async def live() -> None:
        for sub, until in (("a", 10.0), ("b", 1_000.0)):
            block = Revocation(kind="block", subject=Subject(ISSUER, sub), at=0, until=until)
            await store.put_revocation(block, now=0)
        await feed.load()
        assert feed.standing.counts["block"] == 2
        elapsed[0] = 61
        await feed.load()
        assert feed.standing.counts["block"] == 1

    asyncio.run(live())


def test_an_answer_says_why_in_its_metadata(bench: Bench) -> None:
    bench.revoke("block", ALICE)
    response = bench.answer(bench.as_user("/pay?amount=5"))
    assert (told(response)["reason"], response.denied_response.status.code) == ("subject-blocked", 403)
