"""An earlier version on the state of today's: it refuses what it can't read, and allows nothing that is denied."""

import asyncio
import sqlite3
import time
from contextlib import closing
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from app.callers import Gateway
from app.replicas import Site
from checking import told
from patience import comes
from signals.transmitting import iss_sub
from upgrade.conftest import Unpack
from upgrade.earlier import (
    BEFORE_APPROVALS,
    BEFORE_RECORDS,
    BEFORE_SIGNALS,
    BEFORE_SIGNATURES,
    BEFORE_WORDS,
    PROMISED,
    TODAY,
    Version,
)
from upgrade.state import World, find, leave, lived, new_world
from upgrade.subjects import prepare, risk, say
from upgrade.ways import ways

from extauthz.cli.quickstart.tokens import ISSUER
from extauthz.store.schema import STEPS

WITH_FEWER_STEPS = (BEFORE_APPROVALS, BEFORE_RECORDS, BEFORE_SIGNATURES)
PAIRS = ways(
    [(PROMISED, "redis")],
    long=[(BEFORE_APPROVALS, "redis"), (PROMISED, "sqlite")],
    every=[
        *((version, "redis") for version in (*WITH_FEWER_STEPS, BEFORE_WORDS, PROMISED)),
        *((version, "sqlite") for version in (BEFORE_WORDS, PROMISED)),
    ],
)

pytestmark = pytest.mark.timeout(300)  # starts of servers and commands, one after the other


@pytest.mark.parametrize(("version", "store"), PAIRS)
def test_an_earlier_version_keeps_to_what_today_has_left(
    tmp_path: Path, unpack: Unpack, version: Version, store: str
) -> None:
    """Also to what is no longer good: codes and grants that were used, an approval that was denied, a block."""
    with lived(tmp_path, version, store, TODAY) as world:
        with world.served(TODAY) as site:
            left = asyncio.run(leave(world, site))
        with world.served(unpack(version)) as site:
            asyncio.run(find(world, site, left))


@pytest.mark.parametrize("version", ways(WITH_FEWER_STEPS[-1:], long=WITH_FEWER_STEPS[:-1]))
def test_an_earlier_version_refuses_a_newer_file_in_one_line(tmp_path: Path, unpack: Unpack, version: Version) -> None:
    """It is as it was, and good for today's."""
    file, old = tmp_path / "extauthz.db", unpack(version)
    world = new_world(tmp_path, version, f"sqlite:///{file}")
    TODAY.says("subjects", "block", "mallory", "--issuer", ISSUER, "--config", world.config)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(STEPS),)
    before = sha256(file.read_bytes()).digest()
    unblock = ("subjects", "unblock", "mallory", "--issuer", ISSUER, "--config", world.config)
    for words in (("serve", "--config", world.config), unblock):
        refused = old.run(*words)
        assert refused.returncode == 1
        (line,) = refused.stderr.strip().splitlines()
        assert f"a newer version made this file (schema {len(STEPS)}, known are " in line
        assert line.endswith("; upgrade extauthz")
    assert sha256(file.read_bytes()).digest() == before
    assert "mallory" in TODAY.says("subjects", "list", "--config", world.config)


def test_an_earlier_version_starts_with_no_setting_that_it_does_not_know(tmp_path: Path, unpack: Unpack) -> None:
    """What it would leave out may be what somebody relies on."""
    world = new_world(tmp_path, BEFORE_RECORDS, "memory:")
    webhook = {"name": "siem", "url": "https://siem.example.com/in", "secrets": [{"variable": "SIEM_SECRET"}]}
    world.configure(events={"webhooks": [webhook]})
    refused = unpack(BEFORE_RECORDS).run("serve", "--config", world.config)
    assert refused.returncode == 1
    (line,) = refused.stderr.strip().splitlines()
    assert "unknown field `events`" in line


def test_what_an_earlier_version_does_not_understand_lets_nobody_through(tmp_path: Path, unpack: Unpack) -> None:
    """It can't tell whom a signal is about."""
    with lived(tmp_path, BEFORE_SIGNALS, "redis", TODAY) as world:
        without = world.config.read_text()
        prepare(world)
        with world.served(TODAY) as site:
            assert asyncio.run(reasons(world, site, "alice", "bob")) == ["allowed", "allowed"]
            say(site, risk("HIGH", int(time.time())), iss_sub("alice", ISSUER))
        world.config.write_text(without)
        (tmp_path / "policies" / "usual.yaml").unlink()
        with world.served(unpack(BEFORE_SIGNALS)) as site:
            assert comes(partial(lets_nobody_through, world, site, "alice", "bob", "mallory"))


def lets_nobody_through(world: World, site: Site, *subs: str) -> bool:
    """Whether the first server says why it denies these: a busy one may be late. None is ever allowed."""
    given = asyncio.run(answers(world, site, *subs))
    assert "allowed" not in given
    return given == ["revocations-stale"] * len(subs)


async def answers(world: World, site: Site, *subs: str) -> list[str]:
    """The first server's answers to requests of these, outages among them."""
    async with Gateway(site) as gateway:
        given = [await gateway.ask(site.replicas[0].said["grpc"], world.asks(sub, "/x")) for sub in subs]
        return [told(one)["reason"] for one in given if one is not None]


@pytest.mark.parametrize("version", ways([BEFORE_RECORDS], long=[BEFORE_APPROVALS]))
def test_an_earlier_server_whose_file_is_brought_on_meanwhile_denies_what_is_blocked(
    tmp_path: Path, unpack: Unpack, version: Version
) -> None:
    """Nobody should let it run on; it goes by what today's commands write there."""
    old = unpack(version)
    with lived(tmp_path, version, "sqlite", old) as world, world.served(old) as site:
        assert asyncio.run(reasons(world, site, "bob")) == ["allowed"]
        TODAY.says("subjects", "block", "bob", "--issuer", ISSUER, "--config", world.config)
        assert comes(lambda: asyncio.run(reasons(world, site, "bob")) == ["subject-blocked"])
        assert asyncio.run(reasons(world, site, "alice", "mallory")) == ["allowed", "subject-blocked"]


async def reasons(world: World, site: Site, *subs: str) -> list[str]:
    """How requests of these are decided."""
    async with Gateway(site) as gateway:
        return [await gateway.reason(world.asks(sub, "/x")) for sub in subs]
