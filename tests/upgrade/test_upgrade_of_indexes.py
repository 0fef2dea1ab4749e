"""The index of decisions over an upgrade and back: the page finds what `audit find` finds, of before and of after."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from app.replicas import shared_store
from patience import comes
from serving import Served
from upgrade.audits import DECISIONS, decide, found, running
from upgrade.conftest import Unpack
from upgrade.earlier import BEFORE_SIGNATURES, BEFORE_WORDS, PROMISED, TODAY, Version
from upgrade.operators import Operator
from upgrade.state import World, new_world
from upgrade.ways import ways

NAMED: Final[tuple[Mapping[str, str], ...]] = (
    {},
    {"decision": "deny"},
    {"decision": "blocked"},
    {"subject": "alice"},
    {"path": "/x"},
    {"path": "/y/*"},
    {"host": "example.com"},
    {"reason": "no-rule-allows"},
)
"""What is asked of the page and of the command, by names that both have."""

pytestmark = pytest.mark.timeout(300)  # starts of servers and commands, one after the other


def prepare(world: World) -> None:
    """Operators who may look."""
    world.configure(decisions={"operators": {"groups": ["operators"]}})


def agree(world: World, served: Served, operator: Operator, count: int) -> None:
    """The page has so many decisions, and finds what the command finds."""
    assert comes(lambda: len(operator.sees(served)) == count), operator.sees(served)
    for asked in NAMED:
        words = [word for name, value in asked.items() for word in (f"--{name}", value)]
        seen = operator.sees(served, **asked)
        assert seen == found(world, *words), asked
        assert seen, asked


@pytest.mark.parametrize("version", ways([PROMISED], long=[BEFORE_WORDS]))
def test_decisions_of_before_are_found_by_page_and_command(tmp_path: Path, unpack: Unpack, version: Version) -> None:
    old, count = unpack(version), len(DECISIONS)
    with shared_store("sqlite") as shared:
        world = new_world(tmp_path, version, shared.url)
        prepare(world)
        with running(world, old) as served:
            decide(world, served)
            operator = Operator.logged_in(world, old, served)
            assert comes(lambda: len(operator.sees(served)) == count)
            before = operator.sees(served)
        with running(world, TODAY) as served:
            agree(world, served, operator, count)
            assert operator.sees(served) == before, "whoever was logged in stays so, and sees the same"
            decide(world, served)
            agree(world, served, operator, 2 * count)
        with running(world, old) as served:
            assert comes(lambda: len(operator.sees(served)) == 2 * count), "back again"
            decide(world, served)
        with running(world, TODAY) as served:
            agree(world, served, operator, 3 * count)


@pytest.mark.long
def test_an_index_of_before_it_was_marked_as_one_is_left_alone_and_told_of(tmp_path: Path, unpack: Unpack) -> None:
    """It may be anybody's file. When it was taken away, a new one is made."""
    old, index = unpack(BEFORE_SIGNATURES), tmp_path / "decisions.sqlite"
    with shared_store("sqlite") as shared:
        world = new_world(tmp_path, BEFORE_SIGNATURES, shared.url)
        prepare(world)
        with running(world, old) as served:
            decide(world, served)
            assert comes(lambda: indexed(index) == len(DECISIONS))
        with running(world, TODAY) as served:
            said = served.next_event("decision-index-failed")["error"]
            operator = Operator.logged_in(world, TODAY, served)
            assert operator.sees(served) == []
        assert said == f"{index}: this is no index of an audit; name another file in `decisions.index`, or take it away"
        assert indexed(index) == len(DECISIONS)
        index.unlink()
        with running(world, TODAY) as served:
            agree(world, served, operator, len(DECISIONS))


def indexed(index: Path) -> int:
    """How many decisions a file has, whatever its form."""
    with closing(sqlite3.connect(index)) as connection:
        try:
            return int(connection.execute("SELECT count(*) FROM decisions").fetchone()[0])
        except sqlite3.OperationalError:
            return 0
