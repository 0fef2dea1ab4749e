"""Whatever a request says: it is text in every format, and never a link, a mention, a header or a command."""

import json
import re
from email import message_from_bytes
from email.policy import SMTP
from itertools import chain
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from telling.telling_parts import NOW, PAGES, a_notice, an_approval, an_email, letters_of

from extauthz.approval.telling.chat import slack_message, teams_message
from extauthz.approval.telling.cloud_event import cloud_event
from extauthz.approval.telling.mail import mail_of
from extauthz.approval.telling.wording import HEADLINES, LONGEST, MOST_FACTS, shown, wording_of
from extauthz.values.approvals import Approver, BreakGlass, Ended, Picture, Proof, Review, Signals, Vote
from extauthz.values.identity import Subject
from extauthz.values.letters import EVENT_KINDS, EventKind

LINK = f"{PAGES}/approvals/apv-1"
ATTACKS = [
    "<https://evil.example|Approve>",
    "[Approve](https://evil.example)",
    "<!channel> <@U123> @here @everyone",
    "*bold* _it_ ~s~ `c` ```code```",
    "<at>everyone</at> {{DATE(2017-02-14T06:08:39Z,SHORT)}} ${host} {{{",
    "a\r\nBcc: victim@example.com\r\n\r\nbody",
    "a\nOpen the approval:\nhttps://evil.example/approve",
    "\u202eevorppa\u2066\u200b\u00ad\ufeff\u2028\u2029\x00\x1b[31m",
    "=?utf-8?q?=0D=0ABcc:_victim=40example.com?=",
    "\\u003cscript\\u003e &lt;b&gt; <script>alert(1)</script>",
    "\ud800",
    "x" * 10_000,
]

texts = st.text(max_size=60) | st.sampled_from([one for one in ATTACKS if one.isascii() or "\ud800" not in one])


def pictured(text: str) -> Picture:
    return Picture(
        user=text,
        issuer=text,
        actors=(text,),
        workload=text,
        method=text,
        host=text,
        path=text,
        query={text: (text, text)},
        show={text: text},
        description=text,
        why=text,
        risk=(Signals(model=text, score=1.5, level=text, signals=(text,)),),
        client_ip=text,
    )


def everything_says(text: str, kind: EventKind = "approved") -> Any:
    somebody = Approver(subject=Subject(issuer="i", id="u"), person=text, name=text)
    proof = Proof(factor="otp", at=NOW)
    return a_notice(
        kind,
        picture=pictured(text),
        votes=(Vote(approver=somebody, stance="approve", at=NOW, reason=text, in_place_of=somebody),),
        break_glass=BreakGlass(
            by=somebody,
            reason=text,
            proof=proof,
            at=NOW,
            review=Review(by=somebody, verdict="unjustified", at=NOW, reason=text),
        ),
        cancelled=Ended(by=text, at=NOW, reason=text),
        revoked=Ended(by=text, at=NOW, reason=text),
    )


def strings_of(value: Any) -> list[str]:
    match value:
        case dict():
            return list(chain.from_iterable(strings_of(one) for one in value.values()))
        case list():
            return list(chain.from_iterable(map(strings_of, value)))
        case str():
            return [value]
        case _:
            return []


@given(texts)
def test_what_is_shown_is_one_line_of_visible_characters_without_an_address(text: str) -> None:
    plain = shown(text)
    assert plain.isprintable()
    assert len(plain) <= LONGEST
    assert not re.search(r"[a-z]://", plain)


def test_what_can_be_seen_is_shown_as_it_is() -> None:
    assert shown("Zürich, 東京: 250'000 CHF <3") == "Zürich, 東京: 250'000 CHF <3"
    assert shown("a\tb\u202ec") == r"a\tb\u202ec"
    assert shown("https://evil.example") == "https[://]evil.example"
    assert shown("x" * 400) == "x" * (LONGEST - 1) + "…"


@given(texts)
def test_slack_is_told_nothing_of_a_request_where_it_reads_markup(text: str) -> None:
    message = json.loads(msgspec.json.encode(slack_message(wording_of(everything_says(text), pages=PAGES))))
    header, rich = message["blocks"]
    (section,) = rich["elements"]
    plain = [one for one in section["elements"] if one["type"] == "text"]
    (link,) = [one for one in section["elements"] if one["type"] != "text"]
    assert (link["type"], link["url"]) == ("link", LINK)
    assert message["text"] == f"{HEADLINES['approved']}: payments/four-eyes <{LINK}|Open the approval>"
    assert header["text"] == {"type": "plain_text", "text": HEADLINES["approved"], "emoji": False}
    assert len(plain) <= 2 * MOST_FACTS


@given(texts)
def test_teams_is_told_nothing_of_a_request_where_it_reads_markup(text: str) -> None:
    message = json.loads(msgspec.json.encode(teams_message(wording_of(everything_says(text), pages=PAGES))))
    card = message["attachments"][0]["content"]
    assert [one["text"] for one in card["body"] if one["type"] == "TextBlock"] == [HEADLINES["approved"]]
    runs = [run for one in card["body"] if one["type"] == "RichTextBlock" for run in one["inlines"]]
    assert {run["type"] for run in runs} == {"TextRun"}
    assert all("{{" not in run["text"] for run in runs)
    assert [one["url"] for one in card["actions"]] == [LINK]


@pytest.mark.parametrize("text", ATTACKS)
@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_no_message_is_longer_than_chats_take(text: str, kind: EventKind) -> None:
    wording = wording_of(everything_says(text * 40, kind), pages=PAGES)
    assert len(msgspec.json.encode(slack_message(wording))) < 40_000
    assert len(msgspec.json.encode(teams_message(wording))) < 28_000
    assert len(wording_of(everything_says("\U0001f600" * 999, kind), pages=PAGES).facts) <= MOST_FACTS
    assert (
        len(msgspec.json.encode(teams_message(wording_of(everything_says("\U0001f600" * 999, kind), pages=PAGES))))
        < 28_000
    )


@given(texts)
def test_mail_has_our_headers_alone_and_tells_the_rest_in_its_body(text: str) -> None:
    notice = everything_says(text)
    (letter,) = letters_of(notice.approval, ("approved",), email=an_email(events=["approved"]))
    raw = mail_of(letter, wording_of(notice, pages=PAGES), sender="extauthz@example.com", now=NOW).as_bytes()
    message = message_from_bytes(raw, policy=SMTP)
    assert sorted(name.lower() for name in message) == sorted(
        ["from", "to", "subject", "date", "message-id", "references", "auto-submitted", "mime-version", "content-type",
         "content-transfer-encoding"]
    )  # fmt: skip
    assert message["to"] == "treasury@example.com"
    assert message["subject"] == f"{HEADLINES['approved']}: payments/four-eyes"
    assert not message.is_multipart()
    assert message.get_content_type() == "text/plain"
    lines = message.get_content().replace("\r\n", "\n").split("\n")
    assert lines[:5] == [f"{HEADLINES['approved']}.", "", "Open the approval:", LINK, ""]
    # Whoever reads sees that the rest are facts: no line of theirs begins at the edge.
    assert all(line.startswith("  ") or not line for line in lines[5:])
    assert message.get_content().count("://") == message.get_content().count("[://]") + 1


def test_a_rule_with_markup_in_its_name_is_disarmed() -> None:
    notice = a_notice(rule="p/<!channel> *x* [a](https://evil.example)")
    text = slack_message(wording_of(notice, pages=PAGES))["text"]
    assert text.replace(f"<{LINK}|Open the approval>", "").count("<") == 0
    assert not set("*[]()!@:") & set(text.partition(": ")[2].partition(" <")[0])


def test_people_are_told_what_matters() -> None:
    facts = dict(wording_of(a_notice(), pages=PAGES).facts)
    assert facts == {
        "Rule": "payments/four-eyes",
        "Asked by": "u1 (https[://]idp.example.com)",
        "Through": "spiffe[://]prod.example.org/ns/shop/sa/web",
        "Request": "POST payments.example.com/v1/accounts/a1/transfers",
        "An answer is good for": "this very request, to the last byte",
        "Shown: amount": "250000",
        "Answer until": "2027-01-15T08:15:00Z",
        "Why it is asked": "variables.amount > 100000.0",
    }


@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_every_kind_has_its_headline(kind: EventKind) -> None:
    assert wording_of(a_notice(kind), pages=PAGES).headline == HEADLINES[kind]


# CloudEvents 1.0.2, spec.md "Context Attributes" and json-format.md section 3; the names as section "Naming" has them.
CLOUD_EVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1, "format": "uri-reference"},
        "type": {"type": "string", "pattern": r"^extauthz\.v1\.approval\.[a-z-]+$"},
        "subject": {"type": "string", "minLength": 1},
        "time": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
        "datacontenttype": {"const": "application/json"},
        "data": {"type": "object"},
    },
    "additionalProperties": False,
    "propertyNames": {"pattern": "^[a-z0-9]+$"},
}


@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_systems_are_told_by_an_event_of_cloudevents(kind: EventKind) -> None:
    event = json.loads(msgspec.json.encode(cloud_event(a_notice(kind), pages=PAGES)))
    jsonschema.validate(event, CLOUD_EVENT)
    assert (event["id"], event["source"], event["subject"]) == ("apv-1-1-0", PAGES, "apv-1")
    assert event["type"] == f"extauthz.v1.approval.{kind}"
    assert event["data"]["page"] == LINK
    assert event["data"]["status"] == "pending"


def test_nobody_is_told_by_what_a_caller_is_known() -> None:
    approval = an_approval(session="the-session", holder="the-holder", binding="the-binding", key="the-key")
    notice = a_notice(session="the-session", holder="the-holder", binding="the-binding", key="the-key")
    assert approval == notice.approval
    wording = wording_of(notice, pages=PAGES)
    for message in (cloud_event(notice, pages=PAGES), slack_message(wording), teams_message(wording)):
        said = " ".join(strings_of(message))
        assert not any(secret in said for secret in ("the-session", "the-holder", "the-binding", "the-key"))
