"""What others have said of subjects, what these are used to do and their devices: over an upgrade, and back again."""

import asyncio
from functools import partial
from pathlib import Path

import geoip
import pytest
from app.callers import Gateway, new_request
from app.replicas import Site, shared_store
from upgrade.conftest import Unpack
from upgrade.earlier import BEFORE_APPROVALS, BEFORE_RECORDS, PROMISED, TODAY, VERSIONS, Version
from upgrade.state import World, new_world
from upgrade.subjects import become_known, find_known, leave_behind, prepare
from upgrade.ways import ways

UP, BACK = "up", "back"
SHORT = [(PROMISED, "sqlite", UP)]
ALL = [
    *((version, store, UP) for version in VERSIONS for store in ("sqlite", "redis")),
    *((version, "redis", BACK) for version in VERSIONS),
    (PROMISED, "sqlite", BACK),
]
WAYS = ways(
    SHORT,
    long=[(BEFORE_APPROVALS, "sqlite", UP), (BEFORE_RECORDS, "redis", UP), (PROMISED, "redis", BACK)],
    every=ALL,
)

pytestmark = pytest.mark.timeout(300)  # starts of servers and commands, one after the other


@pytest.mark.parametrize(("version", "store", "way"), WAYS)
def test_what_is_known_of_subjects_is_known_to_the_other_version(
    tmp_path: Path, unpack: Unpack, version: Version, store: str, way: str
) -> None:
    """Of `up` an earlier version learns it and today's decides by it; of `back` it is the other way round."""
    first, second = (unpack(version), TODAY) if way == UP else (TODAY, unpack(version))
    with shared_store(store) as shared:
        world = new_world(tmp_path, version, shared.url)
        prepare(world)
        for sub in ("alice", "dan"):
            world.enroll(sub, first)
        with world.served(first) as site:
            known = become_known(world, site, first)
        with world.served(second) as site:
            asyncio.run(find_known(world, site, known, second))


TRAVEL = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: travel}
spec:
  rules:
    - name: too-fast
      paths: ["/place"]
      when: has(travel.speed_kmh) && travel.speed_kmh > 900.0
      effect: deny
      deny: {reason: too-fast}
"""
MILTON = "216.160.83.56"


@pytest.mark.parametrize(("version", "store", "way"), ways(SHORT, long=[], every=ALL))
def test_where_somebody_was_last_is_known_to_the_other_version(
    tmp_path: Path, unpack: Unpack, version: Version, store: str, way: str
) -> None:
    first, second = (unpack(version), TODAY) if way == UP else (TODAY, unpack(version))
    with shared_store(store) as shared:
        world = new_world(tmp_path, version, shared.url)
        (tmp_path / "policies" / "travel.yaml").write_text(TRAVEL)
        world.configure(geo={"city": str(geoip.city())})
        with world.served(first) as site:
            leave_behind(site, partial(be_somewhere, world, site))
        with world.served(second) as site:
            reasons = asyncio.run(places(world, site, ("alice", MILTON), ("alice", geoip.LONDON), ("bob", MILTON)))
            assert reasons == ["too-fast", "allowed", "allowed"]


async def be_somewhere(world: World, site: Site) -> int:
    """Returns how many requests leave their place behind."""
    reasons = await places(world, site, ("alice", geoip.LONDON), ("bob", MILTON))
    assert reasons == ["allowed"] * len(reasons)
    return len(reasons)


async def places(world: World, site: Site, *asked: tuple[str, str]) -> list[str]:
    """How requests of people from addresses are decided."""
    async with Gateway(site) as gateway:
        return [
            await gateway.reason(new_request("/place", address=address, authorization=f"Bearer {world.token(sub)}"))
            for sub, address in asked
        ]
