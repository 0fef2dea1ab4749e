"""What webhooks are sent of the event stream, in the form that each of them takes: the event as it is, or words for a
chat.

The rule: an event is sent to the last byte as it was written. Headlines and labels are ours; all that is in an event is
a value, made plain by `shown`.
"""

from collections.abc import Iterator, Mapping
from typing import Final, assert_never

import msgspec

from extauthz.approval.telling.chat import slack_message, teams_message
from extauthz.approval.telling.config import Format
from extauthz.approval.telling.wording import MOST_FACTS, OPEN, Wording, shown
from extauthz.record.event_form import FOLDED, TYPE_PREFIX
from extauthz.record.event_types import EventKind

HEADLINES: Final[Mapping[EventKind, str]] = {
    "decision.deny": "A request was denied",
    "decision.challenge": "A request needs a proof",
    "decision.hold": "A request waits for an approval",
    "challenge.opened": "Somebody was asked for a proof",
    "challenge.shown": "Somebody looks at a challenge",
    "challenge.met": "A challenge was met",
    "challenge.failed": "A proof was wrong",
    "challenge.expired": "A challenge was not met in time",
    "factor.enrolled": "A factor was set up",
    "factor.removed": "A factor was removed",
    "factor.reset": "Somebody's factors were reset",
    "factor.proven": "A factor was proven",
    "factor.locked": "Too many wrong codes: somebody is locked out",
    "grant.given": "A grant was given",
    "grant.used": "A grant was used",
    "grant.revoked": "Grants were revoked",
    "approval.opened": "An approval is asked for",
    "approval.voted": "A vote was given",
    "approval.escalated": "More people are asked for an approval",
    "approval.approved": "An approval was given",
    "approval.denied": "An approval was denied",
    "approval.expired": "An approval was not answered in time",
    "approval.cancelled": "An approval is no longer asked for",
    "approval.broken-glass": "Somebody went through without an approval, by break-glass",
    "approval.reviewed": "A break-glass was reviewed",
    "approval.revoked": "An approval was revoked",
    "subject.blocked": "Somebody was blocked",
    "subject.unblocked": "Somebody is blocked no longer",
    "subject.revoked": "Somebody's tokens were revoked",
    "session.revoked": "A session was revoked",
    "device.known": "A device is known from now on",
    "device.revoked": "A device is known no longer",
    "policy.in-force": "Policies came in force",
    "policy.refused": "New policies were refused; the old ones stay in force",
    "keys.changed": "The keys have changed",
}
_OPEN_DECISION: Final = "Open the decision"


def event_message(content: bytes, form: Format) -> bytes:
    """What is sent for a letter with this content, an event.

    Raises:
        ValueError: another version has written it, and it can't be worded.
    """
    match form:
        case "cloudevents":
            return content
        case "slack":
            return msgspec.json.encode(slack_message(event_wording(content)))
        case "teams":
            return msgspec.json.encode(teams_message(event_wording(content)))
        case _:
            assert_never(form)


class _Subject(msgspec.Struct):
    sub: str = ""


class _Request(msgspec.Struct):
    method: str = ""
    host: str = ""
    path: str = ""


class _Workload(msgspec.Struct):
    id: str = ""


class _Identity(msgspec.Struct):
    workload: _Workload = msgspec.field(default_factory=_Workload)
    user: _Subject = msgspec.field(default_factory=_Subject)
    client_ip: str = ""


class _Told(msgspec.Struct):
    """What words are made of; an event has more."""

    rule: str = ""
    reason: str = ""
    subject: _Subject = msgspec.field(default_factory=_Subject)
    by: str = ""
    request: _Request = msgspec.field(default_factory=_Request)
    identity: _Identity = msgspec.field(default_factory=_Identity)
    factor: str = ""
    detail: str = ""
    details: dict[str, str | int | float | bool | list[str]] = {}
    revision: str = ""
    decision_id: str = ""
    approval: str = ""
    page: str = ""
    type: str = ""
    count: int = 0
    from_: str = msgspec.field(default="", name="from")
    until: str = ""
    example: str = ""


class _Event(msgspec.Struct):
    type: str
    data: _Told


def event_wording(content: bytes) -> Wording:
    """The words for an event. Raises `ValueError` if it is none of those that there are."""
    event = msgspec.json.decode(content, type=_Event)
    told, kind = event.data, event.type.removeprefix(TYPE_PREFIX)
    if kind == FOLDED:
        headline = f"{told.count} times more: {_headline(told.type.removeprefix(TYPE_PREFIX))}"
    else:
        headline = _headline(kind)
    facts = [(label, shown(value)) for label, value in _facts(told) if value]
    return Wording(
        headline=headline,
        rule=shown(told.rule),
        facts=facts[:MOST_FACTS],
        link=told.page,
        opens=OPEN if told.approval else _OPEN_DECISION,
    )


def _headline(kind: str) -> str:
    for known, words in HEADLINES.items():
        if known == kind:
            return words
    raise ValueError(f"there is no event of the kind `{kind}`")


def _facts(told: _Told) -> Iterator[tuple[str, str]]:
    """What matters most first."""
    request, identity = told.request, told.identity
    yield "Rule", told.rule
    yield "Why", told.reason
    yield "About", told.subject.sub or identity.user.sub
    yield "By", told.by
    yield "Through", identity.workload.id
    yield "Request", f"{request.method} {request.host}{request.path}".strip()
    yield "From", identity.client_ip
    yield "Factor", told.factor
    yield "Between", f"{told.from_} and {told.until}" if told.count else ""
    yield "Detail", told.detail
    yield "Revision", told.revision
    yield "Decision", told.decision_id or told.example
    for name, value in told.details.items():
        yield name.replace("_", " ").capitalize(), ", ".join(value) if isinstance(value, list) else str(value)
