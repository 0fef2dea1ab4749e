"""The SQLite store on a real disk: several processes, restarts, schema, and everything that can be out of reach."""

import os
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import run
from store.parts import LIMIT, enrolment, factor, grant, redemption

from extauthz.errors import ConfigurationError, StateUnavailable
from extauthz.store import sqlite_file
from extauthz.store.habits import Habit
from extauthz.store.open import open_store
from extauthz.store.protocol import Redeemed, Selection
from extauthz.store.schema import STEPS
from extauthz.store.sqlite import SqliteStore
from extauthz.values.facts import Question
from extauthz.values.grants import SessionTimes
from extauthz.values.identity import Subject

URL = "sqlite:///state.db"
TESTS = Path(__file__).parents[1]


def filled(path: Path) -> None:
    """A file with a factor and a grant for one use."""
    store = SqliteStore(path)
    run(store.enroll(enrolment(factor()), now=NOW))
    run(store.enroll(enrolment(factor("f0")), now=NOW))
    run(store.redeem(redemption(grant(uses=1), of="f0"), now=NOW))
    run(store.close())


def test_processes_that_open_a_new_file_at_once_all_get_it(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from extauthz.store.sqlite import SqliteStore\n"
        "SqliteStore(Path(sys.argv[1]))\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-W", "ignore", "-c", script, str(tmp_path / "new.db")]) for _ in range(4)
    ]
    assert [process.wait(timeout=60) for process in processes] == [0] * 4


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    script = (
        "import asyncio, os, signal, sys; from pathlib import Path\n"
        "from extauthz.store.sqlite import SqliteStore\n"
        "from stepup.proofs import ALICE\n"
        "store = SqliteStore(Path(sys.argv[1]))\n"
        f"assert asyncio.run(store.consume(ALICE, ['g1'], fingerprint='f', now={NOW}))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    filled(tmp_path / "state.db")
    killed = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "state.db")],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        check=False,
        timeout=60,
    )
    assert killed.returncode == -9
    store = SqliteStore(tmp_path / "state.db")
    assert not run(store.consume(ALICE, ["g1"], fingerprint="g", now=NOW))
    run(store.close())


def test_state_survives_a_restart(tmp_path: Path) -> None:
    filled(tmp_path / "state.db")
    store = SqliteStore(tmp_path / "state.db")
    assert run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants == (grant(uses=1),)
    assert run(store.redeem(redemption(of="f0"), now=NOW)) is Redeemed.MARK_USED
    run(store.close())


def test_the_file_is_its_owners_only_and_writes_reach_the_disk(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    run(store.ping())
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    connection = store._writes._connection
    assert connection is not None
    future = store._writes._executor.submit(
        lambda: [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    )
    assert future.result() == ["wal", 2]
    run(store.close())


def test_a_new_file_has_the_newest_schema(tmp_path: Path) -> None:
    filled(tmp_path / "state.db")
    connection = sqlite3.connect(tmp_path / "state.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_file_of_an_older_version_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path / "state.db")
    newer = (*STEPS, ("ALTER TABLE grants ADD COLUMN note TEXT", "CREATE TABLE notes (x TEXT)"))
    monkeypatch.setattr("extauthz.store.schema.STEPS", newer)
    store = SqliteStore(tmp_path / "state.db")
    assert len(run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants) == 1
    run(store.close())


def test_a_file_from_before_factors_had_kinds_keeps_what_it_holds(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.executescript((TESTS / "store" / "schema-2.sql").read_text())
    connection.close()
    store = SqliteStore(tmp_path / "state.db")
    bob = Subject(ALICE.issuer, "bob")
    assert run(store.factors(None)) == (
        replace(factor("f1", mark=7), name="", public=""),
        replace(factor("f2", bob, confirmed=False, created_at=NOW + 1), name="", public=""),
    )
    by_id = {one.id: one for one in run(store.grants(Selection(), now=NOW))}
    assert {id_: (one.rule, one.uses) for id_, one in by_id.items()} == {
        "b": ("payments/large", None),
        "c": ("payments/once", 2),
        "d": ("", 3),
    }
    assert by_id["b"] == grant(
        "b", rule="payments/large", binding=f"scope:{'A' * 43}:payments/large", issued_at=NOW + 0.125
    )
    (again,) = (one for one in run(store.look_up(ALICE, SESSION, fingerprint="f", now=NOW)).grants if one.id == "a")
    assert again.uses == 1, "the same Check sent again, over an upgrade"
    assert run(store.redeem(redemption(step=7), now=NOW)) is Redeemed.MARK_USED
    assert run(store.redeem(redemption(step=8, ticket="t"), now=NOW)) is Redeemed.TICKET_USED
    assert not run(store.use_proof("p1", expires_at=NOW + 90, fingerprint="g", now=NOW))
    day = replace(LIMIT, memory=86_400.0)
    assert [run(store.attempt([day], now=NOW)).wait for _ in range(2)] == [0, 10], "two of three were counted before"
    run(store.close())


def test_a_file_from_before_anything_was_usual_keeps_what_it_holds_and_learns_what_is(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.executescript((TESTS / "store" / "schema-7.sql").read_text())
    connection.close()
    store = SqliteStore(tmp_path / "state.db")
    asked = (Question("rate", ("a", 60.0)), Question("seen", ("a",)), Question("place"))
    found = run(store.look_up(ALICE, SESSION, questions=asked, fingerprint="", now=NOW))
    assert found.grants == (grant(),)
    assert found.session == SessionTimes(started_at=NOW, last_seen=NOW)
    assert list(found.answers.values()) == [False, None, 1]
    assert [one.id for one in run(store.revocations(ALICE, now=NOW))] == ["j1"]
    assert run(store.redeem(redemption(step=8, ticket="t"), now=NOW)) is Redeemed.TICKET_USED
    run(store.note_habits([Habit(subject=ALICE, at=NOW, seen=("a",))]))
    assert list(run(store.look_up(ALICE, SESSION, questions=asked, fingerprint="", now=NOW)).answers.values()) == [
        True,
        None,
        2,
    ]
    run(store.close())


def test_a_step_of_the_schema_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path / "state.db")
    with monkeypatch.context() as patched:
        patched.setattr("extauthz.store.schema.STEPS", (*STEPS, ("CREATE TABLE notes (x TEXT)", "NO SQL")))
        with pytest.raises(StateUnavailable):
            SqliteStore(tmp_path / "state.db")
    store = SqliteStore(tmp_path / "state.db")
    assert len(run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants) == 1
    run(store.close())


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    filled(tmp_path / "state.db")
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    connection.close()
    with pytest.raises(ConfigurationError, match="newer version"):
        SqliteStore(tmp_path / "state.db")


def test_a_full_disk_is_an_outage_that_ends(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    connection = store._writes._connection
    assert connection is not None
    pages = store._writes._executor.submit(lambda: connection.execute("PRAGMA page_count").fetchone()[0]).result()
    store._writes._executor.submit(lambda: connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()).result()

    async def fill() -> None:
        for number in range(2000):
            await store.enroll(enrolment(factor(f"{number}" + "x" * 500)), now=NOW)

    with pytest.raises(StateUnavailable, match="full"):
        run(fill())
    with pytest.raises(StateUnavailable, match="full"):
        run(fill())
    store._writes._executor.submit(lambda: connection.execute("PRAGMA max_page_count = 100000").fetchall()).result()
    run(store.enroll(enrolment(factor("after")), now=NOW))
    run(store.close())


def test_a_file_that_vanished_is_an_outage_and_not_an_empty_store(tmp_path: Path) -> None:
    filled(tmp_path / "state.db")
    store = SqliteStore(tmp_path / "state.db")
    (tmp_path / "state.db").rename(tmp_path / "away.db")
    for _ in range(2):
        with pytest.raises(StateUnavailable):
            run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW))
        with pytest.raises(StateUnavailable):
            run(store.redeem(redemption(), now=NOW))
    assert not (tmp_path / "state.db").exists()
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"state.db{suffix}").unlink(missing_ok=True)
    (tmp_path / "away.db").rename(tmp_path / "state.db")
    assert len(run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants) == 1
    run(store.close())


def test_a_lock_that_lasts_too_long_is_an_outage_that_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.05)
    store = SqliteStore(tmp_path / "state.db")
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnavailable, match="locked"):
        run(store.ping())
    assert run(store.look_up(ALICE, SESSION, fingerprint="", now=NOW)).grants == ()
    other.execute("ROLLBACK")
    other.close()
    run(store.ping())
    run(store.close())


def test_a_file_that_is_no_database_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(StateUnavailable, match="not a database"):
        SqliteStore(tmp_path / "state.db")


def test_a_place_that_can_not_be_written_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "missing" / "state.db", tmp_path / "file" / "state.db", Path("/proc/state.db")):
        with pytest.raises(StateUnavailable, match=str(path)):
            SqliteStore(path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///", "no address"),
        ("sqlite://state.db", "no address"),
        ("postgres://x", "no address"),
        ("memory", "no address"),
        ("", "no address"),
    ],
)
def test_an_address_of_no_store_is_refused(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_store(url, base=tmp_path)


def test_paths_are_relative_to_the_configuration_or_absolute(tmp_path: Path) -> None:
    for url, path in (
        ("sqlite:///a.db", tmp_path / "a.db"),
        (f"sqlite:///{tmp_path}/b?c#d%20e.db", tmp_path / "b?c#d%20e.db"),
    ):
        run(open_store(url, base=tmp_path).close())
        assert path.exists()
