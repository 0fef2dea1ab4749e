"""State that an earlier version has written is read by this one, and both may serve side by side: docs/upgrade.md."""

import asyncio
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from app.callers import Gateway
from app.replicas import Site
from checking import told
from commanding import command
from patience import comes
from signals.transmitting import RISC, iss_sub
from upgrade.audits import own_words
from upgrade.conftest import Unpack
from upgrade.earlier import BEFORE_APPROVALS, BEFORE_RECORDS, PROMISED, TODAY, VERSIONS, Version
from upgrade.state import World, asked_approval, find, leave, lived
from upgrade.subjects import prepare, say
from upgrade.ways import ways

from extauthz.cli.quickstart.tokens import ISSUER
from extauthz.stepup.totp import STEP_SECONDS
from extauthz.store.schema import STEPS

PAIRS = ways(
    [(PROMISED, "sqlite")],
    long=[(BEFORE_APPROVALS, "sqlite"), (BEFORE_RECORDS, "redis")],
    every=[(version, store) for version in VERSIONS for store in ("sqlite", "redis")],
)

pytestmark = pytest.mark.timeout(300)  # starts of servers and commands, one after the other


@pytest.mark.parametrize(("version", "store"), PAIRS)
def test_what_an_earlier_version_has_left_is_there(
    tmp_path: Path, unpack: Unpack, version: Version, store: str
) -> None:
    old = unpack(version)
    with lived(tmp_path, version, store, old) as world:
        with world.served(old) as site:
            left = asyncio.run(leave(world, site))
        before = (tmp_path / "audit.jsonl").read_bytes()
        with world.served(TODAY) as site:
            asyncio.run(find(world, site, left))
        after = (tmp_path / "audit.jsonl").read_bytes()
        assert after.startswith(before)
        assert len(after) > len(before)
        verified = command("audit", "verify", "--config", str(world.config), "--format", "json", folder=tmp_path)
        found = json.loads(verified.stdout)
        assert found["lines"] == len(after.splitlines())
        # Each is told of: lines of the time before chains, and what audits then signed in another way.
        strays = [] if version.chained else ["stray"] * len(before.splitlines())
        unsigned = [] if version.signed or not version.chained else ["signature"] * len(own_words(before))
        assert [one["mistake"] for one in found["found"]] == strays + unsigned, verified.stdout
        assert verified.returncode == bool(strays + unsigned)


def test_old_and_new_servers_share_a_redis_while_an_upgrade_rolls(tmp_path: Path, unpack: Unpack) -> None:
    """Every request is decided by either: what one has given the other uses up, and what one has used is used."""
    old = unpack(PROMISED)
    with lived(tmp_path, PROMISED, "redis", old) as world:
        prepare(world)
        with world.served(old, TODAY) as site:
            left = asyncio.run(leave(world, site))
            asyncio.run(find(world, site, left, server=1))
            asyncio.run(seen_by_both(world, site))
            for server, sub in enumerate(("hugo", "ida")):
                say(site, {RISC + "account-disabled": {}}, iss_sub(sub, ISSUER), server)
                assert comes(partial(is_disabled_for_both, world, site, sub))


async def seen_by_both(world: World, site: Site) -> None:
    """An approval that each has counted a vote of is given once, and neither takes a code that the other has burned."""
    async with Gateway(site) as gateway:
        approval = await asked_approval(gateway, world, "frank")
        assert [world.vote(site, approval, by, server) for server, by in enumerate(("anna", "ben"))] == [200, 200]
        request = world.asks("frank", "/pay/frank")
        twice = [await reason_at(gateway, site, server, request) for server in (1, 0)]
        assert twice == ["allowed", "allowed"], "it is the same Check, sent again"
        assert await gateway.reason(world.asks("frank", "/pay/frank")) == "approval-required"
        burned = [world.asks("alice", f"/once/{server}", left_code(world)) for server in (0, 1)]
        assert [await reason_at(gateway, site, server, burned[server]) for server in (0, 1)] == ["code-used"] * 2


def is_disabled_for_both(world: World, site: Site, sub: str) -> bool:
    """Whether neither server lets this person through."""

    async def reasons() -> list[str]:
        async with Gateway(site) as gateway:
            return [await reason_at(gateway, site, server, world.asks(sub, "/x")) for server in (0, 1)]

    return asyncio.run(reasons()) == ["subject-blocked"] * 2


def left_code(world: World) -> str:
    """The last code that alice has used."""
    return world.apps["alice"].at(world.steps["alice"] * STEP_SECONDS)


async def reason_at(gateway: Gateway, site: Site, server: int, request: bytes) -> str:
    """Why this server decides so."""
    answer = await gateway.ask(site.replicas[server].said["grpc"], request)
    assert answer is not None
    return told(answer)["reason"]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_steps_that_an_earlier_version_took_are_as_they_were(unpack: Unpack, version: Version) -> None:
    program = unpack(version)
    asked = "import json; from extauthz.store.schema import STEPS; print(json.dumps(STEPS))"
    ended = subprocess.run(
        [sys.executable, "-P", "-c", asked],
        env={**os.environ, **program.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    then = json.loads(ended.stdout)
    assert then == [list(step) for step in STEPS[: len(then)]]
