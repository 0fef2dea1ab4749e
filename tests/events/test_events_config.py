"""What may be written under `events:`, what it means, and what is refused with a word on how it is written."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from extauthz.app.events import make_events
from extauthz.errors import ExtauthzError
from extauthz.record.event_form import TYPE_PREFIX
from extauthz.record.event_types import KINDS
from extauthz.record.events_config import EventHookSettings
from extauthz.settings import Settings, load_settings
from extauthz.values.rate import LONGEST, MOST, Rate, rate_of

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
HOOK = "{name: siem, url: 'https://siem.example.com/in', secrets: [{file: siem.secret}]}"


def a_hook(**changed: Any) -> EventHookSettings:
    fields = {"name": "siem", "url": "https://siem.example.com/in", "secrets": [{"file": "siem.secret"}]}
    return EventHookSettings(**{**fields, **changed})


def settings_of(folder: Path, text: str) -> Settings:
    path = folder / "extauthz.yaml"
    path.write_text(f"policies: [policies/]\n{text}")
    return load_settings(path)


def test_without_a_word_everything_is_told_ten_times_a_minute_of_a_rule() -> None:
    hook = a_hook()
    assert hook.selection.kinds == set(KINDS)
    assert hook.selection.rules is None
    assert hook.rate.per_rule == Rate(most=10, seconds=60.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"types": ["decision.dney"]}, "did you mean `decision.deny`"),
        ({"types": []}, "at least 1 item"),
        ({"types": ["factor.*", "factor.*"]}, "listed twice"),
        ({"types": None}, "must not be empty"),
        ({"rules": []}, "at least 1 item"),
        ({"rules": ["payments"]}, r"write `policy/rule`, or `policy/\*`"),
        ({"rules": ["*"]}, r"write `policy/rule`, or `policy/\*`"),
        ({"rules": ["pay*/x"]}, "names no rule"),
        ({"rules": ["payments/*", "payments/*"]}, "listed twice"),
        ({"rate": {"per_rule": 10}}, "write `10/min`"),
        ({"rate": {"per_rule": "10"}}, "write `10/min`"),
        ({"rate": {"per_rule": "10/minute"}}, "write `10/min`"),
        ({"rate": {"per_rule": "0/min"}}, "a rate is of 1 to"),
        ({"rate": {"per_rule": "10/100ms"}}, "of a second at least"),
        ({"rate": {"per_rule": "10/2d"}}, "of a day at most"),
        ({"rate": {"per_type": "10/min"}}, "not permitted"),
        ({"events": ["opened"]}, "not permitted"),
        ({"secrets": []}, "nobody could tell who sends it"),
        ({"url": "https://10.0.0.7/in"}, r"addresses: \[10.0.0.7\]"),
        ({"name": "email"}, "the name of what is sent by mail"),
    ],
)
def test_a_webhook_that_could_not_be_meant_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as problem:
        a_hook(**changed)
    assert re.search(message, "; ".join(error["msg"] for error in problem.value.errors()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"events: {{webhooks: [{HOOK}, {HOOK}]}}", "`siem` is listed twice"),
        (
            "approvals: {url: 'https://approvals.example.com', webhooks: ["
            + HOOK
            + "]}\n"
            + f"events: {{webhooks: [{HOOK}]}}",
            "`siem` is a webhook of `approvals` too",
        ),
        ("events: {source: 'a b'}", "is no reference to where events come from"),
        ("events: {source: ''}", "at least 1"),
        ("events: {webhook: []}", "did you mean `webhooks`"),
        (
            f"events: {{webhooks: [{HOOK[:-1]}, types: [decison.deny]}}]}}",
            "extauthz.yaml:2:.*did you mean `decision.deny`",
        ),
    ],
)
def test_settings_that_could_not_be_meant_are_refused_with_their_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ExtauthzError, match=message):
        settings_of(tmp_path, text)


@given(st.integers(1, MOST), st.sampled_from(["s", "min", "m", "h", "d", "30s", "1h30m", "90m"]))
def test_a_rate_is_what_it_says(most: int, within: str) -> None:
    seconds = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "30s": 30, "1h30m": 5400, "90m": 5400}[within]
    rate = rate_of(f"{most}/{within}")
    assert rate == Rate(most=most, seconds=float(seconds))
    assert rate.seconds <= LONGEST
    assert rate_of(rate) is rate


def test_without_anybody_who_is_told_no_event_is_made(tmp_path: Path) -> None:
    assert make_events(settings_of(tmp_path, ""), lambda _: None) is None


def test_the_settings_of_the_page_are_a_configuration(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    events = settings_of(tmp_path, text).events
    assert [one.name for one in events.webhooks] == ["siem", "payments-chat"]
    assert events.webhooks[1].rate.per_rule == Rate(most=3, seconds=3600.0)
    assert "subject.blocked" in events.webhooks[1].selection.kinds


def test_the_table_of_the_page_has_every_type() -> None:
    rows = re.findall(r"^\| (`[a-z.-]+`(?:, `[a-z.-]+`)*) \| [^|]+ \|$", PAGE, re.MULTILINE)
    named = [name for names in rows for name in re.findall(r"`([a-z.-]+)`", names) if name in KINDS or "." in name]
    assert [name for name in named if name != "data.page" and name != "data.cut"] == list(KINDS)
    assert TYPE_PREFIX in PAGE


def test_every_pattern_of_the_page_means_something() -> None:
    for pattern in re.findall(r"types: \[(.*?)\]", PAGE):
        a_hook(types=[one.strip() for one in pattern.split(",")])
