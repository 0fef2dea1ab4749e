"""The counts: decisions, how long they took, what they waited for, and how challenges and approvals went.

The rules kept here: a decision is counted on its way, with what is at hand, and nothing of its request is kept: a
record that waits for another thread costs ten times as much. What is counted takes bounded room. Rules and reasons are
words of policies, of which many may come and go while a server runs: beyond so many, further ones are `other`.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, TypeVar, get_args

from extauthz.record.decision import DECISION_NAMES, Trace, Wait, WaitName
from extauthz.record.life import LifeKind, LifeRecord
from extauthz.record.parent import Parent
from extauthz.record.tallied import DecisionTimes, Exemplar, Tallied, WaitTimes
from extauthz.values.decisions import Allow, Decision, Factor, RuleResult
from extauthz.values.histogram import PEOPLE, WAITS, Histogram
from extauthz.values.request import RequestView
from extauthz.values.span_ids import SpanIds

MOST: Final = 1_000
"""Sets of labels of one metric."""
OTHER: Final = "other"
"""The rule and reason of what is beyond them."""
DECISION_SECONDS: Final[tuple[float, ...]] = (
    0.00005,
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    1.0,
    10.0,
    60.0,
)
"""From a decision that waits for nothing to one that is held."""
_EXEMPLAR_EVERY_NS: Final = 1_000_000_000

_CHALLENGE_STEPS: Final[Mapping[LifeKind, str]] = {
    "challenge.opened": "asked",
    "challenge.shown": "shown",
    "challenge.met": "met",
    "challenge.failed": "failed",
    "challenge.expired": "given-up",
}
CHALLENGE_STEPS: Final[tuple[str, ...]] = tuple(_CHALLENGE_STEPS.values())
"""The ways of a challenge, in their order."""
_APPROVAL_STEPS: Final[Mapping[LifeKind, str]] = {
    "approval.opened": "asked",
    "approval.voted": "voted",
    "approval.escalated": "escalated",
    "approval.approved": "approved",
    "approval.denied": "denied",
    "approval.expired": "expired",
    "approval.cancelled": "cancelled",
    "approval.broken-glass": "broken-glass",
}
APPROVAL_STEPS: Final[tuple[str, ...]] = tuple(_APPROVAL_STEPS.values())
"""The ways of an approval; what becomes of the grant that it left is an event alone."""
ANSWERS: Final[Mapping[LifeKind, str]] = {"approval.approved": "approved", "approval.denied": "denied"}
"""What approvers answer."""

_NS: Final = 1e9
_TOGETHER: Final = 32
"""Decisions alike that are counted at a time."""
_PLACES: Final = 1021
"""Ways to come out that are remembered: each has one place, and leaves it to the next that belongs there."""

_K = TypeVar("_K")


class Tallies:
    """Counts decisions and events, from any thread. `parent` reads whose child a decision's span is."""

    def __init__(self, parent: Callable[[Trace, RequestView | None], Parent | None]) -> None:
        self._counting = threading.Lock()
        self._decisions: dict[tuple[type[Decision], str, str | None], _Cell] = {}
        self._alike: Final[list[Alike | None]] = [None] * _PLACES
        self._parent = parent
        self._times = {kind: _Times() for kind in DECISION_NAMES}
        self._shadowed: Counter[tuple[str, str]] = Counter()
        self._failing: Counter[tuple[str]] = Counter()
        self._waits = {name: Histogram(WAITS) for name in get_args(WaitName)}
        self._unanswered: Counter[WaitName] = Counter()
        self._events: Counter[LifeKind] = Counter()
        # What is there from the beginning is seen to grow; what comes with its first event is not.
        self._challenges = Counter({(step, ""): 0 for step in CHALLENGE_STEPS})
        self._approvals = Counter({(step, ""): 0 for step in APPROVAL_STEPS})
        self._meeting = {factor: Histogram(PEOPLE) for factor in get_args(Factor)}
        self._answering = {answer: Histogram(PEOPLE) for answer in ANSWERS.values()}

    @property
    def tallied(self) -> Tallied:
        """What was counted until now."""
        with self._counting:
            for cell in self._decisions.values():
                cell.count_up()
            return Tallied(
                decisions={
                    (DECISION_NAMES[kind], reason, rule or ""): cell.count
                    for (kind, reason, rule), cell in self._decisions.items()
                },
                times={DECISION_NAMES[kind]: times.seen for kind, times in self._times.items()},
                shadowed=dict(self._shadowed),
                failing=dict(self._failing),
                waits={name: WaitTimes(one.counted, self._unanswered[name]) for name, one in self._waits.items()},
                events={kind: self._events[kind] for kind in get_args(LifeKind)},
                challenges=dict(self._challenges),
                approvals=dict(self._approvals),
                meeting={factor: one.counted for factor, one in self._meeting.items()},
                answering={answer: one.counted for answer, one in self._answering.items()},
            )

    def decided(
        self,
        decision: Decision,
        decision_id: str,
        rules: tuple[RuleResult, ...],
        waits: tuple[Wait, ...],
        request: RequestView | None,
        trace: Trace,
        span: SpanIds | None,
        started_ns: int,
        ended_ns: int,
    ) -> None:
        """Count a decision: all of it is as `DecisionRecord` has it."""
        self.again(self.alike(decision, rules), decision_id, request, trace, span, started_ns, ended_ns)
        if waits:
            self.waited(waits)

    def again(
        self,
        alike: "Alike",
        decision_id: str,
        request: RequestView | None,
        trace: Trace,
        span: SpanIds | None,
        started_ns: int,
        ended_ns: int,
    ) -> None:
        """Count one more of those that are counted alike, which has waited for nothing."""
        seconds, cell, times = (ended_ns - started_ns) / _NS, alike.cell, alike.times
        # One step for all threads, at a fifth of what it takes to count them one by one under the lock.
        cell.took.append(seconds)
        if len(cell.took) >= _TOGETHER or alike.apart:
            with self._counting:
                cell.count_up()
                self._count_apart(alike.apart)
        place = times.histogram.place(seconds)
        # One a second is recent enough, and to find its trace costs more than to count.
        if ended_ns >= times.due[place]:
            with self._counting:
                times.due[place] = ended_ns + _EXEMPLAR_EVERY_NS
                found = self._found_by(alike.kind, request, trace, span)
                times.exemplars[place] = Exemplar(decision_id, *found, seconds, ended_ns / _NS)

    def waited(self, waits: tuple[Wait, ...]) -> None:
        """Count what a decision has waited for."""
        with self._counting:
            for wait in waits:
                self._waits[wait.name].add((wait.ended_ns - wait.started_ns) / _NS)
                if wait.failed:
                    self._unanswered[wait.name] += 1

    def _count_apart(self, results: tuple[RuleResult, ...]) -> None:
        for one in results:
            if one.result == "error":
                _count(self._failing, (one.rule,), (OTHER,))
            else:
                _count(self._shadowed, (one.rule, one.effect), (OTHER, one.effect))

    def told(self, event: LifeRecord) -> None:
        """Count an event."""
        kind, rule = event.kind, event.rule or ""
        taken = None if event.started_ns is None else (event.at_ns - event.started_ns) / _NS
        with self._counting:
            self._events[kind] += 1
            if (step := _CHALLENGE_STEPS.get(kind)) is not None:
                _count(self._challenges, (step, rule), (step, OTHER))
                met = self._meeting.get(event.factor or "")
                if taken is not None and met is not None and step == "met":
                    met.add(taken)
            elif (step := _APPROVAL_STEPS.get(kind)) is not None:
                _count(self._approvals, (step, rule), (step, OTHER))
                if taken is not None and (answer := ANSWERS.get(kind)) is not None:
                    self._answering[answer].add(taken)

    def alike(self, decision: Decision, rules: tuple[RuleResult, ...]) -> "Alike":
        """How such a decision is counted: the same wherever it is."""
        kind, reason, rule = type(decision), decision.reason, decision.rule
        place = (id(rules) ^ id(reason)) % _PLACES
        known = self._alike[place]
        # What comes again is the same object: words of a policy, and how its rules came out.
        if (
            known is not None
            and known.rules is rules
            and known.reason is reason
            and known.rule is rule
            and known.kind is kind
        ):
            return known
        key, times = (kind, reason, rule), self._times[kind]
        with self._counting:
            if key not in self._decisions and len(self._decisions) >= MOST:
                key = (kind, OTHER, OTHER)
            cell = self._decisions.setdefault(key, _Cell(times.histogram))
        alike = Alike(kind, reason, rule, rules, cell, times)
        texts = [one.error for one in alike.apart if one.error]
        if not texts:  # they may have words of the request
            self._alike[place] = alike
        return alike

    def _found_by(
        self, kind: type[Decision], request: RequestView | None, trace: Trace, span: SpanIds | None
    ) -> tuple[str, str]:
        """The trace and the span by which a decision is found, empty where nothing says that it is recorded."""
        if span is not None:
            return f"{span.trace_id:032x}", f"{span.span_id:016x}"
        parent = self._parent(trace, request)
        # All but allows are recorded whatever their caller says.
        if parent is None or (kind is Allow and not parent.sampled):
            return "", ""
        return parent.trace_id.hex(), parent.span_id.hex()


def _count(counter: Counter[_K], key: _K, instead: _K) -> None:
    counter[key if key in counter or len(counter) < MOST else instead] += 1


class _Cell:
    """A count, and how long those took that are not yet counted."""

    def __init__(self, histogram: Histogram) -> None:
        self.count = 0
        self.took: Final[list[float]] = []
        self._histogram: Final = histogram

    def count_up(self) -> None:
        """Count them; whoever calls this has the lock. What comes meanwhile comes behind them, and stays."""
        took = self.took
        number = len(took)
        for place in range(number):
            self._histogram.add(took[place])
        del took[:number]
        self.count += number


class _Times:
    """How long decisions of one kind took; by the place of a bucket an exemplar, and when the next one is due."""

    def __init__(self) -> None:
        self.histogram: Final = Histogram(DECISION_SECONDS)
        self.exemplars: Final[dict[int, Exemplar]] = {}
        self.due: Final[list[int]] = [0] * (len(DECISION_SECONDS) + 1)

    @property
    def seen(self) -> DecisionTimes:
        return DecisionTimes(self.histogram.counted, dict(self.exemplars))


class Alike:
    """Decisions that are counted alike: of which kind they are, why, and how the rules came out for them.

    `apart` are those of the rules that are counted beside: whose condition erred, or that match in shadow mode.
    """

    def __init__(
        self,
        kind: type[Decision],
        reason: str,
        rule: str | None,
        rules: tuple[RuleResult, ...],
        cell: _Cell,
        times: _Times,
    ) -> None:
        self.kind: Final = kind
        self.reason: Final = reason
        self.rule: Final = rule
        self.rules: Final = rules
        self.cell: Final = cell
        self.times: Final = times
        self.apart: Final = tuple(
            [one for one in rules if one.result == "error" or (one.mode == "shadow" and one.result == "match")]
        )
