"""From candidate rules to a decision: every way a rule allows, denies, challenges or holds is in this file.

Pure: the clock, the keys and the facts are arguments. The steps are those of design section 3, "How rules combine".
The rule kept here: what can't be evaluated never helps a request through.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from extauthz import cel
from extauthz.policy.at_hand import Case, faulty
from extauthz.policy.candidates import Candidates, segments_of
from extauthz.policy.challenging import challenge
from extauthz.policy.conditions import Condition
from extauthz.policy.context import Inputs, RequestScope, VariableScope
from extauthz.policy.holding import Met, approve
from extauthz.policy.mutations import Conflict, evaluate, merged
from extauthz.policy.plain import header_value, parameter_value
from extauthz.policy.plan import Plan, Scope, Speaking, Voice
from extauthz.policy.reads import RISK
from extauthz.policy.rules import AllowTerms, DenyTerms
from extauthz.policy.standing import MOST_SETTLED, Holds, Standing, is_short
from extauthz.values.assessment import Assessment
from extauthz.values.decisions import (
    Allow,
    AutoAnswer,
    Decision,
    Deny,
    Evaluation,
    RuleResult,
    denial,
)
from extauthz.values.grants import Facts, Grant, Needs
from extauthz.values.identity import Identity
from extauthz.values.request import EMPTY, HttpRequest, RequestView


def needs(candidates: Candidates) -> Needs:
    """The look-ups that `decide` wants to know the results of: grants, where a challenge may have been met, and what
    conditions read that is not known here."""
    return candidates.plan.needs


def decide(
    candidates: Candidates,
    request: RequestView,
    identity: Identity,
    facts: Facts,
    now: float,
    binding_keys: Sequence[bytes],
    scope: RequestScope | None = None,
) -> Evaluation:
    """The decision on one request, and how every candidate rule came out.

    `candidates` are those of this request and identity, `facts` what the look-ups named by `needs` returned, `now`
    seconds since the epoch, `binding_keys` the keys of grants, the newest last. `scope` is what conditions see where
    that is not made of these arguments: of a recorded request, some of which is masked. Raises nothing that a policy
    or a request can cause.
    """
    known = recalled(candidates, request, now) if scope is None else None
    return known or worked_out(candidates, request, identity, facts, now, binding_keys, scope)


def recalled(candidates: Candidates, request: RequestView, now: float) -> Evaluation | None:
    """What `decide` comes to, if it has come to that for requests of which the same is read."""
    http, standing = request.http, candidates.standing
    if standing is None or http is None:
        return None
    known = standing.known or candidates.plan.known
    return None if known is None else known.evaluation(request, http.headers, http.segments, now)


def worked_out(
    candidates: Candidates,
    request: RequestView,
    identity: Identity,
    facts: Facts,
    now: float,
    binding_keys: Sequence[bytes],
    scope: RequestScope | None = None,
) -> Evaluation:
    """What `decide` comes to; it is remembered then, where the same follows for others."""
    http, plan = request.http, candidates.plan
    standing = candidates.standing if scope is None else None
    if now >= plan.expires:
        plan, standing = plan.at(now), None
    # Step 1, second half: of the candidates, those whose `when` is true match.
    common = None
    there: tuple[bool, ...] = ()
    if standing is not None and http is not None:
        there = plan.there(http) if plan.asked_for else ()
        common = standing.held.get(there)
    pending = plan.conditions if common is None else plan.varying
    held: list[Holds] = [None] * len(pending) if common is None else [*common]
    # A record may be masked where conditions look; what is no HTTP has nothing to tell.
    if http is not None and scope is None:
        pending = _untold(pending, http, held)
    scopes: list[Scope] = []
    errors: list[str] = []
    if pending:
        scopes = plan.scopes(_first(request, identity, facts, now, scope), segments_of(request))
        _evaluate(pending, scopes, held, errors)
    if common is None:
        _keep(standing, plan, there, held)
    outcome = tuple(held)
    speaking = plan.spoken.get(outcome) or plan.speaking(outcome)
    if speaking.settled is not None:
        _remember(speaking.settled, standing, plan, request, for_all=True)
        return speaking.settled
    settled = standing.settled.get(outcome) if standing is not None and speaking.is_steady else None
    looks = plan.models or plan.facts_read
    if settled is not None and not looks:
        _remember(settled, standing, plan, request, for_all=False)
        return settled
    scopes = scopes or plan.scopes(_first(request, identity, facts, now, scope), segments_of(request))
    case = Case(request, identity, facts, now, binding_keys, scopes)
    decision = _combine(speaking, case) if settled is None else settled.decision
    risk, views = _looked_at(plan, scopes) if looks else ((), EMPTY)
    evaluation = Evaluation(
        decision=decision, rules=speaking.results, audit_required=speaking.audit_required, risk=risk, views=views
    )
    if errors or case.faults:
        evaluation = replace(evaluation, rules=tuple(_with_errors(plan, speaking, held, errors, case.faults)))
        if speaking.is_steady and not looks and not case.faults and is_short(decision, errors):
            _remember(evaluation, standing, plan, request, for_all=speaking.reads_nothing)
        return evaluation
    if speaking.reads_nothing:
        speaking.settled = evaluation
    elif settled is None and standing is not None and speaking.is_steady:
        # Of what was looked at for this one nothing is kept: each looks for itself.
        standing.settle(outcome, replace(evaluation, risk=(), views=EMPTY) if looks else evaluation)
    return evaluation


def _remember(
    evaluation: Evaluation, standing: Standing | None, plan: Plan, request: RequestView, *, for_all: bool
) -> None:
    """Remember what follows for requests of which the same is read; `for_all` is whether it does for every caller."""
    http = request.http
    if standing is None or http is None or plan.readings is None:
        return
    if standing.known is None or (standing.known is plan.known and not for_all):
        standing.known = (plan.known if for_all else None) or plan.to_know(MOST_SETTLED)
    if standing.known is not None:
        standing.known.remember(request, http.headers, http.segments, evaluation)


def _untold(conditions: tuple[Condition, ...], http: HttpRequest, held: list[Holds]) -> tuple[Condition, ...]:
    """Those of the conditions that have to be evaluated; what the others come to is put into `held`."""
    headers, segments = http.headers, http.segments
    left: list[Condition] = []
    for condition in conditions:
        told = condition.told(headers, segments)
        if told is None:
            left.append(condition)
        else:
            held[condition.number] = told
    return tuple(left)


def _evaluate(conditions: tuple[Condition, ...], scopes: Sequence[Scope], held: list[Holds], errors: list[str]) -> None:
    """Put what conditions come to into `held`, and the texts of those that err into `errors`."""
    for condition in conditions:
        try:
            held[condition.number] = condition.evaluate(scopes[condition.at]) is True
        except cel.EvalError as error:
            held[condition.number] = None
            errors.append(str(error))


def _first(request: RequestView, identity: Identity, facts: Facts, now: float, scope: RequestScope | None) -> Scope:
    """The scope that all others are within."""
    return RequestScope(Inputs(request, identity, facts, now)) if scope is None else VariableScope(scope, EMPTY)


def _keep(standing: Standing | None, plan: Plan, there: tuple[bool, ...], held: Sequence[Holds]) -> None:
    """Remember what the conditions came to, unless one of those that come to it each time errs: its text is missing."""
    if standing is not None and all(held[number] is not None for number in plan.steady):
        standing.hold(there, held)


def _looked_at(plan: Plan, scopes: Sequence[Scope]) -> tuple[tuple[Assessment, ...], Mapping[str, object]]:
    """What the risk models came to that a condition has read, and the facts; nothing is evaluated for it."""
    found = [scopes[at].get(RISK) for _, at in plan.models]
    first = scopes[0]
    views = {name: first[name] for name in plan.facts_read if name in first}
    return tuple([one for one in found if isinstance(one, Assessment)]), views


def _with_errors(
    plan: Plan, speaking: Speaking, held: Sequence[Holds], errors: Iterable[str], faults: dict[str, str]
) -> Iterable[RuleResult]:
    """How every rule came out, with the texts of its errors: in its condition, or beyond."""
    texts = iter(errors)
    for result, holds in zip(speaking.results, plan.outcomes(held), strict=True):
        error = next(texts) if holds is None else None
        fault = faults.get(result.rule, error)
        yield result if fault is None else replace(result, result="error", error=fault)


def _combine(speaking: Speaking, case: Case) -> Decision:
    """Steps 2 to 6. Rules come in the order of their names, so the first of each kind is the one reported."""
    # Step 2: a matching deny; otherwise a guard whose condition errors.
    if speaking.denials:
        return _deny(speaking.denials[0], case)
    if speaking.faulty_guards:
        return denial("policy-error", rule=speaking.faulty_guards[0].name)
    # Step 3: only an allow can allow.
    if not speaking.allows:
        identity = case.identity
        anonymous = identity.workload is None and identity.user is None
        return denial("no-rule-allows", status=401 if anonymous else None)
    # Step 4: every matching challenge must be met.
    grants = challenge(speaking.challenges, case) if speaking.challenges else ()
    if not isinstance(grants, tuple):
        return grants
    # Step 5: every matching approve must be met, after the challenges.
    if not speaking.approvals:
        return _allow(speaking.allows, grants, (), case)
    approved = approve(speaking.approvals, case)
    if not isinstance(approved, Met):
        return approved
    # Step 6: otherwise allow.
    return _allow(speaking.allows, (*grants, *approved.grants), approved.auto, case)


def _deny(voice: Voice[DenyTerms], case: Case) -> Deny:
    """Step 2: the rule's own denial. A value of it that errors is left out: what is denied stays denied."""
    rule, terms, at = voice
    answer, scope = terms.answer, case.scopes[at]
    if not terms.headers and terms.body is None:
        return answer
    headers, body = dict(answer.headers), answer.body
    for name, program in terms.headers:
        try:
            headers[name] = header_value(program.evaluate(scope))
        except cel.EvalError as error:
            case.faults[rule.name] = str(error)
    if terms.body is not None:
        try:
            body = parameter_value(terms.body.evaluate(scope))
        except cel.EvalError as error:
            case.faults[rule.name] = str(error)
    return replace(answer, headers=headers, body=body)


def _allow(
    allows: Sequence[Voice[AllowTerms]], grants: tuple[Grant, ...], auto: tuple[AutoAnswer, ...], case: Case
) -> Allow | Deny:
    """Step 6: the mutations of all matching allows; two that set one name to different values deny."""
    given = []
    for rule, terms, at in allows:
        try:
            given.append((rule.name, evaluate(terms, case.scopes[at])))
        except cel.EvalError as error:
            return faulty(rule, error, case)
    mutations = merged(given)
    if isinstance(mutations, Conflict):
        case.faults[mutations.rule] = mutations.message
        return denial("header-conflict", rule=mutations.rule)
    return Allow(rule=allows[0].rule.name, mutations=mutations, grants=grants, auto=auto)
