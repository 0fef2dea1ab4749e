"""Decisions that were recorded and indexed, and the pages that show them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from approvers.visiting import World
from decisions.recorded_days import append
from web.conftest import run

from extauthz.history.index import Index
from extauthz.history.indexing import Indexer
from extauthz.policy.declared import NOTHING_DECLARED
from extauthz.record.audit_line import DecisionLine
from extauthz.record.life_lines import LifeLine
from extauthz.web.decisions.drafts import Drafts
from extauthz.web.decisions.looking import Looking


class Recorded(World):
    """The pages' surroundings, with an audit in a folder."""

    folder: Path

    def writes(self, *lines: DecisionLine | LifeLine) -> None:
        """Write to the audit, and have it indexed."""
        append(self.folder / "audit.jsonl", lines)
        with Indexer(self.folder / "audit.jsonl", self.folder / "decisions.sqlite") as indexer:
            while indexer.step():
                pass


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Recorded]:
    made = Recorded()
    made.folder = tmp_path
    made.looking = Looking(
        index=Index(tmp_path / "audit.jsonl", tmp_path / "decisions.sqlite"),
        groups=frozenset({"operators"}),
        trace_url="https://traces.example.com/trace/{trace_id}?x=1",
        drafts=Drafts(declared=NOTHING_DECLARED),
    )
    yield made
    run(made.store.close())
