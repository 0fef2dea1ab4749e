"""What people are told of an approval, in words: a headline, some facts, and where to answer.

The rule: headlines and labels are ours. All that a request, a requester or a voter has written is a value, made plain
by `shown`: one line of visible characters of bounded length, which no program takes for an address.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from extauthz.approval.telling.addressing import Notice
from extauthz.values.approvals import Approval, Approver, Picture, Vote
from extauthz.values.instant import instant
from extauthz.values.letters import EventKind

LONGEST: Final = 300
"""Characters of a value; with MOST_FACTS of them no chat finds a message too long."""
MOST_FACTS: Final = 20
OPEN: Final = "Open the approval"

HEADLINES: Final[Mapping[EventKind, str]] = {
    "opened": "An approval is asked for",
    "voted": "A vote was given",
    "escalated": "An approval is still asked for, now of more people",
    "approved": "An approval was given",
    "denied": "An approval was denied",
    "expired": "An approval was asked for, and nobody answered in time",
    "cancelled": "An approval is no longer asked for",
    "broken-glass": "Somebody went through without an approval, by break-glass: please review it",
    "reviewed": "A break-glass was reviewed",
    "revoked": "An approval was revoked",
}

_GOOD_FOR: Final[Mapping[str, str]] = {
    "request": "this very request, to the last byte",
    "scope": "requests under this rule with the same values",
    "action": "every request under this rule, in this session",
    "session": "everything in this session that asks for an approval like this",
}


class Wording(msgspec.Struct, frozen=True, kw_only=True):
    """`rule` is the name of the rule; `facts` are labels with their values, all of them plain; `link` is the page, and
    `opens` are the words for it. Without a rule, or a page, they are empty."""

    headline: str
    rule: str
    facts: Sequence[tuple[str, str]]
    link: str
    opens: str = OPEN


def page_of(approval: Approval, *, pages: str) -> str:
    """Where approvers see this approval; `pages` is the origin of their pages."""
    return f"{pages}/approvals/{approval.id}"


def good_for(approval: Approval) -> str:
    """What an answer is good for."""
    return _GOOD_FOR.get(approval.bind, approval.bind)


def wording_of(notice: Notice, *, pages: str) -> Wording:
    """The words for what has happened."""
    approval = notice.approval
    facts = [(label, shown(value)) for label, value in _facts(notice) if value]
    if len(facts) > MOST_FACTS:
        more = len(facts) - MOST_FACTS + 1
        facts = [*facts[: MOST_FACTS - 1], ("More", f"{more} facts that the page has")]
    return Wording(
        headline=HEADLINES[notice.kind], rule=shown(approval.rule), facts=facts, link=page_of(approval, pages=pages)
    )


def shown(text: str, *, longest: int = LONGEST) -> str:
    """The text as one line of visible characters.

    What is invisible, changes the direction or ends the line is written as an escape. `://` is written `[://]`.
    """
    # No character becomes shorter, so that what is behind the first ones is not even looked at.
    cut = text[: longest + 1].replace("://", "[://]")
    plain = "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in cut)
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def _facts(notice: Notice) -> Iterator[tuple[str, str]]:
    """What matters most first: what is left out where there is no room comes last."""
    approval, picture = notice.approval, notice.approval.picture
    yield "Rule", approval.rule
    yield "What it is for", picture.description
    yield "Asked by", _who(picture) or approval.subject.id
    yield "Acting for them", ", ".join(picture.actors)
    yield "Through", picture.workload
    yield "Request", f"{picture.method} {picture.target}".strip()
    yield "An answer is good for", good_for(approval)
    yield from _happened(notice)
    for name, value in picture.show.items():
        yield f"Shown: {shown(name, longest=40)}", value
    if approval.state == "pending":
        yield "Answer until", instant(approval.expires_at)
    for name, values in picture.query.items():
        yield f"Parameter: {shown(name, longest=40)}", ", ".join(values)
    yield "Why it is asked", picture.why
    for one in picture.risk:
        yield f"Risk: {shown(one.model, longest=40)}", f"{one.level} ({one.score:g}) {', '.join(one.signals)}"
    yield "From", picture.client_ip


def _who(picture: Picture) -> str:
    return f"{picture.user} ({picture.issuer})" if picture.user and picture.issuer else picture.user


def _happened(notice: Notice) -> Iterator[tuple[str, str]]:
    approval = notice.approval
    broken = approval.break_glass
    if broken is not None:
        yield "Went through", _named(broken.by)
        yield "Their reason", broken.reason
        if broken.review is not None:
            yield "Reviewed by", f"{_named(broken.review.by)}: {broken.review.verdict}"
            yield "What they found", broken.review.reason
    if notice.kind in ("voted", "approved", "denied"):
        for vote in approval.votes:
            yield ("Approved by" if vote.stance == "approve" else "Denied by"), _voter(vote)
    for label, ended in (("Cancelled by", approval.cancelled), ("Revoked by", approval.revoked)):
        if ended is not None:
            yield label, f"{ended.by}: {ended.reason}" if ended.reason else ended.by


def _named(approver: Approver) -> str:
    return f"{approver.name} ({approver.person})" if approver.name else approver.person


def _voter(vote: Vote) -> str:
    instead = "" if vote.in_place_of is None else f", in the place of {_named(vote.in_place_of)}"
    return f"{_named(vote.approver)}{instead}" + (f": {vote.reason}" if vote.reason else "")
