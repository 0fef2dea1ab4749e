"""A Redis that is broken, somebody else's or no Redis at all: nothing is allowed, told or left behind."""

import asyncio
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from listening import Serve, listening
from ports import free_port
from redis.crc import key_slot
from redises import RedisProcess, running_cluster
from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import run
from store.parts import ADDRESS, LIMIT, enrolment, factor, grant, redemption

from extauthz.errors import ConfigurationError, StateUnavailable
from extauthz.identity.revocations import Revocation
from extauthz.store.protocol import Activity, Advance, Changed, Redeemed, Selection, Store
from extauthz.store.redis_rows import tally_key
from extauthz.values.identity import Subject

Open = Callable[[str], Store]
BLOCK = Revocation(kind="block", subject=ALICE, at=NOW)
CALLS: Sequence[Callable[[Store], object]] = (
    lambda store: run(store.look_up(ALICE, SESSION, fingerprint="f", now=NOW)),
    lambda store: run(store.redeem(redemption(grant(), limits=(LIMIT, ADDRESS), ticket="t"), now=NOW)),
    lambda store: run(store.attempt([LIMIT, ADDRESS], now=NOW)),
    lambda store: run(store.grants(Selection(), now=NOW)),
    lambda store: run(store.revoke(Selection(subject=ALICE), now=NOW)),
    lambda store: run(store.enroll(enrolment(factor()), now=NOW)),
    lambda store: run(store.confirm_factor(ALICE, Advance(factor="f1", mark=1), now=NOW)),
    lambda store: run(store.factors(ALICE)),
    lambda store: run(store.factors(None)),
    lambda store: run(store.reset_factors(ALICE, [LIMIT], now=NOW)),
    lambda store: run(store.put_revocation(BLOCK, now=NOW)),
    lambda store: run(store.withdraw_revocation(BLOCK.key, now=NOW)),
    lambda store: run(store.revocations(None, now=NOW)),
    lambda store: run(store.revocation_changes("1-ab")),
)


@contextmanager
def served(serve: Serve) -> Iterator[int]:
    """The port of a server on the loop of the stores."""
    server = listening(serve)
    try:
        yield run(server.__aenter__())
    finally:
        run(server.__aexit__(None, None, None))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Sequence[RedisProcess]]:
    """A cluster of two masters that a test may break."""
    with running_cluster(tmp_path, nodes=2) as running:
        yield running


@pytest.mark.in_time
def test_a_call_that_failed_at_one_node_leaves_no_connection_waiting_at_another(
    pair: Sequence[RedisProcess], opened: Open
) -> None:
    lower, upper = pair
    store = opened(f"redis+cluster://127.0.0.1:{lower.port},127.0.0.1:{upper.port}")
    run(store.ping())
    in_lower = [key_slot(tally_key("extauthz", limit.key).encode()) < 8192 for limit in (LIMIT, ADDRESS)]
    assert any(in_lower)
    assert not all(in_lower)
    lower.stop(how=signal.SIGKILL)
    upper.pause()

    async def tasks_after_a_call() -> int:
        with pytest.raises(StateUnavailable):
            await store.attempt([LIMIT, ADDRESS], now=NOW)
        return len(asyncio.all_tasks())

    assert [run(tasks_after_a_call()) for _ in range(3)] == [1, 1, 1]
    upper.resume()


def test_a_server_that_repeats_what_it_was_sent_does_not_tell_our_password(tmp_path: Path, opened: Open) -> None:
    secrets = ("hunter2", "long" * 50)
    with RedisProcess(tmp_path / "redis", "--rename-command", "AUTH", "LOGIN", port=free_port()).start() as odd:
        for secret in secrets:
            store = opened(f"redis://:{secret}@127.0.0.1:{odd.port}")
            with pytest.raises(StateUnavailable) as refused:
                run(store.factors(None))
            with pytest.raises((StateUnavailable, ConfigurationError)) as told:
                run(store.ping())
            assert "unknown command" in str(refused.value)
            assert secret[:7] not in f"{refused.value}{told.value}"


@pytest.mark.parametrize(
    "url", ["redis://host?password=secret", "redis:secret@host", "redis:/:secret@host", "secret@host", "u:secret@host"]
)
def test_an_address_that_is_mistyped_is_told_without_its_password(opened: Open, url: str) -> None:
    with pytest.raises(ConfigurationError) as told:
        opened(url)
    assert "secret" not in str(told.value)
    assert "host" in str(told.value)


def test_a_replica_that_may_not_know_of_a_revocation_is_not_asked(tmp_path: Path, opened: Open) -> None:
    with (
        RedisProcess(tmp_path / "new", port=free_port()).start() as new,
        RedisProcess(tmp_path / "old", port=free_port()).start() as old,
    ):
        store = opened(f"redis://127.0.0.1:{old.port}")
        run(store.ping())
        assert run(store.enroll(enrolment(factor()), now=NOW)) is Changed.DONE
        assert run(store.redeem(redemption(grant()), now=NOW)) is Redeemed.DONE
        with old.client() as client:
            # A port where nobody is: it never hears of anything again, and answers on.
            client.execute_command("REPLICAOF", "127.0.0.1", free_port())
        with pytest.raises(StateUnavailable, match="replica"):
            run(store.ping())
        with pytest.raises(StateUnavailable, match="replica"):
            run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW))
        with old.client() as client:
            client.execute_command("REPLICAOF", "NO", "ONE")
        run(store.ping())
        assert len(run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants) == 1
        assert new.port


def test_a_user_that_may_run_no_scripts_is_told_at_the_start(tmp_path: Path, opened: Open) -> None:
    with RedisProcess(tmp_path / "redis", port=free_port()).start() as running, running.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-eval", "-evalsha")
        store = opened(f"redis://app:pw@127.0.0.1:{running.port}")
        with pytest.raises(ConfigurationError, match="refuses us"):
            run(store.ping())
        with pytest.raises(StateUnavailable, match="refuses us"):
            run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW))
        client.execute_command("ACL", "SETUSER", "app", "+eval", "+evalsha")
        run(store.ping())
        assert run(store.attempt([LIMIT, ADDRESS], now=NOW)).wait == 0


def test_a_cluster_of_which_one_node_may_forget_is_never_used(pair: Sequence[RedisProcess], opened: Open) -> None:
    store = opened(f"redis+cluster://127.0.0.1:{pair[0].port}")
    with pair[1].client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(ConfigurationError, match="noeviction"):
        run(store.ping())

    async def looks_while_it_is_looked_at() -> int:
        served = 0
        for _ in range(10):
            watching = asyncio.create_task(store.ping())
            while not watching.done():
                try:
                    await store.look_up(ALICE, SESSION, fingerprint="", now=NOW)
                    served += 1
                except StateUnavailable:
                    await asyncio.sleep(0)
            assert isinstance(watching.exception(), ConfigurationError)
        return served

    assert run(looks_while_it_is_looked_at()) == 0


REPLIES = (
    *(b"+OK\r\n", b":1\r\n", b":-5\r\n", b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"$0\r\n\r\n", b"$2\r\n\xff\xfe\r\n"),
    *(b"-ERR no\r\n", b"*1\r\n$4\r\ndone\r\n", b"*2\r\n$6\r\ntext:a\r\n$2\r\n{}\r\n", b"*2\r\n$1\r\n0\r\n*0\r\n"),
    *(b"*2\r\n$6\r\nkind:a\r\n$4\r\ntotp\r\n", b"*2\r\n$6\r\ntext:a\r\n$2\r\n[]\r\n", b"$3\r\nabc\r\n"),
    *(b"$4\r\n1 2 \r\n", b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n", b"*1\r\n:7\r\n", b"\x15\x03\x01"),
    *(b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-\x1b[2Jno\r\n", b"*1\r\n*1\r\n*1\r\n:1\r\n"),
    *(b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"),
)


@pytest.mark.in_time
def test_a_server_that_is_no_redis_is_an_outage_whatever_it_says(opened: Open) -> None:
    chance = random.Random(6)  # noqa: S311 - reproducible, and no secret

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = chance.choice(REPLIES)
        with_others = chance.random() < 0.5
        while await reader.read(65_536):
            for _ in range(3):
                writer.write(chance.choice(REPLIES) if with_others else said)

    with served(babble) as port:
        store = opened(f"redis://127.0.0.1:{port}")
        outages = 0
        for _ in range(40):
            for call in CALLS:
                try:
                    call(store)
                except StateUnavailable as error:
                    outages += 1
                    assert str(error).isprintable()  # noqa: PT017 - it may also succeed by chance
        assert outages > 10 * len(CALLS)


@pytest.mark.parametrize("address", ["redis", "cluster"], indirect=True)
def test_calls_that_are_cut_off_at_any_moment_give_nobody_the_answer_of_another(address: str, opened: Open) -> None:
    store = opened(address)
    chance = random.Random(7)  # noqa: S311 - reproducible, and no secret
    subjects = [Subject("", f"spiffe://example.org/{number}") for number in range(20)]
    answered = 0

    async def ask(number: int) -> None:
        nonlocal answered
        kept = await store.factors(subjects[number])
        seen = (await store.look_up(subjects[number], SESSION, fingerprint="f", now=NOW)).session
        assert [one.id for one in kept] == [f"f{number}"]
        assert seen is not None
        assert seen.started_at == NOW + number
        answered += 1

    async def attack() -> None:
        for number, subject in enumerate(subjects):
            await store.enroll(enrolment(factor(f"f{number}", subject)), now=NOW)
            activity = Activity(subject=subject, session=SESSION, at=NOW + number, until=NOW + 3600)
            await store.touch([activity])
        for _ in range(40):
            calls = [asyncio.create_task(ask(number)) for number in range(len(subjects))]
            for call in chance.sample(calls, 12):
                asyncio.get_running_loop().call_later(chance.random() * 0.01, call.cancel)
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome

    run(attack())
    assert answered > 300
