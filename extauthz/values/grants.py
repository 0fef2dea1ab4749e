"""What a met challenge or a given approval leaves behind, and what a decision looks up (design section 4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from extauthz.values.approvals import Approved
from extauthz.values.facts import NO_LOCAL, Kind, Local, Question
from extauthz.values.identity import Identity, Subject
from extauthz.values.request import EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A proof given for something: an input to the next decision, never a bearer ticket.

    `binding` is the text that `stepup.binding` makes of the rule's `bind`: the grant is good for what has the same
    binding. `rule` is the `policy/rule` that asked for it, by which it can be found and revoked; it decides nothing.
    `factor` is what `stepup.factors` calls it, an `amr` value of RFC 8176 (`otp`, `hwk`, …). `issued_at` and
    `expires_at` are seconds since the epoch.
    `uses` is how often it may still be used up, `None` for as often as wanted until it expires. `approval` is the given
    approval that it is from; then `factor` is `values.approvals.APPROVAL_FACTOR`, and both have one id.
    """

    id: str
    subject: Subject
    session: str
    holder: str
    binding: str
    rule: str = ""
    factor: str
    issued_at: float
    expires_at: float
    uses: int | None = None
    approval: Approved | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTimes:
    """When a session was seen first and last, in seconds since the epoch."""

    started_at: float
    last_seen: float


class SessionAges(msgspec.Struct, frozen=True, kw_only=True):
    """How old a session is and for how long it was idle, in seconds at the time of the decision; `None` is unknown."""

    age: float | None = None
    idle: float | None = None


Lookup = Literal["grants", "session", "attributes"] | Kind
"""What can be looked up: the grants of a session, when it was seen, attribute sources, and answers to questions."""
OF_A_SESSION: Final[frozenset[Lookup]] = frozenset({"grants", "session"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The look-ups that the candidate rules of one request need, and no others.

    `obeyed` are for rules that are obeyed; `shadow`, for rules in shadow, without which the request is decided all the
    same. `sources` are the names of the attribute sources that rules read which are obeyed, `shadow_sources` of those
    that only rules in shadow read. `approvals`: grants are also those of who has no session.
    """

    obeyed: frozenset[Lookup] = frozenset()
    shadow: frozenset[Lookup] = frozenset()
    sources: frozenset[str] = frozenset()
    shadow_sources: frozenset[str] = frozenset()
    approvals: bool = False
    all: frozenset[Lookup] = field(init=False)
    beyond_session: bool = field(init=False)
    """Whether something is needed also of who has no session."""

    def __post_init__(self) -> None:
        """Work out once what every request asks."""
        object.__setattr__(self, "all", self.obeyed | self.shadow)
        object.__setattr__(self, "beyond_session", not self.all <= OF_A_SESSION)

    def concern(self, identity: Identity) -> bool:
        """Whether anything is to be looked up for this caller: without a session there are neither ages nor proofs."""
        if not self.all:
            return False
        in_session = identity.session is not None and identity.user is not None
        return self.beyond_session or in_session or (self.approvals and identity.subject is not None)

    def __bool__(self) -> bool:
        return bool(self.all)

    @property
    def ages(self) -> bool:
        """Whether any rule looks at the age of the session."""
        return "session" in self.all


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the look-ups returned, and `local`, what needs none. `device`, `geo` and `reported` stand in front of what
    is local; moments in `reported` are seconds since the epoch.

    `session` is `None` where it was not looked up, or could not be: that is not absent, and reading it is an error. So
    it is with what is missing in `answers`, and with a source that is missing in `attributes`. `unfetched` is whether
    the store could not be asked, and only rules in shadow want to know.
    """

    grants: tuple[Grant, ...] = ()
    session: SessionAges | None = None
    device: Mapping[str, Any] = EMPTY
    geo: Mapping[str, Any] = EMPTY
    reported: Mapping[str, Any] = EMPTY
    answers: Mapping[Question, Any] = EMPTY
    attributes: Mapping[str, Mapping[str, Any]] = EMPTY
    local: Local = NO_LOCAL
    unfetched: bool = False


NO_FACTS = Facts()
