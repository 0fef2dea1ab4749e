"""A recorded request, decided again by other policies: an evaluation, or "undecidable".

The rule kept here: where something masked was looked at, every value that it can have had is tried, and only what
comes out the same for all counts as decided. Rules that are as they were have the outcome that the record gives them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Final

import msgspec

from extauthz import cel
from extauthz.history.proofs import ENDED, Proofs, Unknown
from extauthz.history.recorded import MASKED, Recorded
from extauthz.policy.candidates import Candidates
from extauthz.policy.decide import decide
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.rules import NOTHING, AllowTerms, ApproveTerms, AutoTerms, Candidate, ChallengeTerms, Rule
from extauthz.record.audit_line import DecisionLine, RuleLine
from extauthz.record.decision import DecisionName
from extauthz.values.decisions import Challenge, Deny, Effect, Evaluation, Hold, Outcome
from extauthz.values.facts import Local
from extauthz.values.grants import NO_FACTS, Facts
from extauthz.values.request import EMPTY

MOST_TRIALS: Final = 128
"""Combinations of outcomes that are tried for one request; with more it is undecidable."""
_KEY: Final = b"what is replayed leaves nothing behind, so it binds to nothing"
_FIXED: Final[Mapping[Outcome, cel.Program]] = {
    "match": cel.compile("true", variables={}),
    "no-match": cel.compile("false", variables={}),
    "error": cel.compile("1 / 0 == 0", variables={}),
}
_UNMAPPED: Final = Facts(local=Local(requesters=lambda _: None))
_WORKED: Final[Mapping[Effect, frozenset[DecisionName]]] = {
    "allow": frozenset({"allow"}),
    "deny": frozenset(),
    "challenge": frozenset({"allow", "challenge", "hold"}),
    "approve": frozenset({"allow", "hold"}),
}
"""By effect, the decisions that come after its terms are worked out (design section 3, steps 4 to 6)."""


class Undecidable(msgspec.Struct, frozen=True):
    """The record holds too little; `missing` names what it would take."""

    missing: tuple[str, ...]


class Redecider:
    """Decides recorded requests by `policies`.

    `unchanged` has, by the revision that a record was decided by, the rules that are as they were then, and the signals
    of risk models by `signal_name`. Records come in
    the order of their times: what was proven is learnt from those before.
    """

    def __init__(self, policies: PolicySet, *, unchanged: Mapping[str, frozenset[str]] = EMPTY) -> None:
        self._policies = policies
        self._unchanged = unchanged
        self._proofs = Proofs()
        self._fixed: dict[tuple[str, Outcome], Rule] = {}

    def decide(self, recorded: Recorded) -> Evaluation | Undecidable:
        """What the policies say to this request now."""
        try:
            return self._decide(recorded)
        except Unknown as unknown:
            return Undecidable((f"proof for {unknown}",))
        finally:
            self._proofs.note(recorded.line)

    def note(self, line: DecisionLine) -> None:
        """Learn from a record that needs no deciding again."""
        self._proofs.note(line)

    def _decide(self, recorded: Recorded) -> Evaluation | Undecidable:
        candidates = self._policies.candidates(recorded.request, recorded.identity).items(recorded.request)
        unchanged = self._unchanged.get(recorded.line.revision, frozenset())
        evaluation = self._evaluate(recorded, candidates, unchanged)
        missing = tuple(sorted(recorded.trace.seen))
        if not missing or not _errors(evaluation):
            return evaluation
        if unchanged:
            recorded.trace.seen.clear()
            candidates = _settled_candidates(recorded.line, candidates, unchanged)
            evaluation = self._evaluate(recorded, candidates, unchanged)
        doubts, certain = _sorted_out(recorded, candidates, evaluation, unchanged)
        found: Evaluation | None = None
        for given, trial in self._trials(candidates, doubts):
            recorded.trace.seen.clear()
            outcome = self._evaluate(recorded, trial, unchanged)
            expected = certain | {rule for rule, result in given.items() if result == "error"}
            if recorded.trace.seen and _errors(outcome) - expected:
                return Undecidable(missing)  # something else than a condition erred: it may have been for a mask
            if found is not None and type(found.decision) is not type(outcome.decision):
                return Undecidable(missing)
            found = found or outcome
        return found or Undecidable(missing)

    def _evaluate(self, recorded: Recorded, candidates: Sequence[Candidate], unchanged: frozenset[str]) -> Evaluation:
        facts = NO_FACTS if recorded.line.reason != "unmapped-requester" else _UNMAPPED
        evaluation = _evaluate(recorded, candidates, facts, unchanged)
        if isinstance(evaluation.decision, Challenge):
            facts = msgspec.structs.replace(
                facts, grants=self._proofs.grants(recorded, evaluation.decision.demands, unchanged)
            )
            if facts.grants:
                evaluation = _evaluate(recorded, candidates, facts, unchanged)
        if isinstance(evaluation.decision, Hold):
            given, settled = self._proofs.approved(
                recorded, evaluation.decision.demands, unchanged, _conditional(candidates)
            )
            if given or settled:
                facts = msgspec.structs.replace(facts, grants=(*facts.grants, *given))
                met = [_approved(item) if item.rule.name in settled else item for item in candidates]
                evaluation = _evaluate(recorded, met, facts, unchanged)
        return _as_it_ended(recorded.line, evaluation)

    def _trials(
        self, candidates: Sequence[Candidate], doubts: frozenset[str]
    ) -> Iterator[tuple[Mapping[str, Outcome], list[Candidate]]]:
        """The candidates, once for every combination of outcomes of those in doubt; none if there are too many."""
        if len(_FIXED) ** len(doubts) > MOST_TRIALS:
            return
        for combination in product(_FIXED, repeat=len(doubts)):
            given = dict(zip(doubts, combination, strict=True))
            yield (
                given,
                [
                    item._replace(rule=self._fixed_rule(item.rule, given[item.rule.name]))
                    if item.rule.name in given
                    else item
                    for item in candidates
                ],
            )

    def _fixed_rule(self, rule: Rule, outcome: Outcome) -> Rule:
        """The rule as if its condition came out so. Kept, as long as the rule is the policies' own."""
        found = self._fixed.get((rule.name, outcome))
        if found is None or found.terms is not rule.terms:
            found = self._fixed[rule.name, outcome] = replace(rule, when=_FIXED[outcome])
        return found


def _settled_candidates(
    line: DecisionLine, candidates: Sequence[Candidate], unchanged: frozenset[str]
) -> tuple[Candidate, ...]:
    """The candidates, with the outcome that the record gives to those that are as they were."""
    told = {one.rule: one.result for one in line.rules if one.rule in unchanged and _is_of_condition(one, line)}
    passed = {rule.rule for rule in line.rules if rule.rule in told and rule.result == "match" and _worked(rule, line)}
    changed = _named([item.rule for item in candidates if item.rule.name not in passed])
    return tuple(
        item._replace(rule=_settled(item.rule, told[item.rule.name], item.rule.name in passed, changed))
        if item.rule.name in told
        else item
        for item in candidates
    )


def _is_of_condition(one: RuleLine, line: DecisionLine) -> bool:
    """Whether the result is that of the condition: the rule that a denial names may have erred in its terms."""
    return one.mode == "enforce" and not (one.result == "error" and line.rule == one.rule)


def _worked(one: RuleLine, line: DecisionLine) -> bool:
    """Whether the terms of a matching rule were worked out, and without an error: else it would have been a denial."""
    return line.decision in _WORKED[one.effect]


def _evaluate(
    recorded: Recorded, candidates: Sequence[Candidate], facts: Facts, unchanged: frozenset[str]
) -> Evaluation:
    spoken = Candidates.of(candidates)
    return decide(
        spoken,
        request=recorded.request,
        identity=recorded.identity,
        facts=facts,
        now=recorded.now,
        binding_keys=[_KEY],
        scope=recorded.scope(facts, spoken, unchanged),
    )


def _conditional(candidates: Sequence[Candidate]) -> frozenset[str]:
    """The rules that take approvers by a condition."""
    return frozenset(
        item.rule.name
        for item in candidates
        if isinstance(item.rule.terms, ApproveTerms) and item.rule.terms.voting.circle.when is not None
    )


def _approved(item: Candidate) -> Candidate:
    """The rule as if it were approved."""
    terms = item.rule.terms
    if isinstance(terms, ApproveTerms):
        terms = replace(terms, auto=(AutoTerms(_FIXED["match"], "approve", "as-recorded"),))
    return item._replace(rule=replace(item.rule, terms=terms))


def _as_it_ended(line: DecisionLine, evaluation: Evaluation) -> Evaluation:
    """The evaluation, with how the hold ended for which the record is: nobody would have answered otherwise."""
    decision = evaluation.decision
    if line.reason in ENDED and isinstance(decision, Hold) and line.rule in [one.rule for one in decision.demands]:
        return msgspec.structs.replace(evaluation, decision=Deny(reason=line.reason, rule=line.rule))
    return evaluation


def _errors(evaluation: Evaluation) -> frozenset[str]:
    return frozenset(one.rule for one in evaluation.rules if one.result == "error" and one.mode == "enforce")


def _sorted_out(
    recorded: Recorded, candidates: Sequence[Candidate], evaluation: Evaluation, unchanged: frozenset[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Of the rules that erred, those that had looked at something masked, and those that err whatever it was.

    Each on its own, so that what another one has looked at does not count. Those that err in terms which are worked
    out beside others only are neither.
    """
    errors = {one.rule: one.error or "" for one in evaluation.rules if one.result == "error" and one.mode == "enforce"}
    doubts, certain = set(), set()
    for item in candidates:
        if MASKED in errors.get(item.rule.name, ""):
            doubts.add(item.rule.name)
        elif item.rule.name in errors:
            recorded.trace.seen.clear()
            alone = _evaluate(recorded, [item], NO_FACTS, unchanged)
            if recorded.trace.seen:
                doubts.add(item.rule.name)
            elif _errors(alone):
                certain.add(item.rule.name)
    return frozenset(doubts), frozenset(certain)


def _named(rules: Sequence[Rule]) -> frozenset[str]:
    """Every name that these allows change."""
    return frozenset(name for rule in rules if isinstance(rule.terms, AllowTerms) for name in _names(rule.terms))


def _names(terms: AllowTerms) -> Iterator[str]:
    for _, programs in terms.blocks:
        yield from (name.replace("_", "-") for name, _ in programs)
    yield from (name.replace("_", "-") for name in (*terms.remove_headers, *terms.remove_query))


def _settled(rule: Rule, outcome: Outcome, passed: bool, changed: frozenset[str]) -> Rule:
    """The rule with the outcome that it had; if it took part in an answer, without the terms that went well then.

    An allow keeps its terms where another one changes the same names: they might disagree now.
    """
    terms = rule.terms
    if passed and isinstance(terms, AllowTerms) and not changed.intersection(_names(terms)):
        terms = NOTHING
    elif passed and isinstance(terms, ChallengeTerms | ApproveTerms):
        # What it was bound to is in the record as a keyed hash only; that it was met, or not, is told.
        terms = replace(terms, show=(), scope=(), bind="action" if terms.bind == "scope" else terms.bind)
        if isinstance(terms, ApproveTerms):
            terms = replace(terms, auto=())  # that it was approved, by whomever, is told
    return replace(rule, when=_FIXED[outcome], terms=terms)
