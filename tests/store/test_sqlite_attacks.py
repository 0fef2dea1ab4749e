"""A SQLite file that is taken away, exchanged or broken under a running server: nothing is good again because of it."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import run
from store.parts import enrolment, factor, grant, redemption

from extauthz.errors import StateUnavailable
from extauthz.identity.revocations import Revocation
from extauthz.store.open import open_store
from extauthz.store.protocol import Redeemed, Store
from extauthz.store.schema import STEPS, migrate
from extauthz.store.sqlite import SqliteStore

TESTS = Path(__file__).parents[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be."""
    return tmp_path / "state.db"


def use_proof(store: Store, fingerprint: str) -> bool:
    return run(store.use_proof("p1", expires_at=NOW + 90, fingerprint=fingerprint, now=NOW))


def remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def test_a_file_that_another_process_begins_in_the_place_of_one_that_vanished_is_not_used(path: Path) -> None:
    server = SqliteStore(path)
    assert use_proof(server, "f")
    run(server.put_revocation(Revocation(kind="block", subject=ALICE, at=NOW), now=NOW))
    mark = run(server.revocation_changes(None)).mark
    connection = sqlite3.connect(path)
    copy = sqlite3.connect(path.with_name("copy.db"))
    connection.backup(copy)
    connection.close()
    copy.close()
    remove(path)
    with pytest.raises(StateUnavailable):
        use_proof(server, "replayed")
    command = SqliteStore(path)  # any command of an operator opens it so
    assert run(command.factors(None)) == ()
    run(command.close())
    for _ in range(2):
        with pytest.raises(StateUnavailable, match="another file is in its place"):
            use_proof(server, "replayed")
        with pytest.raises(StateUnavailable, match="another file is in its place"):
            run(server.revocation_changes(mark))
    remove(path)
    path.with_name("copy.db").rename(path)
    assert not use_proof(server, "replayed")
    assert run(server.revocation_changes(mark)).put == ()
    run(server.close())


def test_a_file_of_a_newer_version_under_a_running_server_is_an_outage(path: Path) -> None:
    server = SqliteStore(path)
    run(server.ping())
    newer = SqliteStore(path.with_name("newer.db"))
    run(newer.close())
    connection = sqlite3.connect(path.with_name("newer.db"))
    connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    connection.close()
    remove(path)
    path.with_name("newer.db").rename(path)
    for ask in (server.ping, lambda: server.look_up(ALICE, SESSION, fingerprint="", now=NOW)):
        with pytest.raises(StateUnavailable, match="newer version"):
            run(ask())
    run(server.close())


def test_pages_that_are_broken_are_an_outage_for_whatever_needs_them(path: Path) -> None:
    store = SqliteStore(path)
    run(store.enroll(enrolment(*(factor(f"f{number}") for number in range(50))), now=NOW))
    run(store.close())
    content = path.read_bytes()
    path.write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    with pytest.raises(StateUnavailable):
        run(SqliteStore(path).redeem(redemption(grant(), of="f1"), now=NOW))


@pytest.mark.parametrize("broken", ["no JSON", "[1,2,3]", "7"])
def test_rows_that_nobody_wrote_are_an_outage(path: Path, broken: str) -> None:
    store = SqliteStore(path)
    run(store.enroll(enrolment(factor()), now=NOW))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE factors SET subject = ?", (broken,))
    connection.commit()
    connection.close()
    with pytest.raises(StateUnavailable):
        run(store.factors(None))
    with pytest.raises(StateUnavailable):
        run(store.enroll(enrolment(factor("f2", mark=2**63)), now=NOW))
    run(store.close())


def test_processes_that_bring_one_old_file_up_to_date_at_once_all_find_what_it_holds(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.executescript((TESTS / "store" / "schema-2.sql").read_text())
    connection.close()
    script = (
        "import asyncio, sys; from pathlib import Path; from extauthz.store.sqlite import SqliteStore\n"
        "async def main():\n"
        "    store = SqliteStore(Path(sys.argv[1]))\n"
        "    print(len(await store.factors(None)))\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=60)[0] for process in processes] == ["2\n"] * 4


def test_a_disk_that_is_full_during_an_upgrade_is_told_as_that_and_changes_nothing(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript((TESTS / "store" / "schema-2.sql").read_text())
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        migrate(connection, str(path))
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()
    store = SqliteStore(path)
    assert len(run(store.factors(None))) == 2
    run(store.close())


@pytest.mark.parametrize("url", ["memory:", "sqlite:///state.db"])
def test_a_clock_that_was_set_back_ends_no_sweeping(url: str, tmp_path: Path) -> None:
    store = open_store(url, base=tmp_path)
    run(store.enroll(enrolment(factor(mark=0)), now=NOW))
    year = 365 * 86_400.0
    run(store.use_proof("p0", expires_at=NOW + year, fingerprint="", now=NOW + year))
    assert run(store.redeem(redemption(step=1, ticket="t"), now=NOW)) is Redeemed.DONE
    run(store.use_proof("p1", expires_at=NOW + 90, fingerprint="", now=NOW + 1000))
    assert run(store.redeem(redemption(step=2, ticket="t"), now=NOW + 1000)) is Redeemed.DONE
    run(store.close())
