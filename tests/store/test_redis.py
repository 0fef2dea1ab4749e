"""The Redis store beside a real server: outages, restarts, settings, logins, keys and their ends."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ports import free_port
from redises import RedisProcess
from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import crowd, run
from store.parts import ADDRESS, LIMIT, enrolment, factor, grant, redemption

from extauthz.errors import ConfigurationError, StateUnavailable
from extauthz.identity.revocations import Revocation
from extauthz.store import redis_server
from extauthz.store.protocol import (
    CLOCK_SKEW,
    RESET_SECONDS,
    Activity,
    Presence,
    Redeemed,
    Redemption,
    Selection,
    Store,
)
from extauthz.store.redis_server import RedisServer
from extauthz.values.identity import Subject

Open = Callable[[str], Store]


def is_out_of_reach(store: Store) -> bool:
    try:
        run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW))
    except StateUnavailable:
        return True
    return False


@pytest.mark.in_time
def test_a_redis_that_hangs_is_an_outage_within_a_tenth_of_a_second(own: RedisProcess, opened: Open) -> None:
    store = opened(own.url)
    while is_out_of_reach(store):
        pass
    own.pause()
    loop_time: list[float] = []

    async def ask() -> None:
        began = time.monotonic()
        with pytest.raises(StateUnavailable, match="no answer within 80 ms"):
            await store.look_up(ALICE, SESSION, fingerprint="", now=NOW)
        loop_time.append(time.monotonic() - began)

    async def many() -> None:
        await asyncio.gather(*(ask() for _ in range(100)))

    run(ask())
    run(many())
    assert min(loop_time) >= 0.07
    own.resume()
    while is_out_of_reach(store):
        pass


def test_a_call_that_was_cut_off_leaves_no_reply_for_the_next(own: RedisProcess, opened: Open) -> None:
    store = opened(own.url)
    run(store.enroll(enrolment(factor()), now=NOW))
    assert run(store.redeem(redemption(grant("a")), now=NOW)) is Redeemed.DONE
    own.pause()

    async def cut_off() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await store.factors(ALICE)

    run(cut_off())
    own.resume()
    found = run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW))
    assert [one.id for one in found.grants] == ["a"]


def test_a_redis_that_was_stopped_and_started_is_used_again_and_has_forgotten_nothing(
    own: RedisProcess, opened: Open
) -> None:
    store = opened(own.url)
    run(store.enroll(enrolment(factor()), now=NOW))
    assert run(store.redeem(redemption(grant("a", uses=1)), now=NOW)) is Redeemed.DONE
    assert run(store.consume(ALICE, ["a"], fingerprint="", now=NOW))
    own.stop()
    for _ in range(2):
        assert is_out_of_reach(store)
    with pytest.raises(StateUnavailable):
        run(store.ping())
    own.start()
    assert not run(store.consume(ALICE, ["a"], fingerprint="", now=NOW)), "the first call is served"
    assert run(store.redeem(redemption(), now=NOW)) is Redeemed.MARK_USED
    run(store.ping())


def test_stopped_and_started_under_load_it_fails_closed_and_recovers_by_itself(own: RedisProcess, opened: Open) -> None:
    store = opened(own.url)
    run(store.enroll(enrolment(factor()), now=NOW))
    grants = tuple(grant(f"g{number}", uses=1) for number in range(400))
    assert run(store.redeem(redemption(*grants), now=NOW)) is Redeemed.DONE
    used: list[str] = []
    refused: list[str] = []
    back: list[float] = []
    denied = asyncio.Event()

    async def use(id_: str) -> None:
        try:
            assert await store.consume(ALICE, [id_], fingerprint="", now=NOW)
        except StateUnavailable:
            refused.append(id_)
            denied.set()
        else:
            used.append(id_)

    async def load() -> None:
        pending = iter(grants)

        async def client() -> None:
            for one in pending:
                await use(one.id)
                await asyncio.sleep(0.005)

        async def outage() -> None:
            await asyncio.sleep(0.1)
            await asyncio.to_thread(own.stop)
            await denied.wait()
            await asyncio.to_thread(own.start)
            began = time.monotonic()
            while True:
                with suppress(StateUnavailable):
                    await store.look_up(ALICE, SESSION, fingerprint="", now=NOW)
                    break
                await asyncio.sleep(0.01)
            back.append(time.monotonic() - began)

        await asyncio.gather(outage(), *(client() for _ in range(4)))

    run(load())
    assert refused
    assert back
    assert set(used).isdisjoint(refused)
    for id_ in used:
        assert not run(store.consume(ALICE, [id_], fingerprint="", now=NOW)), "given once"


def test_a_redis_that_is_not_there_yet_is_an_outage_that_ends(tmp_path: Path, opened: Open) -> None:
    later = RedisProcess(tmp_path / "redis")
    store = opened(later.url)
    assert is_out_of_reach(store)
    with later.start():
        assert not is_out_of_reach(store)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_redis_that_may_forget_is_not_used(own: RedisProcess, opened: Open, policy: str) -> None:
    store = opened(own.url)
    run(store.ping())
    with own.client() as client:
        client.config_set("maxmemory-policy", policy)
        with pytest.raises(ConfigurationError, match=f"`{policy}`, which may forget burned codes; set `maxmemory-pol"):
            run(store.ping())
        with pytest.raises(StateUnavailable, match=policy):
            run(store.consume(ALICE, ["g1"], fingerprint="", now=NOW))
        client.config_set("maxmemory-policy", "noeviction")
    run(store.ping())
    assert not is_out_of_reach(store)


def test_a_redis_that_is_full_is_an_outage_for_what_must_be_written(own: RedisProcess, opened: Open) -> None:
    store = opened(own.url)
    run(store.enroll(enrolment(factor()), now=NOW))
    with own.client() as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(StateUnavailable, match="maxmemory"):
            run(store.redeem(redemption(), now=NOW))
        with pytest.raises(StateUnavailable, match="maxmemory"):
            run(store.ping())
        client.config_set("maxmemory", "0")
    assert run(store.redeem(redemption(), now=NOW)) is Redeemed.DONE


def test_scripts_that_the_server_has_forgotten_are_sent_again(own: RedisProcess, opened: Open) -> None:
    store = opened(own.url)
    for step in range(3):
        with own.client() as client:
            client.script_flush()
        run(store.enroll(enrolment(factor(f"f{step}")), now=NOW))
        assert run(store.redeem(redemption(of=f"f{step}", limits=(LIMIT, ADDRESS)), now=NOW)) is Redeemed.DONE


def test_a_look_up_is_one_round_trip(own: RedisProcess, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(own.url)
    run(store.ping())
    trips: list[int] = []
    exchange = RedisServer.exchange

    async def counted(server: RedisServer, commands: list[redis_server.Words]) -> list[redis_server.Reply]:
        trips.append(len(commands))
        return await exchange(server, commands)

    monkeypatch.setattr(RedisServer, "exchange", counted)
    run(store.look_up(ALICE, SESSION, fingerprint="f", now=NOW))
    assert trips == [3]
    run(store.consume(ALICE, ["g1"], fingerprint="f", now=NOW))
    del trips[:]
    run(store.consume(ALICE, ["g1"], fingerprint="f", now=NOW))
    assert trips == [1]


def test_no_more_connections_than_are_allowed(own: RedisProcess, opened: Open) -> None:
    store = opened(own.url)

    async def many() -> None:
        await asyncio.gather(
            *(store.look_up(ALICE, SESSION, fingerprint="", now=NOW) for _ in range(redis_server.CONNECTIONS * 5))
        )

    run(many())
    with own.client() as client:
        assert len(client.client_list()) <= redis_server.CONNECTIONS + 1


def _kind(key: str) -> str:
    tag, _, last = key.partition("{")[2].partition("}")
    return (last.lstrip(":") or tag).partition(":")[0]


def test_everything_but_factors_ends_by_itself(own: RedisProcess, opened: Open) -> None:
    store = opened(own.url)
    run(store.reset_factors(ALICE, [], now=NOW))
    run(store.enroll(enrolment(factor()), now=NOW))
    run(store.attempt([LIMIT, ADDRESS], now=NOW))
    assert run(store.redeem(redemption(grant(uses=2), ticket="t"), now=NOW)) is Redeemed.DONE
    run(store.consume(ALICE, ["g1"], fingerprint="f", now=NOW))
    run(store.use_proof("p1", expires_at=NOW + 90, fingerprint="f", now=NOW))
    run(store.touch([Activity(subject=ALICE, session=SESSION, at=NOW, until=NOW + 3600)]))
    run(store.ping())
    with own.client() as client:
        kept = {_kind(key.decode()): client.ttl(key) for key in client.scan_iter()}
    assert kept.pop("factors") == -1
    assert 0 < kept.pop("reset") <= RESET_SECONDS
    assert all(0 < ttl <= 300 + CLOCK_SKEW + 3600 for ttl in kept.values())
    assert kept["grants"] == kept["ends"] == pytest.approx(300 + CLOCK_SKEW, abs=5)
    assert kept["ticket"] == pytest.approx(300 + CLOCK_SKEW, abs=5), "burned for longer than it is good"


def test_grants_that_have_ended_leave_when_new_ones_come(own: RedisProcess, opened: Open) -> None:
    store = opened(own.url)
    run(store.enroll(enrolment(factor()), now=NOW))
    run(store.redeem(redemption(grant("a", uses=1, expires_at=NOW + 1), step=1), now=NOW))
    run(store.redeem(redemption(grant("b"), step=2), now=NOW + 2))
    with own.client() as client:
        (key,) = client.keys("*:grants")
        assert client.hkeys(key) == [b"text:b"]


def test_prefixes_keep_installations_apart(own: RedisProcess, opened: Open) -> None:
    one, other = opened(own.url), opened(f"{own.url}?prefix=test")
    run(one.enroll(enrolment(factor()), now=NOW))
    assert run(other.factors(None)) == ()
    assert run(one.factors(None)) == (factor(),)


@pytest.mark.parametrize("address", ["redis", "cluster"], indirect=True)
def test_many_subjects_are_listed_and_revoked(address: str, opened: Open) -> None:
    store = opened(address)
    people = [Subject(ALICE.issuer, f"user-{number}") for number in range(700)]

    async def join(number: int, person: Subject) -> None:
        await store.enroll(enrolment(factor(f"f{number}", person)), now=NOW)
        left = (grant(f"g{number}", subject=person),)
        proof = Redemption(subject=person, burn=Presence(factor=f"f{number}"), grants=left)
        assert await store.redeem(proof, now=NOW) is Redeemed.DONE

    run(crowd(join(number, person) for number, person in enumerate(people)))
    assert {one.subject for one in run(store.factors(None))} == set(people)
    assert len(run(store.grants(Selection(rule="p/r"), now=NOW))) == 700
    assert run(store.revoke(Selection(rule="p/r"), now=NOW)) == 700
    assert run(store.grants(Selection(), now=NOW)) == ()


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[RedisProcess]:
    """A Redis on TCP that asks for a password."""
    port = free_port()
    with RedisProcess(tmp_path / "redis", "--requirepass", "s3cret/@%", port=port).start() as running:
        yield running


def test_a_password_is_taken_from_the_address_or_a_file(locked: RedisProcess, opened: Open, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret/@%\n")
    for url in (
        f"redis://:s3cret%2F%40%25@127.0.0.1:{locked.port}",
        f"redis://default:s3cret%2F%40%25@127.0.0.1:{locked.port}/2",
        f"redis://127.0.0.1:{locked.port}/?password_file=password",
        f"redis://default@127.0.0.1:{locked.port}/?password_file={tmp_path}/password",
        f"{locked.url}?password_file=password&db=3",
    ):
        store = opened(url)
        run(store.ping())
        assert not is_out_of_reach(store)


def test_a_wrong_password_is_told_without_it(locked: RedisProcess, opened: Open) -> None:
    store = opened(f"redis://:wr0ng@127.0.0.1:{locked.port}")
    with pytest.raises(StateUnavailable) as refused:
        run(store.factors(None))
    with pytest.raises(ConfigurationError, match="check user and password") as told:
        run(store.ping())
    assert "wr0ng" not in f"{refused.value}{told.value}{store!r}"
    for url in (f"redis://127.0.0.1:{locked.port}", locked.url, f"redis+unix://:wr0ng@{locked.socket}"):
        with pytest.raises(ConfigurationError, match="check user and password"):
            run(opened(url).ping())


def test_the_rights_that_the_page_on_state_names_are_enough(own: RedisProcess, opened: Open, tmp_path: Path) -> None:
    rights = ["get", "set", "del", "exists", "expire", "ttl", "scan", "info", "@hash", "@sortedset", "eval", "evalsha"]
    with own.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~extauthz:*", *(f"+{one}" for one in rights))
    (tmp_path / "password").write_text("pw")
    store = opened(f"redis+unix://app@{own.socket}?password_file=password")
    run(store.ping())
    run(store.enroll(enrolment(factor()), now=NOW))
    assert run(store.attempt([LIMIT, ADDRESS], now=NOW)).wait == 0
    assert run(store.redeem(redemption(grant(uses=1), ticket="t", limits=(LIMIT, ADDRESS)), now=NOW)) is Redeemed.DONE
    assert run(store.consume(ALICE, ["g1"], fingerprint="f", now=NOW))
    assert run(store.use_proof("p1", expires_at=NOW + 90, fingerprint="f", now=NOW))
    run(store.touch([Activity(subject=ALICE, session=SESSION, at=NOW, until=NOW + 3600)]))
    assert len(run(store.look_up(ALICE, SESSION, fingerprint="f", now=NOW)).grants) == 1
    assert run(store.revoke(Selection(), now=NOW)) == 0
    tokens = Revocation(kind="tokens", subject=ALICE, at=NOW)
    run(store.put_revocation(tokens, now=NOW))
    assert run(store.revocation_changes(None)).put == (tokens,)
    assert run(store.reset_factors(ALICE, [LIMIT], now=NOW)) == 1
