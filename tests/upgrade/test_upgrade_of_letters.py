"""Letters that one version could not deliver are delivered by the other, signed and once."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from app.callers import Gateway
from app.replicas import Site, shared_store
from patience import comes
from publishing import publishing
from upgrade.conftest import Unpack
from upgrade.earlier import BEFORE_RECORDS, BEFORE_SIGNATURES, BEFORE_WORDS, PROMISED, TODAY, Version
from upgrade.letters import AUDIT, GONE, KINDS, SIEM, left_letters, prepare, taken, takes_all, waiting
from upgrade.state import World, new_world
from upgrade.ways import ways

from extauthz.cli.quickstart.tokens import ISSUER

UP, BACK = "up", "back"
WAYS = ways(
    [(PROMISED, "sqlite", UP), (PROMISED, "redis", BACK)],
    long=[(BEFORE_RECORDS, "sqlite", UP), (BEFORE_RECORDS, "redis", UP)],
    every=[
        *(
            (version, store, UP)
            for version in (BEFORE_RECORDS, BEFORE_SIGNATURES, BEFORE_WORDS, PROMISED)
            for store in ("sqlite", "redis")
        ),
        *((version, "redis", BACK) for version in (BEFORE_RECORDS, BEFORE_WORDS, PROMISED)),
        (PROMISED, "sqlite", BACK),
    ],
)
PREFIX = "extauthz.v1."

pytestmark = pytest.mark.timeout(300)  # starts of servers and commands, one after the other


@pytest.mark.parametrize(("version", "store", "way"), WAYS)
def test_what_one_version_could_not_tell_the_other_tells(
    tmp_path: Path, unpack: Unpack, version: Version, store: str, way: str
) -> None:
    """Of `up` an earlier version writes and today's delivers; of `back` it is the other way round."""
    first, second = (unpack(version), TODAY) if way == UP else (TODAY, unpack(version))
    with shared_store(store) as shared, publishing() as receiver:
        world = new_world(tmp_path, version, shared.url)
        prepare(world, receiver)
        first.says("subjects", "block", "mallory", "--issuer", ISSUER, "--config", world.config)
        with world.served(first) as site:
            left = left_letters(world, site, receiver, first)
        assert waiting(world, second) == left, "it reads what the other has written"
        takes_all(receiver)
        with world.served(second):
            assert comes(lambda: len(taken(receiver, AUDIT)) == len(KINDS))
            assert not version.events or comes(lambda: len(taken(receiver, SIEM)) == 1)
            assert taken(receiver, GONE) == [], "what was given up stays so"
            second.says("approvals", "deliveries", "replay", "--all", "--config", world.config)
            assert comes(lambda: len(taken(receiver, GONE)) == len(KINDS))
            assert comes(lambda: not waiting(world, second))
        for path in (AUDIT, GONE):
            events = taken(receiver, path)
            assert {event["type"] for event in events} == {f"{PREFIX}approval.{kind}" for kind in KINDS}
            assert {event["data"]["rule"] for event in events} == {"site/four-eyes"}
        reasons = [event["data"]["reason"] for event in taken(receiver, SIEM)]
        assert reasons == ["subject-blocked"] * version.events


def test_each_denial_is_told_once_while_an_upgrade_rolls(tmp_path: Path, unpack: Unpack) -> None:
    """Either version delivers what either has written."""
    old = unpack(PROMISED)
    with shared_store("redis") as shared, publishing() as receiver:
        world = new_world(tmp_path, PROMISED, shared.url)
        prepare(world, receiver)
        takes_all(receiver)
        old.says("subjects", "block", "mallory", "--issuer", ISSUER, "--config", world.config)
        with world.served(old, TODAY) as site:
            asyncio.run(be_denied(world, site))
            assert comes(lambda: len(taken(receiver, SIEM)) >= DENIALS)
            assert comes(lambda: not waiting(world, TODAY))
        subjects = Counter(event["subject"] for event in taken(receiver, SIEM))
        assert len(subjects) == DENIALS == subjects.total()


DENIALS = 12


async def be_denied(world: World, site: Site) -> None:
    """So often, by the servers in turns."""
    async with Gateway(site) as gateway:
        for _ in range(DENIALS):
            assert await gateway.reason(world.asks("mallory", "/x")) == "subject-blocked"
