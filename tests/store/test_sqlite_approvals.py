"""Approvals in a file: files of before, what is looked for how often, and a file that is gone for a while."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from stepup.proofs import ALICE, NOW
from store.hearing import heard
from store.one_loop import run
from store.opening import KEEP, after, opening
from store.parts import approval, given, grant

from extauthz.store import sqlite_news
from extauthz.store.approvals import News, Opened
from extauthz.store.protocol import Selection, Store
from extauthz.store.schema import STEPS

Open = Callable[[str], Store]


def test_a_file_of_before_approvals_is_brought_up_to_date(tmp_path: Path, opened: Open) -> None:
    file = sqlite3.connect(tmp_path / "old.db")
    for step in STEPS[:10]:
        for statement in step:
            file.execute(statement)
    file.execute("PRAGMA user_version = 10")
    file.execute(
        """INSERT INTO grants (id, subject, session, holder, binding, rule, factor, issued_at, expires_at, uses)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        ("g1", ALICE.key, "sid:1", "cookie:x", "action:p/r", "p/r", "otp", NOW, NOW + 300, None),
    )
    file.commit()
    file.close()
    store = opened("sqlite:///old.db")
    assert run(store.grants(Selection(subject=ALICE), now=NOW)) == (grant("g1"),)
    assert opening(store, approval(state="approved"), grants=(given(),)).how is Opened.OPENED
    assert {one.id for one in run(store.grants(Selection(subject=ALICE), now=NOW))} == {"g1", "a1"}


def test_what_a_process_writes_itself_it_hears_at_once(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    for pause in ("SHORTEST", "LONGEST", "IDLE"):
        monkeypatch.setattr(sqlite_news, pause, 3600.0)
    store = opened("sqlite:///state.db")

    async def work() -> None:
        async with aclosing(store.approval_news()) as news:  # type: ignore[type-var]  # it is a generator, and so can be closed
            assert await anext(news) == News(everything=True)
            await store.open_approval(approval(), keep=KEEP, most_open=9, now=NOW)
            await heard(news, "a1")
            await store.replace_approval(after(approval()), version=1, keep=KEEP, now=NOW)
            await heard(news, "a1")

    run(work())


def test_while_nothing_is_pending_there_are_longer_pauses(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_news, "IDLE", 3600.0)
    monkeypatch.setattr(sqlite_news, "_SLOWER", 1e9)
    store, other = opened("sqlite:///state.db"), opened("sqlite:///state.db")

    async def work() -> None:
        async with aclosing(store.approval_news()) as news:  # type: ignore[type-var]  # it is a generator, and so can be closed
            await anext(news)
            await store.open_approval(approval(), keep=KEEP, most_open=9, now=NOW)
            await heard(news, "a1")
            denied = after(approval(), state="denied", due_at=None)
            await other.replace_approval(denied, version=1, keep=KEEP, now=NOW)
            await heard(news, "a1")
            asked = asyncio.ensure_future(anext(news))
            await asyncio.sleep(0.5)
            await other.replace_approval(after(denied), version=2, keep=KEEP, now=NOW)
            await asyncio.sleep(0.3)
            assert not asked.done()
            await store.replace_approval(after(after(denied)), version=3, keep=KEEP, now=NOW)
            assert await asyncio.wait_for(asked, 20) == News(ids=frozenset({"a1"}))

    run(work())


def is_there(file: Path) -> bool:
    """Whether there is a file."""
    return file.exists()


def move(there: Path, here: Path) -> None:
    """A file with all that belongs to it."""
    for end in ("", "-wal", "-shm"):
        Path(f"{there}{end}").rename(f"{here}{end}")


def test_who_listens_while_the_file_is_gone_looks_at_everything_when_it_is_back(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_news, "AFTER_OUTAGE", 0.05)
    monkeypatch.setattr(sqlite_news, "IDLE", 0.05)
    store = opened("sqlite:///state.db")
    file, aside = tmp_path / "state.db", tmp_path / "aside"

    async def work() -> None:
        async with aclosing(store.approval_news()) as news:  # type: ignore[type-var]  # it is a generator, and so can be closed
            await anext(news)
            await store.open_approval(approval(), keep=KEEP, most_open=9, now=NOW)
            await heard(news, "a1")
            move(file, aside)
            asked = asyncio.ensure_future(anext(news))
            await asyncio.sleep(0.3)
            assert not asked.done()
            assert not is_there(file), "nobody begins another one"
            move(aside, file)
            assert (await asyncio.wait_for(asked, 20)).everything

    run(work())
