"""Recorded decisions against another policy set: what would change, for whom, by which rule.

The rule kept here: every record is counted once, as unchanged, changed, undecidable or not decided by policies.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from extauthz.history.deciding import Redecider, Undecidable
from extauthz.history.reading import Unreadable
from extauthz.history.recorded import Recorded, instant, is_decidable
from extauthz.history.recorded_facts import signal_name
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.reads import RISK
from extauthz.policy.rules import ChallengeTerms
from extauthz.policy.yaml_source import Document
from extauthz.record.audit_line import DecisionLine
from extauthz.record.decision import DECISION_NAMES, DecisionName
from extauthz.values.decisions import Challenge, Evaluation
from extauthz.values.request import EMPTY

EXAMPLES: Final = 3
"""Records that are shown of each kind of change."""
MOST_MALFORMED: Final = 20
"""Lines that can't be read of which the place is kept; all are counted."""

Change = tuple[DecisionName, DecisionName]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One decision that changes, with what it takes to find it and to judge it."""

    decision_id: str
    time: str
    request: str
    subject: str
    before: str
    after: str


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a replay has found so far. Every count is of records.

    `prompts` is how often people would be asked, by rule; `prompted` is the same by subject, and `signals`, by
    `model/signal`, how often which subject would be asked while the signal counted, by rules that read the risk.
    """

    total: int = 0
    unchanged: int = 0
    changed: Counter[Change] = field(default_factory=Counter)
    by_rule: Counter[tuple[str, Change]] = field(default_factory=Counter)
    by_subject: Counter[tuple[str, Change]] = field(default_factory=Counter)
    undecidable: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    not_by_policy: int = 0
    malformed: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    prompts: Counter[str] = field(default_factory=Counter)
    prompted: Counter[str] = field(default_factory=Counter)
    signals: dict[str, Counter[str]] = field(default_factory=dict)
    examples: dict[Change, list[Example]] = field(default_factory=dict)
    revisions: Counter[str] = field(default_factory=Counter)
    first: str = ""
    last: str = ""


class Replay:
    """Takes the lines of an audit file in their order and keeps the tally."""

    def __init__(self, policies: PolicySet, *, unchanged: Mapping[str, frozenset[str]] = EMPTY) -> None:
        """`unchanged` has, by revision, the rules that are as they were when it was in force."""
        self._revision = policies.revision
        self._rules = {rule.name: rule for rule in policies.rules}
        self._redecider = Redecider(policies, unchanged=unchanged)
        self._prompted: dict[tuple[str, str], float] = {}
        self.tally = Tally()

    def take(self, line: DecisionLine | Unreadable) -> None:
        """Decide one record again and count it."""
        tally = self.tally
        if isinstance(line, Unreadable):
            tally.malformed += 1
            if len(tally.unreadable) < MOST_MALFORMED:
                tally.unreadable.append(line)
            return
        tally.total += 1
        tally.revisions[line.revision] += 1
        tally.first = min(tally.first or line.time, line.time)
        tally.last = max(tally.last, line.time)
        if not is_decidable(line):
            tally.not_by_policy += 1
            return
        if line.revision == self._revision:  # these very policies: they would say the same again
            self._redecider.note(line)
            tally.unchanged += 1
            if line.decision == "challenge":
                self._count_prompts(line, self._demands_of(line), _counting(line))
            return
        outcome = self._redecider.decide(Recorded(line))
        if isinstance(outcome, Undecidable):
            tally.undecidable += 1
            tally.missing.update(outcome.missing)
            return
        if isinstance(outcome.decision, Challenge):
            demands = [
                _Demand(rule=one.rule, binding=one.binding, max_age=one.max_age, once=one.uses is not None)
                for one in outcome.decision.demands
            ]
            counting = {
                one.model: frozenset(heard.name for heard in one.heard if heard.counted) for one in outcome.risk
            }
            self._count_prompts(line, demands, counting)
        if DECISION_NAMES[type(outcome.decision)] == line.decision:
            tally.unchanged += 1
        else:
            self._count_change(line, outcome)

    def _count_change(self, line: DecisionLine, outcome: Evaluation) -> None:
        tally, decision = self.tally, outcome.decision
        change: Change = (line.decision, DECISION_NAMES[type(decision)])
        # What made the difference: the rule that stops it now, or the one that stopped it and does no more.
        rule = (line.rule if change[1] == "allow" else decision.rule) or f"({decision.reason})"
        tally.changed[change] += 1
        tally.by_rule[rule, change] += 1
        tally.by_subject[subject_of(line), change] += 1
        examples = tally.examples.setdefault(change, [])
        if len(examples) < EXAMPLES:
            examples.append(
                Example(
                    decision_id=line.decision_id,
                    time=line.time,
                    request=request_of(line),
                    subject=subject_of(line),
                    before=_outcome(line.decision, line.reason, line.rule),
                    after=_outcome(change[1], decision.reason, decision.rule),
                )
            )

    def _demands_of(self, line: DecisionLine) -> Iterator["_Demand"]:
        """What a recorded challenge of these very policies asked for; its bindings are not in the record."""
        for name in line.demands:
            rule = self._rules.get(name)
            if rule is not None and isinstance(rule.terms, ChallengeTerms):
                yield _Demand(rule=name, binding=name, max_age=rule.terms.max_age, once=rule.terms.bind == "request")

    def _count_prompts(
        self, line: DecisionLine, demands: Iterable["_Demand"], counting: Mapping[str, frozenset[str]]
    ) -> None:
        """How often a person would really be asked, if every challenge is met at once and its proof then serves.

        `counting` has, by risk model, the signals that count.
        """
        now, who = instant(line.time), subject_of(line)
        session = line.identity.session if line.identity is not None else None
        for demand in demands:
            # A proof for one request is asked for anew each time; another serves while it is fresh.
            key = (session or who, demand.binding)
            last = self._prompted.get(key)
            if not demand.once and last is not None and now - last < demand.max_age:
                continue
            self._prompted[key] = now
            self.tally.prompts[demand.rule] += 1
            self.tally.prompted[who] += 1
            rule = self._rules.get(demand.rule)
            model = None if rule is None or rule.risk is None else rule.risk.name
            for signal in counting.get(model, ()) if model is not None else ():
                self.tally.signals.setdefault(f"{model}/{signal}", Counter())[who] += 1


class _Demand(msgspec.Struct, frozen=True, kw_only=True):
    """One proof that is asked for: how long it serves (seconds), and whether for one request alone."""

    rule: str
    binding: str
    max_age: float
    once: bool


def _counting(line: DecisionLine) -> Mapping[str, frozenset[str]]:
    return {one.model: frozenset(signal.name for signal in one.signals if signal.counted) for one in line.risk}


def unchanged_rules(before: list[Document], after: list[Document]) -> frozenset[str]:
    """The rules that are written the same in both, with everything that they rest on: hosts, variables, definitions,
    risk models; and the signals that are, whatever their weights, by `signal_name`."""
    if _shared(before) != _shared(after):
        return frozenset()
    old, new = {**_rules(before), **_signals(before)}, {**_rules(after), **_signals(after)}
    return frozenset(name for name, written in new.items() if old.get(name) == written)


def _shared(documents: list[Document]) -> list[Any]:
    """What any rule may rest on."""
    return sorted(_of_kind(documents, "Definitions"), key=repr)


def _of_kind(documents: list[Document], kind: str) -> list[Any]:
    return [one.value for one in documents if isinstance(one.value, dict) and one.value.get("kind") == kind]


def _signals(documents: list[Document]) -> Mapping[str, Any]:
    """The signals of risk models, as far as they say whether one is raised, and how it fades."""
    found: dict[str, Any] = {}
    for model in _of_kind(documents, "RiskModel"):
        for name, signal in model["spec"]["signals"].items():
            says = {field: value for field, value in signal.items() if field not in ("weight", "reason")}
            found[signal_name(model["metadata"]["name"], name)] = (says, model["spec"].get("variables"))
    return found


def _rules(documents: list[Document]) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    models = sorted(_of_kind(documents, "RiskModel"), key=repr)
    for document in documents:
        if document.value.get("kind") == "Policy":
            spec = document.value["spec"]
            around = {name: value for name, value in spec.items() if name != "rules"}
            for rule in spec["rules"]:
                # What never says the word can't read the risk.
                rests_on = models if RISK in repr((rule, around)) else []
                found[f"{document.value['metadata']['name']}/{rule['name']}"] = (rule, around, rests_on)
    return found


def subject_of(line: DecisionLine) -> str:
    """Who a record is of: the user, else the workload, else the address."""
    identity = line.identity
    if identity is None:
        return "(not identified)"
    if identity.user is not None:
        return f"{identity.user.sub} at {identity.user.iss}"
    return identity.workload.id if identity.workload is not None else "(anonymous)"


def request_of(line: DecisionLine) -> str:
    """The request in one line: method, host and path."""
    request = line.request
    return "TCP" if request is None else f"{request.method} {request.host}{request.path}"


def _outcome(decision: str, reason: str, rule: str | None) -> str:
    return f"{decision} ({reason})" if rule is None else f"{decision} ({reason}) by {rule}"
