"""A Redis that answers and refuses: it loads, it is busy, it can't save, it has no room, it became a replica, it drips.

Each is an outage within the time that a call may take, half of nothing is done, and it is used again as soon as it is
well.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from ports import free_port
from redis import Redis
from redis.exceptions import RedisError
from redises import RedisProcess
from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import run
from store.parts import ADDRESS, LIMIT, enrolment, factor, grant, redemption

from extauthz.errors import StateUnavailable
from extauthz.identity.revocations import Revocation
from extauthz.store.protocol import Activity, Redeemed, Redemption, SpentTicket, Store, UseUp

Open = Callable[[str], Store]
Ask = Callable[[Store], object]

READ: Ask = lambda store: run(store.look_up(ALICE, SESSION, fingerprint="f", now=NOW))  # noqa: E731 - one of many
WRITES: Sequence[Ask] = (
    lambda store: run(store.redeem(redemption(grant("late"), ticket="t"), now=NOW)),
    lambda store: run(store.consume(ALICE, ["kept"], fingerprint="f", now=NOW)),
    lambda store: run(store.use_proof("p", expires_at=NOW + 90, fingerprint="f", now=NOW)),
    lambda store: run(store.attempt([LIMIT, ADDRESS], now=NOW)),
    lambda store: run(store.enroll(enrolment(factor("new")), now=NOW)),
    lambda store: run(store.touch([Activity(subject=ALICE, session=SESSION, at=NOW, until=NOW + 60)])),
    lambda store: run(store.put_revocation(Revocation(kind="tokens", subject=ALICE, at=NOW), now=NOW)),
    lambda store: run(store.ping()),
)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisProcess]:
    """A Redis that a test may break."""
    with RedisProcess(tmp_path / "redis").start() as running:
        yield running


@pytest.fixture
def admin(own: RedisProcess) -> Iterator[Redis]:
    """Who runs it."""
    with own.client() as client:
        yield client


def filled(opened: Open, url: str) -> Store:
    """A store in which Alice has a factor, a recovery code and the grant `kept` for one use."""
    store = opened(url)
    until_well(store)
    run(store.enroll(enrolment(factor(), factor("code", kind="recovery")), now=NOW))
    kept = Redemption(
        subject=ALICE, burn=None, grants=(grant("kept", uses=1),), ticket=SpentTicket(id="k", expires_at=NOW + 300)
    )
    assert run(store.redeem(kept, now=NOW)) is Redeemed.DONE
    return store


def refusal(store: Store, ask: Ask) -> str:
    """What is said of the call, which fails."""
    with pytest.raises(StateUnavailable) as refused:
        ask(store)
    return str(refused.value)


def until_well(store: Store) -> None:
    """Wait until it is used again; nobody but the store does anything for that."""
    while True:
        with suppress(StateUnavailable):
            run(store.ping())
            return
        time.sleep(0.01)


def nothing_has_happened(store: Store) -> None:
    """What was refused has left nothing, and nothing of it was burned."""
    until_well(store)
    found = run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants
    assert [(one.id, one.uses) for one in found] == [("kept", 1)]
    assert run(store.redeem(redemption(grant("late"), ticket="t"), now=NOW)) is Redeemed.DONE
    assert run(store.consume(ALICE, ["kept"], fingerprint="g", now=NOW))


@pytest.mark.in_time
def test_a_redis_that_is_loading_what_it_kept_is_an_outage_until_it_has_it(tmp_path: Path, opened: Open) -> None:
    slowly = ("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
    with RedisProcess(tmp_path / "redis", *slowly) as own:
        own.start()
        store = filled(opened, own.url)
        with own.client() as admin:
            for number in range(800):
                admin.set(f"other:{number}", "x" * 100)
            admin.save()
        own.stop()
        starting = threading.Thread(target=own.start)
        starting.start()
        said: list[str] = []
        while len(said) < 10_000:
            try:
                READ(store)
                WRITES[3](store)
                break
            except StateUnavailable as refused:
                said.append(str(refused))
                time.sleep(0.001)
        starting.join()
        nothing_has_happened(store)
    assert any("loading" in one for one in said)


@pytest.mark.in_time
def test_a_redis_that_is_busy_with_a_script_is_an_outage_until_it_is_killed(
    own: RedisProcess, admin: Redis, opened: Open
) -> None:
    store = filled(opened, own.url)
    admin.config_set("busy-reply-threshold", 20)

    def spin() -> None:
        with own.client() as client, suppress(RedisError):
            client.eval("while true do end", 0)

    spinning = threading.Thread(target=spin)
    spinning.start()
    until_busy(admin)
    said = [refusal(store, ask) for ask in (READ, *WRITES)]
    assert all("BUSY" in one or "no answer within 80 ms" in one or "busy" in one for one in said), said
    admin.script_kill()
    spinning.join()
    nothing_has_happened(store)


def until_busy(admin: Redis) -> None:
    while True:
        try:
            admin.ping()
        except RedisError:
            return


def test_a_redis_that_can_not_save_takes_no_proof_until_it_can(own: RedisProcess, admin: Redis, opened: Open) -> None:
    store = filled(opened, own.url)
    admin.config_set("save", "1000000 1")
    admin.config_set("rdb-key-save-delay", 10_000_000)
    admin.bgsave()
    parent = admin.info("server")["process_id"]
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)  # as the system does when memory runs out
    until_saved(admin, "err")
    said = [refusal(store, ask) for ask in WRITES]
    assert all("MISCONF" in one for one in said), said
    assert READ(store), "who reads changes nothing"
    admin.config_set("rdb-key-save-delay", 0)
    admin.bgsave()
    until_saved(admin, "ok")
    nothing_has_happened(store)


def until_saved(admin: Redis, status: str) -> None:
    while (told := admin.info("persistence"))["rdb_last_bgsave_status"] != status or told["rdb_bgsave_in_progress"]:
        time.sleep(0.01)


def test_a_redis_without_room_takes_no_proof_until_there_is_some(own: RedisProcess, admin: Redis, opened: Open) -> None:
    store = filled(opened, own.url)
    admin.config_set("maxmemory", "1")
    said = [refusal(store, ask) for ask in WRITES]
    assert all("maxmemory" in one for one in said), said
    assert READ(store), "who reads changes nothing"
    admin.config_set("maxmemory", "0")
    nothing_has_happened(store)


def test_a_recovery_code_in_a_redis_without_room_is_used_whole_or_not_at_all(
    own: RedisProcess, admin: Redis, opened: Open
) -> None:
    store = filled(opened, own.url)
    admin.config_set("maxmemory", "1")
    late = Redemption(
        subject=ALICE,
        burn=UseUp(factor="code"),
        grants=(grant("late"),),
        ticket=SpentTicket(id="t", expires_at=NOW + 300),
    )
    with suppress(StateUnavailable):
        run(store.redeem(late, now=NOW))
    has_code = "code" in [one.id for one in run(store.factors(ALICE))]
    has_grant = "late" in [one.id for one in run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants]
    assert has_code != has_grant
    admin.config_set("maxmemory", "0")
    assert run(store.redeem(late, now=NOW)) is (Redeemed.DONE if has_code else Redeemed.TICKET_USED)


def test_a_redis_that_becomes_a_replica_takes_no_proof_and_is_not_asked_until_it_is_the_master_again(
    own: RedisProcess, admin: Redis, opened: Open
) -> None:
    store = filled(opened, own.url)
    admin.replicaof("127.0.0.1", str(free_port()))
    assert all("read only replica" in refusal(store, ask).lower() for ask in WRITES[:-1])
    assert "it is a replica" in refusal(store, lambda store: run(store.ping()))
    assert "it is a replica" in refusal(store, READ), "as soon as somebody has looked"
    admin.replicaof("NO", "ONE")
    nothing_has_happened(store)


@contextmanager
def dripping(own: RedisProcess, drips: threading.Event) -> Iterator[str]:
    """The address of a way to the Redis on which answers come a byte at a time, while that is so."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threads: list[threading.Thread] = []

        def pass_on(source: socket.socket, target: socket.socket, *, slow: bool) -> None:
            with suppress(OSError), source, target:
                while chunk := source.recv(65_536):
                    for one in [chunk[at : at + 1] for at in range(len(chunk))] if slow and drips.is_set() else [chunk]:
                        target.sendall(one)
                        if slow and drips.is_set():
                            time.sleep(0.03)
                with suppress(OSError):
                    target.shutdown(socket.SHUT_WR)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    upstream = socket.socket(socket.AF_UNIX)
                    upstream.connect(own.socket)
                    for source, target, slow in ((client, upstream, False), (upstream, client, True)):
                        threads.append(threading.Thread(target=pass_on, args=(source, target), kwargs={"slow": slow}))
                        threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        accepting.join()
    for thread in threads:
        thread.join()


@pytest.mark.in_time
def test_a_redis_whose_answers_drip_is_an_outage_within_the_time_of_a_call(own: RedisProcess, opened: Open) -> None:
    drips = threading.Event()
    with dripping(own, drips) as url:
        store = filled(opened, url)
        drips.set()
        for _ in range(2):
            for ask in (READ, WRITES[2], WRITES[3], WRITES[5]):
                assert "no answer within 80 ms" in refusal(store, ask)
        drips.clear()
        until_well(store)
        found = run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants
        assert [one.id for one in found] == ["kept"], "and it is the answer to this question"
        run(store.close())
