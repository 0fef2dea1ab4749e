"""The record of one decision: everything that spans, logs and audit say about it comes from here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from extauthz.values.decisions import Allow, Challenge, Decision, Deny, Hold, RuleResult
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

WallClock = Callable[[], int]
"""Nanoseconds since the epoch."""

DECISION_NAMES: dict[type[Decision], str] = {
    Allow: "allow",
    Deny: "deny",
    Challenge: "challenge",
    Hold: "hold",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """One decision with its reasoning.

    `request` and `identity` are `None` where they could not be established. `detail` is the full text of what went
    wrong, for the operator only. Times are nanoseconds since the epoch.
    """

    decision_id: str
    revision: str
    decision: Decision
    rules: tuple[RuleResult, ...] = ()
    request: RequestView | None = None
    identity: Identity | None = None
    detail: str | None = None
    started_ns: int
    ended_ns: int


class Recorder(Protocol):
    """Takes the records of decisions. Must be quick, safe to call from any thread, and never raise."""

    def record(self, record: DecisionRecord) -> None:
        """Take one record."""


class NoRecorder:
    """Where nobody asked for records."""

    def record(self, record: DecisionRecord) -> None:
        """Let it go."""
