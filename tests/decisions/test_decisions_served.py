"""A whole server with decisions to show: a process of its own keeps the index, one of all, and ends with its server."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import comes, is_there
from pydantic import ValidationError
from serving import CONFIG, POLICY, Served, end, start

from extauthz.errors import ExtauthzError
from extauthz.history.index import Found, Index
from extauthz.history.index_questions import Wanted
from extauthz.policy.problems import PolicyErrors
from extauthz.settings import load_settings
from extauthz.web.decisions_config import DecisionsSettings

DECISIONS = """
audit: {path: audit.jsonl}
approvals: {url: "https://approvals.example.com"}
decisions: {operators: {groups: [operators]}}
"""
LISTEN = "admin: "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "site.yaml").write_text(POLICY.format(path="/one"))
    config = CONFIG.replace(LISTEN, f'approvals: "127.0.0.1:0", {LISTEN}')
    (tmp_path / "extauthz.yaml").write_text(config + DECISIONS)
    return tmp_path


@pytest.fixture
def servers(folder: Path) -> Iterator[list[Served]]:
    started = [start(folder), start(folder)]
    yield started
    for served in started:
        end(served)


def found(folder: Path) -> list[Found]:
    return Index(folder / "audit.jsonl", folder / "decisions.sqlite").listed(Wanted(), most=10)


def keepers(served: Served) -> list[int]:
    """The processes of this server that keep an index."""
    pids = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    return [int(pid) for pid in pids if b"decision_index" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_one_server_keeps_the_index_and_the_other_goes_on(folder: Path, servers: list[Served]) -> None:
    assert all(served.allows("/one") for served in servers)
    assert not servers[0].allows("/two")
    assert comes(lambda: len(found(folder)) == 3)
    assert {(one.decision, one.path) for one in found(folder)} == {("allow", "/one"), ("deny", "/two")}
    by_server = [keepers(served) for served in servers]
    assert sorted(map(len, by_server)) == [0, 1]
    first = 0 if by_server[0] else 1
    keeper = by_server[first][0]
    servers[first].process.kill()
    assert comes(lambda: not is_there(keeper))
    other = servers[1 - first]
    assert other.allows("/one")
    assert comes(lambda: len(found(folder)) == 4)
    assert len(keepers(other)) == 1


def test_a_keeper_that_dies_is_started_again(folder: Path, servers: list[Served]) -> None:
    assert comes(lambda: any(keepers(served) for served in servers))
    served = next(one for one in servers if keepers(one))
    os.kill(keepers(served)[0], signal.SIGKILL)
    assert served.next_event("decision-index-failed")["error"] == "its process ended with -9"
    assert served.allows("/one")
    assert comes(lambda: len(found(folder)) == 1)


def test_a_server_that_ends_takes_its_keeper_along(servers: list[Served]) -> None:
    assert comes(lambda: any(keepers(served) for served in servers))
    served = next(one for one in servers if keepers(one))
    keeper = keepers(served)[0]
    served.process.terminate()
    assert served.process.wait(30) == 0
    assert comes(lambda: not is_there(keeper))
    assert not [one for one in served.heard if one["event"] == "decision-index-failed"]


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("audit: {path: audit.jsonl}", "there are none without an audit"),
        ('approvals: {url: "https://approvals.example.com"}', "at the origin of the approvers' pages"),
    ],
)
def test_decisions_need_an_audit_and_pages(folder: Path, missing: str, said: str) -> None:
    file = folder / "extauthz.yaml"
    file.write_text(file.read_text().replace(missing, ""))
    with pytest.raises((PolicyErrors, ExtauthzError), match=said):
        load_settings(file)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({}, "operators"),
        ({"operators": {"groups": []}}, "groups"),
        ({"operators": {"groups": ["a", "a"]}}, "listed twice"),
        ({"operators": {"groups": ["a"]}, "trace_url": "https://traces.example.com/"}, "must be an address with"),
        ({"operators": {"groups": ["a"]}, "trace_url": "javascript:alert('{trace_id}')"}, "must be an address with"),
    ],
)
def test_what_would_let_nobody_look_or_lead_astray_is_refused(block: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DecisionsSettings.model_validate(block)
