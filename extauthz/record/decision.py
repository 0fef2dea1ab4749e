"""The record of one decision: everything that spans, logs and audit say about it comes from here."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

from extauthz.values.assessment import Assessment
from extauthz.values.decisions import Allow, Challenge, Decision, Deny, Hold, RuleResult
from extauthz.values.facts import Question
from extauthz.values.grants import SessionAges
from extauthz.values.identity import Identity
from extauthz.values.request import EMPTY, Glimpse, RequestView
from extauthz.values.span_ids import SpanIds

WallClock = Callable[[], int]
"""Nanoseconds since the epoch."""

TRACE_HEADERS = frozenset(
    {"traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags"}
)
"""Names of W3C Trace Context (sections 3.2 and 3.3), and of B3 Propagation."""
Trace = tuple[tuple[str, str], ...]
"""The trace context of a call: pairs of such a name and its value."""

DecisionName = Literal["allow", "deny", "challenge", "hold"]
DECISION_NAMES: dict[type[Decision], DecisionName] = {
    Allow: "allow",
    Deny: "deny",
    Challenge: "challenge",
    Hold: "hold",
}


WaitName = Literal["store", "attributes", "identity", "hold", "audit"]
"""What a decision waits for: the store, attribute sources, whoever knows the caller, an approval, its own record."""


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Somebody was waited for: who, and from when to when, in nanoseconds since the epoch. `failed` is whether they did
    not answer."""

    name: WaitName
    started_ns: int
    ended_ns: int
    failed: bool = False


class DecisionRecord(msgspec.Struct, frozen=True, gc=False):
    """One decision with its reasoning.

    `request` and `identity` are `None` where they could not be established; `glimpse` is what was seen of a request
    that could not be read. `session` is how old and idle the session was, `None` where nobody looked; `risk` is what
    the risk models came to that a condition read. `views` are those of facts that conditions have read, `asked` the
    questions of calls by what their expression means, with the `answers` to them. `detail` is the full text of what
    went wrong, for the operator only. `trace` is the trace context that came with the Check itself (`TRACE_HEADERS` in
    the call's metadata): the caller's own span. `span` is set where something links to this decision later; elsewhere
    its span gets its ids when it is made. `waits` are those that took time. `challenge` is the id of the one that it
    has opened. `size` are the bytes of the Check, where `request` is what it said. Times are nanoseconds since the
    epoch.
    """

    decision_id: str
    revision: str
    decision: Decision
    started_ns: int
    ended_ns: int
    rules: tuple[RuleResult, ...] = ()
    request: RequestView | None = None
    glimpse: Glimpse | None = None
    identity: Identity | None = None
    session: SessionAges | None = None
    risk: tuple[Assessment, ...] = ()
    views: Mapping[str, Any] = EMPTY
    asked: Mapping[str, Question] = EMPTY
    answers: Mapping[Question, Any] = EMPTY
    detail: str | None = None
    trace: Trace = ()
    span: SpanIds | None = None
    waits: tuple[Wait, ...] = ()
    challenge: str = ""
    size: int = 0
