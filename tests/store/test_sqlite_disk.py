"""A disk that is really full, a writer that keeps the file, descriptors that are used up: SQLite's outages, and their
ends. The disk is full by the limit that the system sets to the size of files (RLIMIT_FSIZE), which anybody may lower.
"""

import asyncio
import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from patience import comes
from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import run
from store.parts import LIMIT, enrolment, factor, grant, redemption

from extauthz.check import store_watch
from extauthz.check.store_watch import StoreWatch
from extauthz.errors import StateUnavailable
from extauthz.store import sqlite_file
from extauthz.store.protocol import Changed, Redeemed
from extauthz.store.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be."""
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """A store with the factor `f1`."""
    opened = SqliteStore(path)
    run(opened.enroll(enrolment(factor()), now=NOW))
    yield opened
    run(opened.close())


@contextmanager
def limited(what: int, most: int) -> Iterator[None]:
    """No more than this, as the system keeps it."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """No file grows beyond what the log of changes has now."""
    with limited(resource.RLIMIT_FSIZE, path.with_name("state.db-wal").stat().st_size):
        yield


def fill(store: SqliteStore) -> list[str]:
    """The factors that were enrolled before the store could take no more."""
    told: list[str] = []
    while len(told) < 10_000:
        try:
            assert run(store.enroll(enrolment(factor(f"fill{len(told)}")), now=NOW)) is Changed.DONE
        except StateUnavailable:
            return told
        told.append(f"fill{len(told)}")
    raise AssertionError("the disk is not full")


def test_on_a_full_disk_nothing_is_proven_and_what_was_told_is_there_when_there_is_room_again(
    store: SqliteStore, path: Path
) -> None:
    assert run(store.redeem(redemption(grant("a", uses=1), step=1), now=NOW)) is Redeemed.DONE
    with full_disk(path):
        told = fill(store)
        for _ in range(2):
            with pytest.raises(StateUnavailable):
                run(store.redeem(redemption(grant("b"), step=2, ticket="t"), now=NOW))
            with pytest.raises(StateUnavailable):
                run(store.consume(ALICE, ["a"], fingerprint="", now=NOW))
            with pytest.raises(StateUnavailable):
                run(store.attempt([LIMIT], now=NOW))
        found = run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants
        assert [one.id for one in found] == ["a"], "who reads needs no room"
    assert run(store.redeem(redemption(grant("b"), step=2, ticket="t"), now=NOW)) is Redeemed.DONE
    assert run(store.consume(ALICE, ["a"], fingerprint="", now=NOW))
    assert not run(store.consume(ALICE, ["a"], fingerprint="", now=NOW))
    assert {one.id for one in run(store.factors(None))} == {"f1", *told}


def test_a_full_disk_is_told_by_whoever_looks_until_there_is_room(store: SqliteStore, path: Path) -> None:
    run(store.ping())
    with full_disk(path):
        fill(store)
        for _ in range(3):
            with pytest.raises(StateUnavailable):
                run(store.ping())
    run(store.ping())


def test_a_server_tells_of_a_full_disk_and_of_its_end(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_watch, "LOOK_EVERY", 0.005)
    watch = StoreWatch(store)

    async def until(*, is_well: bool) -> None:
        while (watch.standing.error is None) is not is_well:  # noqa: ASYNC110 - nobody tells when it changes
            await asyncio.sleep(0.005)

    async def follow() -> None:
        await watch.start()
        following = asyncio.create_task(watch.follow())
        with full_disk(path):
            number = 0
            while watch.standing.error is None:
                number += 1
                with suppress(StateUnavailable):
                    await store.enroll(enrolment(factor(f"fill{number}")), now=NOW)
            await until(is_well=False)
        await until(is_well=True)
        following.cancel()

    run(follow())
    assert watch.standing.reached


def test_a_full_disk_is_noticed_though_nobody_writes(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "TRY_EVERY", 0.0)

    async def look() -> None:
        for _ in range(10_000):
            await store.ping()

    with full_disk(path), pytest.raises(StateUnavailable):
        run(look())
    run(store.ping())


def test_while_all_is_well_looking_wears_out_no_disk(store: SqliteStore, path: Path) -> None:
    log = path.with_name("state.db-wal")
    run(store.ping())
    before = log.read_bytes()
    for _ in range(50):
        run(store.ping())
    assert log.read_bytes() == before


def test_who_reads_waits_for_no_writer(store: SqliteStore, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def ask() -> None:
        writing = asyncio.create_task(store.attempt([LIMIT], now=NOW))
        await asyncio.sleep(0)
        for _ in range(5):
            assert (await store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants == ()
            assert len(await store.factors(ALICE)) == 1
            await store.revocation_changes(None)
        assert not writing.done()
        other.execute("ROLLBACK")
        await writing

    run(ask())
    other.close()


def open_files() -> set[int]:
    """The descriptors in use, but for the one that is used to look."""
    names = [one.name for one in Path("/proc/self/fd").iterdir()]
    return {int(name) for name in names if Path(f"/proc/self/fd/{name}").exists()}


def free_files(many: int) -> list[int]:
    """So many descriptors that are free, the lowest ones. They are tried: one that a thread of some other test waits in
    `accept` for is taken, and is not seen among those in use."""
    taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(many)]
    for number in taken:
        os.close(number)
    return sorted(taken)


def test_an_open_that_fails_half_way_leaves_nothing_open(path: Path) -> None:
    run(SqliteStore(path).close())
    before, opened = open_files(), 0
    free = free_files(16)
    for spare in range(16):
        with limited(resource.RLIMIT_NOFILE, free[spare]):
            try:
                store = SqliteStore(path)
            except StateUnavailable:
                pass
            else:
                opened += 1
                run(store.close())
        assert comes(lambda: open_files() == before), "what was opened is closed by threads that are ending"
    assert 0 < opened < 12
