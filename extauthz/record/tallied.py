"""What was counted, as it is told: decisions, how long they took, what they waited for, and how challenges and
approvals went. `tallies` counts it."""

from collections.abc import Mapping

import msgspec

from extauthz.record.decision import DecisionName, WaitName
from extauthz.record.life import LifeKind
from extauthz.values.counted import Counted


class Exemplar(msgspec.Struct, frozen=True):
    """One decision of many: where it is found, how long it took in seconds, and when it was, in seconds since the
    epoch. `trace_id` and `span_id` are in hex, of its own span or of the one that asked, and empty where nothing says
    that its trace is recorded."""

    decision_id: str
    trace_id: str
    span_id: str
    seconds: float
    at: float


class DecisionTimes(msgspec.Struct, frozen=True):
    """How long decisions took; by the place of a bucket a recent one of those in it."""

    counted: Counted
    exemplars: Mapping[int, Exemplar]


class WaitTimes(msgspec.Struct, frozen=True):
    """How long somebody was waited for, and how often they did not answer."""

    counted: Counted
    failed: int


class Tallied(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was counted until now.

    `decisions` is by decision, reason and rule, `shadowed` by rule and effect of rules in shadow mode that matched,
    `failing` by rule whose condition erred; the rule is empty where none decided. `challenges` and `approvals` are by
    step and rule. `meeting` is by factor, `answering` by answer.
    """

    decisions: Mapping[tuple[str, str, str], int]
    times: Mapping[DecisionName, DecisionTimes]
    shadowed: Mapping[tuple[str, str], int]
    failing: Mapping[tuple[str], int]
    waits: Mapping[WaitName, WaitTimes]
    events: Mapping[LifeKind, int]
    challenges: Mapping[tuple[str, str], int]
    approvals: Mapping[tuple[str, str], int]
    meeting: Mapping[str, Counted]
    answering: Mapping[str, Counted]
