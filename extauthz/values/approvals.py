"""An approval as it is kept: who asked for what, who answered how, and what came of it (design section 4, "Approval").

The rule kept here: what a vote counted by is in the vote. So anybody can count it again later, by other rules, without
asking who its approver is today.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from extauthz.values.identity import Subject
from extauthz.values.origin import NO_ORIGIN, Origin

State = Literal["pending", "approved", "denied", "expired", "cancelled"]
"""All but the first are final."""
Stance = Literal["approve", "deny"]
Channel = Literal["page", "api", "grpc"]
"""By which way a vote came."""
Verdict = Literal["justified", "unjustified"]

APPROVAL_FACTOR: Final = "approval"
"""What the grant of an approval has in the place of an authentication method: no challenge takes it."""
ON_CALL: Final = "on-call:"
"""What the name of a group begins with that is whoever is on call; no issuer can put anybody into it."""


class Requesters(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody who asks: the caller and the whole chain of actors. None of them approves, under either name.

    `persons` are those of them who are people, `subjects` all of them. `caller` is the person who calls, `None` where
    that is a machine or a workload.
    """

    caller: str | None = None
    persons: tuple[str, ...] = ()
    subjects: tuple[Subject, ...] = ()

    def include(self, approver: "Approver") -> bool:
        """Whether this approver is one of them, as the same person or as the same subject."""
        return approver.person in self.persons or approver.subject in self.subjects


class Approver(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who may answer: a person, and as whom they have logged in.

    `groups` are those of the approvers' issuer, none of which begins with ON_CALL, and `on-call:NAME` for every
    schedule by which the person is on call. `claims` are the ones that the configuration names. `name` is for people.
    """

    subject: Subject
    person: str
    groups: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = {}
    name: str = ""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody has proven a factor, an `amr` value as grants have it, at a time in seconds since the epoch."""

    factor: str
    at: float


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of one person: `approver` has given it, in the place of `in_place_of` where that one is absent.

    `at` is in seconds since the epoch; `proof` is the factor that the approver has proven before, if any.
    """

    approver: Approver
    stance: Stance
    at: float
    reason: str = ""
    proof: Proof | None = None
    channel: Channel = "page"
    in_place_of: Approver | None = None

    @property
    def authority(self) -> Approver:
        """Whose right it is that the vote rests on."""
        return self.approver if self.in_place_of is None else self.in_place_of


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody found afterwards about a break-glass."""

    by: Approver
    verdict: Verdict
    at: float
    reason: str = ""


class BreakGlass(msgspec.Struct, frozen=True, kw_only=True):
    """Who went through without an approval, why, and what was found afterwards.

    `by` has the groups of the caller's own token; `proof` is the factor that was proven for it.
    """

    by: Approver
    reason: str
    proof: Proof
    at: float
    review: Review | None = None


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """Who has cancelled or revoked an approval, when, and why."""

    by: str
    at: float
    reason: str = ""


class Signals(msgspec.Struct, frozen=True, kw_only=True):
    """What a risk model came to when the request was decided."""

    model: str
    score: float
    level: str
    signals: tuple[str, ...] = ()


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """All that approvers see of what they are asked. Nothing in it is a credential.

    `claims` are those of the user that the audit would keep, too, `actors` who acts for the user, the current one
    first, `authority` the host and port as they were sent, `query` the parameters in the clear that the audit keeps,
    and `masked` the names of the others. `show` is what the rule shows, `why` its condition, `place` where the client's
    address is, `span` that of the decision as a `traceparent` writes it.
    """

    user: str = ""
    issuer: str = ""
    claims: Mapping[str, Any] = {}
    actors: tuple[str, ...] = ()
    workload: str = ""
    method: str = ""
    scheme: str = ""
    host: str = ""
    authority: str = ""
    path: str = ""
    query: Mapping[str, tuple[str, ...]] = {}
    masked: tuple[str, ...] = ()
    body_bytes: int | None = None
    show: Mapping[str, str] = {}
    description: str = ""
    why: str = ""
    risk: tuple[Signals, ...] = ()
    client_ip: str = ""
    place: Mapping[str, Any] = {}
    revision: str = ""
    decision_id: str = ""
    span: str = ""

    @property
    def origin(self) -> Origin:
        """The decision that it is of."""
        return Origin(decision_id=self.decision_id, span=self.span)

    @property
    def target(self) -> str:
        """Where the request goes: host, port and path."""
        return f"{self.authority or self.host}{self.path}"


class Matter(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, as the conditions on approvers see it under the name `approval`."""

    rule: str
    subject: Subject
    workload: str = ""
    method: str = ""
    host: str = ""
    path: str = ""
    show: Mapping[str, str] = {}


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """One approval. Times are seconds since the epoch.

    `version` begins at 1, each change adds 1. `key` is what the same request comes to again (`key_of`). `binding` is
    what its grant is good for, `subject`, `session` and `holder` are those of the caller, and `since` is when the
    oldest of the tokens was issued that the request rested on, `None` where one does not say. `escalated` is how many
    steps of escalation were told. `due_at` is when the clerk has something to do with it next, `None` if never.
    `cooldown_until` is until when what was denied, or taken back against votes, stays denied. The grant that it leaves
    has its id. `revoked` takes that grant back.
    """

    id: str
    version: int = 1
    key: str
    rule: str
    binding: str
    bind: str
    subject: Subject
    session: str
    holder: str
    requesters: Requesters
    since: float | None = None
    opened_at: float
    expires_at: float
    due_at: float | None = None
    state: State = "pending"
    state_at: float
    votes: tuple[Vote, ...] = ()
    picture: Picture = Picture()
    escalated: int = 0
    cooldown_until: float | None = None
    break_glass: BreakGlass | None = None
    cancelled: Ended | None = None
    revoked: Ended | None = None

    @property
    def alike(self) -> str:
        """What all have in common by which this subject asks for the same, in whatever session and holding whatever: a
        SHA-256 in hex."""
        return _digest([self.subject.issuer, self.subject.id, self.rule, self.binding])

    @property
    def matter(self) -> Matter:
        """What is asked, for conditions on approvers."""
        picture = self.picture
        return Matter(
            rule=self.rule,
            subject=self.subject,
            workload=picture.workload,
            method=picture.method,
            host=picture.host,
            path=picture.path,
            show=picture.show,
        )


class Approved(msgspec.Struct, frozen=True, kw_only=True):
    """What the grant of an approval says of it, so that a decision can count the votes again.

    `votes` are those that approve; there are none where somebody has broken the glass. `origin` is the decision that
    has asked for it.
    """

    id: str
    opened_at: float
    votes: tuple[Vote, ...] = ()
    break_glass: BreakGlass | None = None
    origin: Origin = NO_ORIGIN


class Absence(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody is away from `since` until `until` (seconds since the epoch), and who answers in their place.

    `absent` is who they are by their own login; `delegate` a person, `None` if nobody answers for them.
    """

    id: str
    absent: Approver
    since: float
    until: float
    delegate: str | None = None
    note: str = ""
    made_at: float


def key_of(*, subject: Subject, session: str, holder: str, rule: str, binding: str) -> str:
    """What the same request of the same caller comes to again: a SHA-256 in hex over all that a grant is tied to."""
    return _digest([subject.issuer, subject.id, session, holder, rule, binding])


def _digest(parts: list[str]) -> str:
    return sha256(json.dumps(parts, separators=(",", ":")).encode("ascii")).hexdigest()
