"""docs/webhooks.md says what is: its settings load, its event is one, and its receiver takes what is sent."""

import json
import re
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from telling.telling_parts import PAGES, SECRET, a_notice

from extauthz.approval.telling.cloud_event import cloud_event
from extauthz.approval.telling.config import ASKING
from extauthz.approval.telling.signing import signed_headers, signing_key
from extauthz.settings import load_settings
from extauthz.values.letters import EVENT_KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_its_settings_are_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "extauthz.yaml"
    path.write_text("policies: [policies/]\n" + block("yaml"))
    approvals = load_settings(path).approvals
    assert [one.format for one in approvals.webhooks] == ["cloudevents", "slack", "teams"]
    assert approvals.email is not None
    assert approvals.email.where == 587


def test_its_event_has_the_form_of_those_that_are_sent() -> None:
    shown = json.loads(block("json"))
    sent = json.loads(msgspec.json.encode(cloud_event(a_notice(), pages=PAGES)))
    assert shown.keys() == sent.keys()
    assert shown["data"].items() <= sent["data"].items()
    assert {name: shown[name] for name in ("id", "source", "type", "subject")} == {
        name: sent[name] for name in ("id", "source", "type", "subject")
    }


@pytest.mark.parametrize("change", ["nothing", "body", "id", "timestamp", "secret", "age"])
def test_its_receiver_takes_what_is_sent_and_nothing_else(change: str) -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)  # noqa: S102 - the code of our own page
    body, at = b'{"specversion":"1.0"}', int(time.time()) - (400 if change == "age" else 0)
    other = "whsec_" + "A" * 32
    headers = dict(signed_headers([signing_key(other), signing_key(SECRET)], event="apv-1-1-0", at=at, body=body))
    if change == "id":
        headers["webhook-id"] = "apv-1-1-1"
    if change == "timestamp":
        headers["webhook-timestamp"] = str(at + 1)
    secret = SECRET.replace("A", "B") if change == "secret" else SECRET
    assert names["is_ours"](secret, headers, body + b" " * (change == "body")) == (change == "nothing")


def test_it_names_every_event() -> None:
    rows = re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE)
    told = {name: who.strip() for names, who in rows for name in re.findall(r"`([a-z-]+)`", names)}
    assert told.keys() >= set(EVENT_KINDS)
    assert {name for name in EVENT_KINDS if told[name] == "all"} == set(ASKING)
