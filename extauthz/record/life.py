"""The record of what happens beside decisions: to factors, grants, approvals, subjects, policies, keys, the audit.

The rule kept here: nothing in such a record is a secret, or as good as one. Of a challenge it has the public id, never
the ticket; of a factor the kind, never what it is made of.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from extauthz.values.identity import Subject
from extauthz.values.request import EMPTY
from extauthz.values.span_ids import SpanIds

LifeKind = Literal[
    "challenge.opened",
    "challenge.shown",
    "challenge.met",
    "challenge.failed",
    "challenge.expired",
    "factor.enrolled",
    "factor.removed",
    "factor.reset",
    "factor.proven",
    "factor.locked",
    "grant.given",
    "grant.used",
    "grant.revoked",
    "approval.opened",
    "approval.voted",
    "approval.escalated",
    "approval.approved",
    "approval.denied",
    "approval.expired",
    "approval.cancelled",
    "approval.broken-glass",
    "approval.reviewed",
    "approval.revoked",
    "subject.blocked",
    "subject.unblocked",
    "subject.revoked",
    "session.revoked",
    "device.known",
    "device.revoked",
    "policy.in-force",
    "policy.refused",
    "keys.changed",
    "audit.started",
    "audit.checkpoint",
    "audit.rotated",
    "audit.removed",
    "audit.stopped",
]

Detail = str | int | float | bool | tuple[str, ...]
"""A word or a number that operators may see."""

SERVER: Final = "server"
"""Who did what nobody was asked for."""


class LifeRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event.

    `at_ns` is in nanoseconds since the epoch, and so is `started_ns` of what took time. `subject` is whom it is about
    and `by` who did it: `requester`, `approver:<person>`, `operator:<name>`, `command`, `transmitter:<name>`, `server`.
    `decision_id` is the decision that began it; `challenge`, `approval` and `grant` are public ids. `reason` is masked
    as texts of errors are. `links` are the spans of the decisions that it belongs to.
    """

    kind: LifeKind
    at_ns: int
    subject: Subject | None = None
    by: str = SERVER
    rule: str | None = None
    revision: str | None = None
    decision_id: str | None = None
    challenge: str | None = None
    approval: str | None = None
    grant: str | None = None
    factor: str | None = None
    reason: str | None = None
    details: Mapping[str, Detail] = EMPTY
    links: tuple[SpanIds, ...] = ()
    started_ns: int | None = None

    @property
    def size(self) -> int:
        """Bytes that came with a request: no event holds any number of them."""
        return 0
