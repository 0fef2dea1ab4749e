"""Events as they are written: what the audit says of the same thing, in an envelope, and never long."""

import dataclasses
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from changing import replace
from events.event_parts import AT, denied, lived
from hypothesis import given
from record.making_records import decision_records, life_records

from extauthz.record.brief import in_full
from extauthz.record.decision import DecisionRecord
from extauthz.record.event_folding import Folded
from extauthz.record.event_form import LONGEST, SOURCE, EventForm
from extauthz.record.event_message import event_message, event_wording
from extauthz.record.event_types import happening_of
from extauthz.record.keeping import Record
from extauthz.record.life import LifeRecord
from extauthz.record.life_lines import life_line_of
from extauthz.record.masking import Keep, line_of
from extauthz.values.decisions import Allow, Deny
from extauthz.values.identity import Subject
from extauthz.values.request import Glimpse
from extauthz.values.well_formed import well_formed

PAGES = "https://approvals.example.com"
FORM = EventForm(source="https://authz.example.com", approvals=f"{PAGES}/approvals/", decisions=f"{PAGES}/decisions/")
PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
FOLDED = Folded(
    kind="decision.deny",
    rule="payments/frozen-accounts",
    reason="",
    count=9990,
    from_ns=AT + 213_000_000,
    until_ns=AT + 41_870_000_000,
    example="dec-11",
)


def refused(record: DecisionRecord) -> DecisionRecord:
    """The record, of a denial if it is one of an allow; the ids of decisions are ours."""
    decision = Deny(reason="denied") if isinstance(record.decision, Allow) else record.decision
    return replace(record, decision_id="dec-1", decision=decision)


refusals = decision_records.map(refused)


def written(record: Record, form: EventForm = FORM, id_: str = "evt-a-1") -> bytes:
    happening = happening_of(record)
    assert happening is not None
    return form.event(record, happening, id_)


def event_of(record: Record, form: EventForm = FORM) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(written(record, form))
    return event


def line_for(record: Record) -> dict[str, Any]:
    line = life_line_of(record) if isinstance(record, LifeRecord) else line_of(in_full(record), Keep())
    said: dict[str, Any] = json.loads(well_formed(line))
    return said


@given(refusals | life_records)
def test_an_event_says_what_the_audit_says_of_it_and_nothing_else(record: Record) -> None:
    event = event_of(record, EventForm())
    told = event["data"]
    if told.pop("cut", False):
        assert told.keys() <= line_for(record).keys()
    else:
        assert told == line_for(record)


@given(refusals | life_records)
def test_no_event_is_longer_than_it_may_be(record: Record) -> None:
    assert len(written(record)) <= LONGEST


@pytest.mark.parametrize("character", ["a", "\x01", "\U0001f600", "\ud800"])
def test_of_what_was_seen_of_a_request_the_beginning_is_told(character: str) -> None:
    text = character * 20_000
    seen = Glimpse(id=text, method=text, host=text, path=text, source_ip=text)
    content = written(replace(denied(), request=None, identity=None, glimpse=seen))
    assert len(content) <= LONGEST
    told = json.loads(content)["data"]
    assert told["cut"] is True
    assert {name: text[-1] for name, text in told["glimpse"].items()} == dict.fromkeys(
        ("id", "method", "host", "path", "source_ip"), "…"
    )


@pytest.mark.parametrize("character", ["a", "\x01", '"', "é", "\U0001f600", "\ud800"])
def test_of_a_long_event_who_what_and_why_is_told(character: str) -> None:
    text = character * 20_000
    record = denied()
    request, identity = record.request, record.identity
    assert request is not None
    assert request.http is not None
    assert identity is not None
    assert identity.user is not None
    user = dataclasses.replace(
        identity.user, sub=text, iss=text, groups=tuple(f"{text[:200]}{number}" for number in range(100))
    )
    long = replace(
        record,
        request=replace(request, http=replace(request.http, path=text, host=text, id=text)),
        identity=replace(identity, user=user),
        detail=f"token: {text}",
    )
    content = written(long)
    assert len(content) <= LONGEST
    told = json.loads(content)["data"]
    assert told["cut"] is True
    assert told["request"]["path"].endswith("…")
    assert (told["decision"], told["reason"], told["rule"], told["status"]) == (
        "deny",
        "account-frozen",
        "payments/frozen-accounts",
        403,
    )
    assert told["page"] == f"{PAGES}/decisions/dec-1"
    blocked = lived(subject=Subject(text, text), by=f"approver:{text}", reason=text, details={"what": text})
    content = written(blocked)
    assert len(content) <= LONGEST
    assert json.loads(content)["type"] == "extauthz.v1.subject.blocked"


def test_credentials_and_queries_are_in_no_event() -> None:
    content = written(denied()).decode()
    assert "secret" not in content
    assert "5000" not in content
    kept = json.loads(written(denied(), EventForm(keep=Keep(query=frozenset({"amount"})))))
    assert kept["data"]["request"]["query"] == {"amount": ["5000"]}, "what the audit keeps is told"


@given(refusals | life_records)
def test_the_envelope_is_a_cloud_event(record: Record) -> None:
    event = event_of(record)
    assert list(event) == [
        name
        for name in ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data")
        if name in event
    ]
    assert event["specversion"] == "1.0"
    assert event["type"].startswith("extauthz.v1.")
    assert event.get("subject", "something")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", event["time"])
    datetime.fromisoformat(event["time"])


@pytest.mark.parametrize(
    ("record", "subject", "page"),
    [
        (denied(), "dec-1", f"{PAGES}/decisions/dec-1"),
        (lived(), "uma", None),
        (lived(kind="approval.voted", approval="apv-1"), "apv-1", f"{PAGES}/approvals/apv-1"),
        (lived(kind="challenge.met", challenge="c-1"), "c-1", None),
        (lived(kind="grant.used", grant="g-1", challenge=None), "g-1", None),
        (lived(kind="policy.in-force", subject=None, revision="sha256:0"), "sha256:0", None),
        (lived(kind="keys.changed", subject=None), None, None),
    ],
)
def test_an_event_names_what_it_is_about_and_where_to_see_it(
    record: Record, subject: str | None, page: str | None
) -> None:
    event = event_of(record)
    assert event.get("subject") == subject
    assert event["data"].get("page") == page
    assert "page" not in event_of(record, EventForm())["data"]
    assert event_of(record, EventForm())["source"] == SOURCE


def test_the_events_of_the_page_are_those_that_are_written() -> None:
    shown = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)]
    denial, count = shown
    assert denial == json.loads(written(denied(), id_="evt-a2c4e6081a3c5e70-17"))
    told = json.loads(EventForm().folded(FOLDED, "evt-a-2"))
    assert count == {name: told[name] for name in count}


def test_a_count_without_a_rule_has_its_reason_and_none_without_an_example_leads_anywhere() -> None:
    told = json.loads(FORM.folded(dataclasses.replace(FOLDED, rule="", reason="malformed-path"), "evt-a-2"))
    assert told["subject"] == "malformed-path"
    assert told["data"]["reason"] == "malformed-path"
    assert told["data"]["page"] == f"{PAGES}/decisions/dec-11"
    assert "rule" not in told["data"]
    nameless = json.loads(FORM.folded(dataclasses.replace(FOLDED, example="", rule="", reason=""), "evt-a-2"))
    assert nameless["data"].keys() == {"type", "count", "from", "until"}
    assert "subject" not in nameless


@given(refusals | life_records)
def test_every_event_has_words_for_a_chat(record: Record) -> None:
    content = written(record)
    wording = event_wording(content)
    assert wording.headline
    assert all(value.isprintable() and "://" not in value for _, value in wording.facts)
    for form in ("slack", "teams"):
        assert json.loads(event_message(content, form))
    assert event_message(content, "cloudevents") == content


def test_a_chat_reads_who_wanted_what_and_why_not() -> None:
    wording = event_wording(written(denied()))
    assert wording.headline == "A request was denied"
    assert wording.link == f"{PAGES}/decisions/dec-1"
    assert wording.opens == "Open the decision"
    assert dict(wording.facts) == {
        "Rule": "payments/frozen-accounts",
        "Why": "account-frozen",
        "About": "uma",
        "Request": "POST payments.example.com/v1/accounts/acc-13/transfers",
        "From": "203.0.113.9",
        "Revision": "sha256:0123",
        "Decision": "dec-1",
    }
    folded = event_wording(EventForm().folded(FOLDED, "evt-a-2"))
    assert folded.headline == "9990 times more: A request was denied"
    assert dict(folded.facts)["Between"] == "2026-11-22T10:00:00.213000000Z and 2026-11-22T10:00:41.870000000Z"
    slack = json.loads(event_message(EventForm().folded(FOLDED, "evt-a-2"), "slack"))
    assert "<" not in slack["text"], "there is no page to open"
    assert not [one for one in slack["blocks"][1]["elements"][0]["elements"] if one["type"] == "link"]
    assert (
        json.loads(event_message(EventForm().folded(FOLDED, "e"), "teams"))["attachments"][0]["content"]["actions"]
        == []
    )


def test_details_of_an_event_are_facts_in_a_chat() -> None:
    wording = event_wording(written(lived(details={"what": "tokens", "for_s": 60, "keys": ("a", "b")})))
    assert wording.rule == ""
    assert ("What", "tokens") in wording.facts
    assert ("For s", "60") in wording.facts
    assert ("Keys", "a, b") in wording.facts
    assert wording.link == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"type": "extauthz.v1.decision.deny"}',
        b'{"type": "extauthz.v1.decision.allow", "data": {}}',
        b'{"type": "extauthz.v1.decision.deny", "data": {"rule": 7}}',
        b'{"type": "extauthz.v1.events.folded", "data": {"count": 2}}',
    ],
)
def test_what_another_version_has_written_is_no_message_for_a_chat(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        event_message(content, "slack")
