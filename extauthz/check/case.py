"""One Check on its way: as it came, as far as it is known, and as it is answered."""

from collections.abc import Callable

import msgspec

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


class Asked(msgspec.Struct, frozen=True):
    """One Check as it came: its bytes, how long its caller still waits, and the call's trace context.

    `started_ns` is when it is decided, anew if it was held: `held_for` are the approvals that it has waited for until
    just now, and `held_until` is when all waiting must be over, on the monotonic clock. `came_at` is when it came then,
    in seconds since the epoch, and `proofs` are the proofs of possession that it has used up. `waits` are those that
    were over before it was decided anew; `span` is what it will be, where something links to it already.
    """

    decision_id: str
    started_ns: int
    payload: bytes
    remaining: Remaining
    trace: Trace
    held_for: tuple[str, ...] = ()
    held_until: float | None = None
    came_at: float | None = None
    proofs: Answers = NO_ANSWERS
    waits: tuple[Wait, ...] = ()
    span: SpanIds | None = None


class Case(msgspec.Struct, frozen=True):
    """One Check and what was established about it; `None` is what was not.

    `policies` decide it, `schemes` are how its caller could have proven who it is, `facts` are what was looked up for
    it by `inquiry`, and what needed no look-up. `holder_secret` is that of a holder cookie which the answer sets.
    `waits` are what it has waited for.
    """

    asked: Asked
    policies: PolicySet
    schemes: Schemes
    request: RequestView | None
    identity: Identity | None
    facts: Facts = NO_FACTS
    inquiry: Inquiry = NOTHING_ASKED
    holder_secret: str | None = None
    waits: tuple[Wait, ...] = ()

    @property
    def now(self) -> float:
        """The time of the decision in seconds since the epoch."""
        return self.asked.started_ns / 1e9

    @property
    def origin(self) -> Origin:
        """The decision, for what it begins."""
        span = self.asked.span
        return Origin(decision_id=self.asked.decision_id, span="" if span is None else span.traceparent)
