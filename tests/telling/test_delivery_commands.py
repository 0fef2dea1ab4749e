"""`extauthz approvals deliveries` as an operator uses it: what is not delivered, why, and telling it again."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from commanding import command
from telling.telling_parts import an_approval, an_email, letters_of
from typer.testing import CliRunner, Result

from extauthz.app.tellers import addressees_of
from extauthz.app.wiring import open_configured_store
from extauthz.approval.telling.addressing import Audience
from extauthz.cli.deliveries import DeliveriesRefused, app
from extauthz.errors import ConfigurationError
from extauthz.settings import load_settings
from extauthz.values.letters import LetterState

CONFIG = """\
policies: [policies/]
store: sqlite:///letters.db
approvals:
  url: https://approvals.example.com
  webhooks: [{name: audit, url: "https://hooks.example.com/", secrets: [{file: hook.secret}]}]
  email: {host: smtp.example.com, from: a@example.com, to: {always: [treasury@example.com]}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose store has a letter that waits and one, to the webhook, that was given up."""
    path = tmp_path / "extauthz.yaml"
    path.write_text(CONFIG)

    async def fill() -> None:
        now = time.time()
        settings = load_settings(path)
        store = open_configured_store(settings)
        approval = an_approval(opened_at=now, expires_at=now + 900, state_at=now)
        letters = addressees_of(settings).letters(approval, ("opened",), Audience(), now=now)
        await store.open_approval(approval, letters=letters, keep=3600, most_open=50, now=now)
        (claim,) = await store.claim_letters("audit", most=8, lease=60, now=now)
        assert await store.letter_dead(claim.letter.id, 1, error="answered with 404\x1b[31m", now=now)
        await store.close()

    asyncio.run(fill())
    return path


def run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--config", str(config)])


def kept(config: Path) -> list[LetterState]:
    async def read() -> list[LetterState]:
        store = open_configured_store(load_settings(config))
        try:
            return list(await store.letters(most=100))
        finally:
            await store.close()

    return asyncio.run(read())


def test_what_is_not_delivered_is_listed_with_what_became_of_it(config: Path) -> None:
    rows = {one["sink"]: one for one in json.loads(run(config, "list", "--format", "json").stdout)}
    assert rows["audit"]["status"] == "dead"
    assert rows["audit"]["due"] is None
    assert (rows["email"]["status"], rows["email"]["to"]) == ("waiting", "treasury@example.com")
    text = run(config, "list").stdout
    heading, *told = text.splitlines()
    assert heading.split("\t")[:3] == ["id", "at", "sink"]
    assert len(told) == 2
    assert "answered with 404" in text
    assert "\x1b" not in text  # nothing that somebody has said steers the terminal


def test_the_list_can_be_narrowed(config: Path) -> None:
    assert "audit" in run(config, "list", "--dead").stdout
    assert "email" not in run(config, "list", "--dead").stdout
    assert run(config, "list", "--dead", "--sink", "email").stderr == "nothing waits\n"
    assert "nobody who is told" in run(config, "list", "--sink", "audti").stderr


@pytest.mark.parametrize("by", ["id", "beginning", "sink", "all"])
def test_what_was_given_up_is_told_again(config: Path, by: str) -> None:
    (dead,) = [one for one in kept(config) if one.dead_at is not None]
    named = {"id": [dead.letter.id], "beginning": [dead.letter.id[:6]], "sink": ["--sink", "audit"], "all": ["--all"]}[
        by
    ]
    assert run(config, "replay", *named).stdout == "1 letter will be sent again\n"
    (again,) = [one for one in kept(config) if one.letter.id == dead.letter.id]
    assert (again.dead_at, again.attempts, again.letter) == (None, 0, dead.letter)
    assert json.loads(run(config, "replay", *named, "--format", "json").stdout) == {"replayed": 0}


@pytest.mark.parametrize("named", [[], ["--all", "--sink", "audit"], ["--all", "0a1b2c3d"]])
def test_nothing_is_told_again_unless_it_is_said_what(config: Path, named: list[str]) -> None:
    ended = command("approvals", "deliveries", "replay", *named, folder=config.parent)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "say what to tell again: ids, --sink, or --all alone" in ended.stderr
    assert sum(one.dead_at is not None for one in kept(config)) == 1


def test_a_letter_that_is_not_there_is_not_told_again(config: Path) -> None:
    (dead,) = [one for one in kept(config) if one.dead_at is not None]
    result = run(config, "replay", dead.letter.id, "nope")
    assert isinstance(result.exception, DeliveriesRefused)
    assert "`nope`" in str(result.exception)
    assert sum(one.dead_at is not None for one in kept(config)) == 1


def test_a_store_inside_of_the_server_has_nothing_to_list(config: Path) -> None:
    config.write_text(CONFIG.replace("sqlite:///letters.db", '"memory:"'))
    assert isinstance(run(config, "list").exception, ConfigurationError)


def test_mail_is_addressed_as_the_settings_say() -> None:
    assert [one.to for one in letters_of(an_approval(), email=an_email())] == ["treasury@example.com"]
