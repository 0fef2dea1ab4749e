"""What others have said of subjects, what these are used to do and their devices: over an upgrade, and back again."""

import asyncio
import os
from pathlib import Path

import pytest
from app.replicas import shared_store
from upgrade.conftest import Unpack
from upgrade.earlier import BEFORE_APPROVALS, BEFORE_RECORDS, PROMISED, TODAY, VERSIONS, Version
from upgrade.state import new_world
from upgrade.subjects import become_known, find_known, prepare

UP, BACK = "up", "back"
SOME = [
    (BEFORE_APPROVALS, "sqlite", UP),
    (BEFORE_RECORDS, "redis", UP),
    (PROMISED, "sqlite", UP),
    (PROMISED, "redis", BACK),
]
ALL = [
    *((version, store, UP) for version in VERSIONS for store in ("sqlite", "redis")),
    *((version, "redis", BACK) for version in VERSIONS),
    (PROMISED, "sqlite", BACK),
]
WAYS = ALL if "UPGRADES" in os.environ else SOME

pytestmark = pytest.mark.timeout(300)  # starts of servers and commands, one after the other


@pytest.mark.parametrize(
    ("version", "store", "way"), WAYS, ids=[f"{one.name}-{store}-{way}" for one, store, way in WAYS]
)
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
            known = asyncio.run(become_known(world, site, first))
        with world.served(second) as site:
            asyncio.run(find_known(world, site, known, second))
