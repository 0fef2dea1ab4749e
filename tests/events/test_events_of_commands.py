"""What commands do is told by the servers of the same store: they find it there, whether anything is audited or not."""

import json
from pathlib import Path
from typing import Any

import pytest
from e2e.factor_store import FactorStore
from typer.testing import CliRunner, Result

from extauthz.app.key_file import make_keys
from extauthz.cli.commands import app
from extauthz.values.letters import Letter

CONFIG = """\
policies: [p/]
store: sqlite:///state.db
identity: {users: [{name: idp, issuer: "https://idp.example.com", audiences: [shop], jwks: jwks.json}]}
events:
  webhooks:
    - {name: siem, url: "https://siem.example.com/in", secrets: [{file: siem.secret}], types: [subject.*, factor.*]}
    - {name: rules, url: "https://siem.example.com/in", secrets: [{file: siem.secret}], rules: [p/*]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "extauthz.yaml"
    path.write_text(CONFIG)
    return path


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(config)])


def letters(config: Path) -> list[Letter]:
    states = FactorStore(folder=config.parent).do(lambda store: store.letters(most=100))
    return sorted((state.letter for state in states), key=lambda letter: letter.at)


def events(config: Path) -> list[dict[str, Any]]:
    return [json.loads(letter.content) for letter in letters(config)]


def test_what_a_command_has_done_is_a_letter_to_who_wants_it(config: Path) -> None:
    assert run(config, "subjects", "block", "alice").exit_code == 0
    assert run(config, "subjects", "unblock", "alice").exit_code == 0
    assert run(config, "subjects", "unblock", "alice").exit_code == 0, "nothing happens"
    make_keys(config.parent / "keys.json", replace=False)
    assert run(config, "keys", "rotate", "--after", "0s").exit_code == 0, "that is told to nobody here"
    assert {letter.sink for letter in letters(config)} == {"siem"}
    assert [(one["type"], one["data"]["by"], one["data"]["subject"]["sub"]) for one in events(config)] == [
        ("extauthz.v1.subject.blocked", "command", "alice"),
        ("extauthz.v1.subject.unblocked", "command", "alice"),
    ]
    assert len({letter.event for letter in letters(config)}) == 2


def test_deliveries_of_events_are_listed(config: Path) -> None:
    run(config, "subjects", "block", "alice")
    listed = run(config, "approvals", "deliveries", "list", "--sink", "siem", "--format", "json")
    (one,) = json.loads(listed.stdout)
    assert (one["kind"], one["sink"], one["approval"], one["status"]) == ("subject.blocked", "siem", "", "waiting")
    assert "nobody who is told" not in listed.stderr
    assert "subject.blocked" in run(config, "approvals", "deliveries", "list").stdout


def test_what_is_done_and_can_not_be_audited_is_told(config: Path) -> None:
    config.write_text(CONFIG + "audit: {path: audit.jsonl}\n")
    (config.parent / "audit.jsonl").symlink_to("/dev/full")
    refused = run(config, "subjects", "block", "alice")
    assert refused.exit_code != 0
    assert "it is done, but can't be recorded" in str(refused.exception)
    assert [one["type"] for one in events(config)] == ["extauthz.v1.subject.blocked"]


def test_what_is_not_done_is_not_told(config: Path) -> None:
    config.write_text(CONFIG + "audit: {path: audit.jsonl}\n")
    (config.parent / "audit.jsonl").mkdir()
    assert run(config, "subjects", "block", "alice").exit_code != 0
    assert letters(config) == []
