"""What is known of a decision once its candidates are: worked out once for all requests that have the same ones.

The rule kept here: nothing in a plan depends on a request, on a caller or on facts; what the conditions of its rules
come to is all that tells two requests apart until somebody speaks whose terms read more.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Final, Generic, NamedTuple, TypeVar

from extauthz.policy.captures import Layout, captured
from extauthz.policy.conditions import Condition, condition
from extauthz.policy.context import PARAMS, Evaluated, VariableScope
from extauthz.policy.readings import Known
from extauthz.policy.reads import Ask
from extauthz.policy.risk_models import RiskModel, programs_of
from extauthz.policy.rules import (
    NOTHING,
    AllowTerms,
    ApproveTerms,
    ChallengeTerms,
    DenyTerms,
    Policy,
    Rule,
)
from extauthz.policy.seen import readings_of
from extauthz.policy.standing import Holds
from extauthz.values.decisions import Evaluation, Mode, Outcome, RuleResult
from extauthz.values.grants import Lookup, Needs
from extauthz.values.identity import Identity
from extauthz.values.request import EMPTY, HttpRequest

Scope = dict[str, object]
Terms = TypeVar("Terms", AllowTerms, DenyTerms, ChallengeTerms, ApproveTerms)

MOST_KEPT: Final = 64
"""Ways in which the rules of one plan can come out that are remembered, and ways in which they can be staged."""

_OUTCOMES: Final[Mapping[Holds, Outcome]] = {True: "match", False: "no-match", None: "error"}


class Voice(NamedTuple, Generic[Terms]):
    """A rule that matches and is obeyed, its terms, and the number of the scope that they see."""

    rule: Rule
    terms: Terms
    at: int


class Speaking:
    """The rules that take part in a decision, by effect: those that are obeyed and match, and guards that error.

    `results` say how every candidate came out; of those that error the text is missing. `audit_required` is whether one
    of the rules wants its record on disk. `reads_nothing` is whether the decision depends on nothing but on who speaks:
    no terms that count have an expression (where nobody speaks, the caller counts, too). `settled` is then the
    evaluation, once it is known. `is_steady` is whether the decision is the same for all requests that stand alike.
    """

    __slots__ = (
        "allows",
        "approvals",
        "audit_required",
        "challenges",
        "denials",
        "faulty_guards",
        "is_steady",
        "reads_nothing",
        "results",
        "settled",
    )

    def __init__(self) -> None:
        self.denials: list[Voice[DenyTerms]] = []
        self.faulty_guards: list[Rule] = []
        self.allows: list[Voice[AllowTerms]] = []
        self.challenges: list[Voice[ChallengeTerms]] = []
        self.approvals: list[Voice[ApproveTerms]] = []
        self.results: tuple[RuleResult, ...] = ()
        self.audit_required = False
        self.reads_nothing = False
        self.is_steady = False
        self.settled: Evaluation | None = None

    def add(self, rule: Rule, holds: Holds, at: int) -> None:
        """Let a rule that is obeyed take part, if it matches or errors."""
        if holds is False or (holds is None and rule.effect == "allow"):
            return
        self.audit_required |= rule.audit_required
        if holds is None:
            self.faulty_guards.append(rule)
            return
        match rule.terms:
            case AllowTerms() as terms:
                self.allows.append(Voice(rule, terms, at))
            case DenyTerms() as terms:
                self.denials.append(Voice(rule, terms, at))
            case ChallengeTerms() as terms:
                self.challenges.append(Voice(rule, terms, at))
            case ApproveTerms() as terms:
                self.approvals.append(Voice(rule, terms, at))


def _reads_nothing(speaking: Speaking) -> bool:
    if speaking.denials:
        terms = speaking.denials[0].terms
        return not terms.headers and terms.body is None
    plain = bool(speaking.allows) and all(voice.terms is NOTHING for voice in speaking.allows)
    return plain and not speaking.challenges and not speaking.approvals


def _is_steady(speaking: Speaking) -> bool:
    if speaking.denials:
        return speaking.denials[0].terms.is_steady
    steady = all(voice.terms.is_steady for voice in speaking.allows)
    return steady and not (speaking.faulty_guards or speaking.challenges or speaking.approvals)


class _Opening(NamedTuple):
    """How a scope beyond the first is made: within which, with what variables, constants and captures of its own."""

    within: int
    programs: Mapping[str, Evaluated]
    constants: Mapping[str, object]
    captures: Layout | None


class Plan:
    """Candidates in the order of their names: `rules`, what each captures (`layouts`), and their `modes`.

    `captures` are the layouts that their expressions read, `conditions` what there is to evaluate, each with the number
    of the scope that it sees; so have `asks`, what there is to ask, and `models`, the risk models. From `expires` on,
    in seconds since the epoch, one of them is as if absent. `is_staged`: who of them is obeyed depends on the caller;
    ask `obeyed_by`. `is_kept`: for whom the same are obeyed finds this very one. `facts_read` are the names of facts
    that any of the rules reads. `varying` are those of the conditions that may come to something else for two requests
    that stand alike; `steady` the numbers of the others, if the same of the headers `asked_for` are there. `spoken` is
    who speaks, by what the conditions came to, as far as it is remembered; ask `speaking` where it is not. `readings`
    are all that conditions see of a request beside who calls, `None` if that is more than can be told; `known` are then
    the evaluations that are the same for every caller, `None` if conditions see who calls.
    """

    __slots__ = (
        "_next",
        "_openings",
        "_reads_context",
        "_scope_of",
        "_variants",
        "asked_for",
        "asks",
        "captures",
        "conditions",
        "expires",
        "facts_read",
        "is_kept",
        "is_staged",
        "known",
        "layouts",
        "models",
        "modes",
        "needs",
        "readings",
        "rules",
        "spoken",
        "steady",
        "varying",
    )

    def __init__(self, found: Sequence[tuple[Rule, Layout]], modes: tuple[Mode, ...] | None = None) -> None:
        """`modes` are those of the rules for one caller; without them each is as its policy says."""
        self.rules: tuple[Rule, ...] = tuple([rule for rule, _ in found])
        self.layouts: tuple[Layout, ...] = tuple([layout for _, layout in found])
        self.is_kept = True
        self.is_staged = modes is None and not all(isinstance(rule.mode, str) for rule in self.rules)
        self.modes: tuple[Mode, ...] = modes or tuple(
            [rule.mode if isinstance(rule.mode, str) else "shadow" for rule in self.rules]
        )
        self.expires = min([rule.expires for rule in self.rules if rule.expires is not None], default=inf)
        self.needs = self._needed()
        self._openings: list[_Opening] = []
        self.models: tuple[tuple[RiskModel, int], ...] = ()
        self.captures = tuple(dict.fromkeys([layout for rule, layout in found if rule.reads_params]))
        self.facts_read: frozenset[str] = frozenset().union(*(rule.reads.facts for rule in self.rules))
        self._scope_of = self._opened(found)
        self.asks = self._asked()
        stated = [
            (rule.when.evaluate, rule, layout, at)
            for (rule, layout), at in zip(found, self._scope_of, strict=True)
            if rule.when is not None
        ]
        self.conditions: tuple[Condition, ...] = tuple(
            [
                condition(number, evaluate, at, rule.comparison, layout)
                for number, (evaluate, rule, layout, at) in enumerate(stated)
            ]
        )
        asked_for = [rule.asks_for for _, rule, _, _ in stated]
        self.asked_for = tuple(sorted(frozenset().union(*(names for names in asked_for if names is not None))))
        self.steady = tuple([number for number, names in enumerate(asked_for) if names is not None])
        self.varying = tuple([self.conditions[number] for number, names in enumerate(asked_for) if names is None])
        self.readings = readings_of((rule.seen, layout) for _, rule, layout, _ in stated)
        seen = [rule.seen for _, rule, _, _ in stated if rule.seen is not None]
        self._reads_context = any(one.reads_context for one in seen)
        self.known = None if any(one.reads_caller for one in seen) else self.to_know(MOST_KEPT)
        self.spoken: dict[tuple[Holds, ...], Speaking] = {}
        self._variants: dict[tuple[Mode, ...], Plan] = {}
        self._next: Plan | None = None

    def _needed(self) -> Needs:
        lookups: dict[Mode, set[Lookup]] = {"enforce": set(), "shadow": set()}
        sources: dict[Mode, set[str]] = {"enforce": set(), "shadow": set()}
        for rule, mode in zip(self.rules, self.modes, strict=True):
            lookups[mode] |= rule.reads.lookups
            sources[mode] |= rule.reads.sources
            if mode == "enforce" and rule.effect in ("challenge", "approve"):
                lookups[mode].add("grants")
        return Needs(
            obeyed=frozenset(lookups["enforce"]),
            shadow=frozenset(lookups["shadow"]),
            sources=frozenset(sources["enforce"]),
            shadow_sources=frozenset(sources["shadow"] - sources["enforce"]),
            approvals=any(
                rule.effect == "approve" and mode == "enforce"
                for rule, mode in zip(self.rules, self.modes, strict=True)
            ),
        )

    def _opened(self, found: Sequence[tuple[Rule, Layout]]) -> tuple[int, ...]:
        """The number of the scope that each rule sees; rules that see the same names share one."""
        numbers: dict[tuple[Policy | None, Layout | None], int] = {(None, None): 0}
        models = self._open_models()
        alike = len(self.captures) <= 1  # what is captured is then seen by everybody
        scopes = []
        for rule, layout in found:
            policy = rule.policy if rule.reads_variables else None
            own = layout if rule.reads_params and not alike else None
            if policy is not None and (policy, None) not in numbers:
                programs = {**policy.shared, **policy.per_rule} if alike else policy.shared
                self._openings.append(_Opening(models.get(policy, 0), programs, policy.constants, None))
                numbers[policy, None] = len(self._openings)
            if (policy, own) not in numbers:
                programs = EMPTY if policy is None else policy.per_rule
                self._openings.append(_Opening(numbers[policy, None], programs, EMPTY, own))
                numbers[policy, own] = len(self._openings)
            scopes.append(numbers[policy, own])
        return tuple(scopes)

    def _open_models(self) -> Mapping[Policy, int]:
        """The number of the scope of the risk model that a policy reads; each model is evaluated in one."""
        numbers: dict[RiskModel, int] = {}
        for rule in self.rules:
            if (model := rule.risk) is not None and model not in numbers:
                self._openings.append(_Opening(0, programs_of(model), model.constants, None))
                numbers[model] = len(self._openings)
        self.models = tuple(numbers.items())
        return {rule.policy: numbers[rule.risk] for rule in self.rules if rule.risk is not None}

    def _asked(self) -> tuple[tuple[Ask, int], ...]:
        """What the rules and the risk models ask, each with the number of the scope that its arguments see."""
        of_rules = [(ask, at) for rule, at in zip(self.rules, self._scope_of, strict=True) for ask in rule.reads.asks]
        of_models = [(ask, at) for model, at in self.models for ask in model.reads.asks]
        return tuple(dict.fromkeys((*of_rules, *of_models)))

    def scopes(self, first: Scope, segments: tuple[str, ...]) -> list[Scope]:
        """The scopes of one request, by number, with what is captured of the segments of its path."""
        captures = self.captures
        if len(captures) == 1:
            first[PARAMS] = captured(captures[0], segments)
        scopes = [first]
        for within, programs, constants, own in self._openings:
            scope = VariableScope(scopes[within], programs, constants)
            if own is not None:
                scope[PARAMS] = captured(own, segments)
            scopes.append(scope)
        return scopes

    def to_know(self, most: int) -> Known | None:
        """Room for so many evaluations, by what conditions see of a request; `None` if they see more than that."""
        return None if self.readings is None else Known(self.readings, self._reads_context, self.expires, most)

    def there(self, http: HttpRequest) -> tuple[bool, ...]:
        """Which of the headers `asked_for` a request has."""
        headers = http.headers
        return tuple([name in headers for name in self.asked_for])

    def speaking(self, held: tuple[Holds, ...]) -> Speaking:
        """Who speaks when the `conditions` came to this, which is not in `spoken`; it is remembered there."""
        found = self._heard(held)
        if len(self.spoken) < MOST_KEPT:
            self.spoken[held] = found
        return found

    def outcomes(self, held: Sequence[Holds]) -> list[Holds]:
        """What every rule comes to; one without a condition holds."""
        of_conditions = iter(held)
        return [True if rule.when is None else next(of_conditions) for rule in self.rules]

    def _heard(self, held: tuple[Holds, ...]) -> Speaking:
        speaking, results = Speaking(), []
        for rule, mode, holds, at in zip(self.rules, self.modes, self.outcomes(held), self._scope_of, strict=True):
            results.append(
                RuleResult(rule=rule.name, effect=rule.effect, mode=mode, result="error")
                if holds is None
                else rule.results[mode, _OUTCOMES[holds]]
            )
            if mode == "enforce":
                speaking.add(rule, holds, at)
        speaking.results = tuple(results)
        speaking.reads_nothing = not self.models and not self.facts_read and _reads_nothing(speaking)
        speaking.is_steady = _is_steady(speaking)
        return speaking

    def obeyed_by(self, identity: Identity) -> "Plan":
        """The plan for a caller; this one must be staged."""
        modes = tuple([rule.mode_for(identity) for rule in self.rules])
        found = self._variants.get(modes)
        if found is None:
            found = Plan(self._found, modes)
            found.is_kept = len(self._variants) < MOST_KEPT
            if found.is_kept:
                self._variants[modes] = found
        return found

    def at(self, now: float) -> "Plan":
        """The plan without the rules that have expired at `now` (seconds since the epoch)."""
        plan = self
        while now >= plan.expires:
            if plan._next is None:
                plan._next = plan._without(plan.expires)
            plan = plan._next
        return plan

    def _without(self, expired: float) -> "Plan":
        kept = [
            (pair, mode)
            for pair, mode in zip(self._found, self.modes, strict=True)
            if pair[0].expires is None or pair[0].expires > expired
        ]
        return Plan([pair for pair, _ in kept], tuple([mode for _, mode in kept]))

    @property
    def _found(self) -> list[tuple[Rule, Layout]]:
        return list(zip(self.rules, self.layouts, strict=True))
