"""The audit over an upgrade: ends that one version has told the store are held to by the other."""

import json
from pathlib import Path

import pytest
from app.replicas import shared_store
from upgrade.audits import decide, mistakes, own_words, running, verified, without_last_of
from upgrade.conftest import Unpack
from upgrade.earlier import BEFORE_SIGNATURES, BEFORE_WORDS, PROMISED, TODAY, Version
from upgrade.state import new_world
from upgrade.ways import ways

PAIRS = ways(
    [(PROMISED, "sqlite")],
    long=[(BEFORE_SIGNATURES, "sqlite")],
    every=[
        (version, store) for version in (BEFORE_SIGNATURES, BEFORE_WORDS, PROMISED) for store in ("sqlite", "redis")
    ],
)

pytestmark = pytest.mark.timeout(300)  # starts of servers and commands, one after the other


@pytest.mark.parametrize(("version", "store"), PAIRS)
def test_a_tail_that_is_cut_off_is_found_over_an_upgrade(
    tmp_path: Path, unpack: Unpack, version: Version, store: str
) -> None:
    old, audit = unpack(version), tmp_path / "audit.jsonl"
    with shared_store(store) as shared:
        world = new_world(tmp_path, version, shared.url)
        with running(world, old) as served:
            decide(world, served)
        whole = verified(world, TODAY)
        unsigned = [] if version.signed else own_words(audit.read_bytes())
        assert [one["line"] for one in whole["found"] if one["mistake"] == "signature"] == unsigned
        assert whole["mistakes"] == len(unsigned)
        (earlier,) = whole["writers"]
        with running(world, TODAY) as served:
            decide(world, served)
        text = audit.read_bytes()
        again = verified(world, TODAY)
        assert (again["mistakes"], again["lines"]) == (len(unsigned), len(text.splitlines()))
        (later,) = (one["name"] for one in again["writers"] if one["name"] != earlier["name"])
        for writer in (earlier["name"], later):
            audit.write_bytes(without_last_of(audit, writer))
            assert mistakes(world, TODAY)["cut"] == 1, writer
            if (version, store) != (BEFORE_SIGNATURES, "sqlite"):
                assert mistakes(world, old)["cut"] == 1, "the earlier version finds it, too"
            audit.write_bytes(text)
        lines = text.splitlines(keepends=True)
        audit.write_bytes(b"".join(line for line in lines if json.loads(line)["writer"] == later))
        assert mistakes(world, TODAY) == {"vanished": 1}
