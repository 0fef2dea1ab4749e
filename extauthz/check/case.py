"""One Check on its way: as it came, as far as it is known, and as it is answered.

The rule kept here: they are values. They are compiled because each Check makes two, and structs take compiled code long
to read.
"""

from collections.abc import Callable
from typing import Final

from extauthz.identity.lookups import NO_ANSWERS, Answers
from extauthz.policy.asking import NOTHING_ASKED, Inquiry
from extauthz.policy.policy_set import PolicySet
from extauthz.record.decision import Trace, Wait
from extauthz.values.grants import NO_FACTS, Facts
from extauthz.values.identity import Identity
from extauthz.values.origin import Origin
from extauthz.values.request import RequestView
from extauthz.values.schemes import Schemes
from extauthz.values.span_ids import SpanIds

Remaining = Callable[[], float | None]
"""Seconds until the caller's deadline, `None` if there is none."""


# As constants of this module they are at hand; what is imported is looked up each time.
_NO_ANSWERS: Final = NO_ANSWERS
_NOTHING_ASKED: Final = NOTHING_ASKED


class Asked:
    """One Check as it came: its bytes, how long its caller still waits, and the call's trace context.

    `started_ns` is when it is decided, anew if it was held: `held_for` are the approvals that it has waited for until
    just now, and `held_until` is when all waiting must be over, on the monotonic clock. `came_at` is when it came then,
    in seconds since the epoch, and `proofs` are the proofs of possession that it has used up. `waits` are those that
    were over before it was decided anew; `span` is what it will be, where something links to it already.
    """

    def __init__(
        self,
        decision_id: str,
        started_ns: int,
        payload: bytes,
        remaining: Remaining,
        trace: Trace,
        held_for: tuple[str, ...] = (),
        held_until: float | None = None,
        came_at: float | None = None,
        proofs: Answers = _NO_ANSWERS,
        waits: tuple[Wait, ...] = (),
        span: SpanIds | None = None,
    ) -> None:
        self.decision_id: Final = decision_id
        self.started_ns: Final = started_ns
        self.payload: Final = payload
        self.remaining: Final = remaining
        self.trace: Final = trace
        self.held_for: Final = held_for
        self.held_until: Final = held_until
        self.came_at: Final = came_at
        self.proofs: Final = proofs
        self.waits: Final = waits
        self.span: Final = span

    def but(
        self,
        *,
        started_ns: int | None = None,
        held_for: tuple[str, ...] | None = None,
        held_until: float | None = None,
        came_at: float | None = None,
        proofs: Answers | None = None,
        waits: tuple[Wait, ...] | None = None,
        span: SpanIds | None = None,
    ) -> "Asked":
        """The same with what is given."""
        return Asked(
            self.decision_id,
            self.started_ns if started_ns is None else started_ns,
            self.payload,
            self.remaining,
            self.trace,
            self.held_for if held_for is None else held_for,
            self.held_until if held_until is None else held_until,
            self.came_at if came_at is None else came_at,
            self.proofs if proofs is None else proofs,
            self.waits if waits is None else waits,
            self.span if span is None else span,
        )


class Ruled:
    """By which `policies` Checks are decided, and by which `schemes` their callers could have proven who they are: the
    same for many. What is asked of the policies for each is at hand here.
    """

    def __init__(self, policies: PolicySet, schemes: Schemes) -> None:
        self.policies: Final = policies
        self.schemes: Final = schemes
        self.revision: Final[str] = policies.revision
        self.settable: Final[frozenset[str]] = policies.settable_headers


class Case:
    """One Check and what was established about it; `None` is what was not.

    `ruled` is by what it is decided, `facts` are what was looked up for it by `inquiry`, and what needed no look-up.
    `holder_secret` is that of a holder cookie which the answer sets. `waits` are what it has waited for.
    """

    def __init__(
        self,
        asked: Asked,
        ruled: Ruled,
        request: RequestView | None,
        identity: Identity | None,
        facts: Facts = NO_FACTS,
        inquiry: Inquiry = _NOTHING_ASKED,
        holder_secret: str | None = None,
        waits: tuple[Wait, ...] = (),
    ) -> None:
        self.asked: Final = asked
        self.ruled: Final = ruled
        self.request: Final = request
        self.identity: Final = identity
        self.facts: Final = facts
        self.inquiry: Final = inquiry
        self.holder_secret: Final = holder_secret
        self.waits: Final = waits

    def but(
        self,
        *,
        asked: Asked | None = None,
        policies: PolicySet | None = None,
        identity: Identity | None = None,
        facts: Facts | None = None,
        inquiry: Inquiry | None = None,
        holder_secret: str | None = None,
        waits: tuple[Wait, ...] | None = None,
    ) -> "Case":
        """The same with what is given."""
        return Case(
            self.asked if asked is None else asked,
            self.ruled if policies is None else Ruled(policies, self.ruled.schemes),
            self.request,
            self.identity if identity is None else identity,
            self.facts if facts is None else facts,
            self.inquiry if inquiry is None else inquiry,
            self.holder_secret if holder_secret is None else holder_secret,
            self.waits if waits is None else waits,
        )

    def linked(self, span: SpanIds | None) -> "Case":
        """The same with the span that its decision will be: something links to it."""
        return self.but(asked=self.asked.but(span=span))

    @property
    def policies(self) -> PolicySet:
        """Those that decide it."""
        return self.ruled.policies

    @property
    def schemes(self) -> Schemes:
        """How its caller could have proven who it is."""
        return self.ruled.schemes

    @property
    def now(self) -> float:
        """The time of the decision in seconds since the epoch."""
        return self.asked.started_ns / 1e9

    @property
    def origin(self) -> Origin:
        """The decision, for what it begins."""
        span = self.asked.span
        return Origin(decision_id=self.asked.decision_id, span="" if span is None else span.traceparent)
