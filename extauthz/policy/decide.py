"""From candidate rules to a decision: every way a rule allows, denies, challenges or holds is in this file.

Pure: the clock, the keys and the facts are arguments. The steps are those of design section 3, "How rules combine".
The rule kept here: what can't be evaluated never helps a request through.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from extauthz import cel
from extauthz.approval.persons import BY_SUB
from extauthz.errors import Refused
from extauthz.policy.candidates import Candidates
from extauthz.policy.context import Inputs, RequestScope, VariableScope
from extauthz.policy.mutations import Conflict, evaluate, merged
from extauthz.policy.plain import header_value, parameter_value, shown
from extauthz.policy.plan import Holds, Plan, Scope, Speaking, Voice
from extauthz.policy.reads import RISK
from extauthz.policy.rules import AllowTerms, ApproveTerms, ChallengeTerms, DenyTerms, Programs, Rule
from extauthz.stepup.binding import bind
from extauthz.stepup.token_proof import suffices
from extauthz.values.assessment import Assessment
from extauthz.values.decisions import (
    Allow,
    ApprovalDemand,
    Challenge,
    ChallengeDemand,
    Decision,
    Deny,
    Evaluation,
    Hold,
    RuleResult,
    denial,
)
from extauthz.values.grants import Facts, Grant, Needs
from extauthz.values.identity import Identity, User
from extauthz.values.request import EMPTY, RequestView

AHEAD = 300.0
"""By how many seconds the clock that a proof was given by may run ahead of ours. One from later than that is from
before a clock was set back, and nobody knows how old it is.
"""


def needs(candidates: Candidates) -> Needs:
    """The look-ups that `decide` wants to know the results of: grants, where a challenge may have been met, and what
    conditions read that is not known here."""
    return candidates.plan.needs


def decide(
    candidates: Candidates,
    *,
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
    plan = candidates.plan
    if now >= plan.expires:
        plan = plan.at(now)
    first: Scope = RequestScope(Inputs(request, identity, facts, now)) if scope is None else VariableScope(scope, EMPTY)
    scopes = plan.scopes(first, candidates.segments)
    # Step 1, second half: of the candidates, those whose `when` is true match.
    held: list[Holds] = []
    errors: list[str] = []
    for when, at in plan.conditions:
        try:
            held.append(when(scopes[at]) is True)
        except cel.EvalError as error:
            held.append(None)
            errors.append(str(error))
    speaking = plan.spoken(tuple(held))
    if speaking.settled is not None:
        return speaking.settled
    case = _Case(request, identity, facts, now, binding_keys, scopes)
    decision = _combine(speaking, case)
    risk: tuple[Assessment, ...] = ()
    views: Mapping[str, object] = EMPTY
    if plan.models or plan.facts_read:
        risk = _assessed(plan, scopes)
        views = {name: first[name] for name in plan.facts_read if name in first}
    evaluation = Evaluation(
        decision=decision, rules=speaking.results, audit_required=speaking.audit_required, risk=risk, views=views
    )
    if errors or case.faults:
        return replace(evaluation, rules=tuple(_with_errors(plan, speaking, held, errors, case.faults)))
    if speaking.reads_nothing:
        speaking.settled = evaluation
    return evaluation


def _assessed(plan: Plan, scopes: Sequence[Scope]) -> tuple[Assessment, ...]:
    """What the risk models came to that a condition has read; nothing is evaluated for it."""
    found = [scopes[at].get(RISK) for _, at in plan.models]
    return tuple([one for one in found if isinstance(one, Assessment)])


class _Case(msgspec.Struct):
    """One request being decided: what is known of it, its scopes by number, which evaluate lazily, and the errors found
    beyond conditions."""

    request: RequestView
    identity: Identity
    facts: Facts
    now: float
    binding_keys: Sequence[bytes]
    scopes: Sequence[Scope]
    faults: dict[str, str] = {}


def _with_errors(
    plan: Plan, speaking: Speaking, held: Sequence[Holds], errors: Iterable[str], faults: dict[str, str]
) -> Iterable[RuleResult]:
    """How every rule came out, with the texts of its errors: in its condition, or beyond."""
    texts = iter(errors)
    for result, holds in zip(speaking.results, plan.outcomes(held), strict=True):
        error = next(texts) if holds is None else None
        fault = faults.get(result.rule, error)
        yield result if fault is None else replace(result, result="error", error=fault)


def _combine(speaking: Speaking, case: _Case) -> Decision:
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
    grants = _challenge(speaking.challenges, case) if speaking.challenges else ()
    if not isinstance(grants, tuple):
        return grants
    # Step 5: every matching approve must be met, after the challenges.
    if speaking.approvals:
        return _hold(speaking.approvals, case)
    # Step 6: otherwise allow.
    return _allow(speaking.allows, grants, case)


def _deny(voice: Voice[DenyTerms], case: _Case) -> Deny:
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


def _challenge(challenges: Sequence[Voice[ChallengeTerms]], case: _Case) -> tuple[Grant, ...] | Deny | Challenge:
    """Step 4: the grants that meet all challenges, or a challenge that shows together those not met."""
    first = challenges[0].rule.name
    user = case.identity.user
    if case.request.http is None:
        return denial("needs-http", rule=first)
    if user is None:
        return denial("needs-subject", rule=first)
    grants: dict[str, Grant] = {}
    demands: list[ChallengeDemand] = []
    for rule, terms, at in challenges:
        scope = case.scopes[at]
        try:
            bindings = _bindings(rule, terms, scope, case)
            if terms.accept_token and _token_meets(terms, user, case):
                continue
            grant = _meeting(terms, bindings, user, case)
            if grant is not None:
                grants[grant.id] = grant
            else:
                demands.append(_challenge_demand(rule, terms, bindings[-1], scope))
        except (cel.EvalError, Refused) as error:
            return _faulty(rule, error, case)
    if demands:
        return Challenge(rule=demands[0].rule, demands=tuple(demands))
    return tuple(grants.values())


def _token_meets(terms: ChallengeTerms, user: User, case: _Case) -> bool:
    """Whether the caller's own token meets a challenge (design section 4); it says nothing of one request alone."""
    return terms.bind != "request" and suffices(
        user,
        factors=terms.factors,
        acr=terms.acr,
        user_verification=terms.user_verification,
        max_age=terms.max_age,
        now=case.now,
    )


def _meeting(terms: ChallengeTerms, bindings: Sequence[str], user: User, case: _Case) -> Grant | None:
    """A grant that meets a challenge (design section 4): the same subject, session, holder and binding, an accepted
    factor, fresh, not expired, not used up. One that needs no using up comes first, then the latest."""
    identity, now = case.identity, case.now
    fitting = [
        grant
        for grant in case.facts.grants
        if grant.subject == user.subject
        and grant.session == identity.session
        and grant.holder in identity.holders
        and grant.binding in bindings
        and grant.factor in terms.accepted
        and grant.issued_at - AHEAD <= now < grant.issued_at + terms.max_age
        and now < grant.expires_at
        and (grant.uses is None or grant.uses > 0)
    ]
    return max(fitting, key=lambda grant: (grant.uses is None, grant.issued_at, grant.id), default=None)


def _challenge_demand(rule: Rule, terms: ChallengeTerms, binding: str, scope: Scope) -> ChallengeDemand:
    return ChallengeDemand(
        rule=rule.name,
        factors=terms.factors,
        max_age=terms.max_age,
        binding=binding,
        uses=1 if terms.bind == "request" else None,
        acr=terms.acr,
        user_verification=terms.user_verification,
        description=rule.description,
        show=_shown(terms.show, scope),
    )


def _hold(approvals: Sequence[Voice[ApproveTerms]], case: _Case) -> Deny | Hold:
    """Step 5: nothing gives an approval yet, so none that is asked for is met."""
    first = approvals[0].rule.name
    if case.request.http is None:
        return denial("needs-http", rule=first)
    subject = case.identity.subject
    if subject is None:
        return denial("needs-subject", rule=first)
    requesters = (case.facts.local.requesters or BY_SUB.requesters)(case.identity)
    if requesters is None:
        return denial("unmapped-requester", rule=first)
    demands: list[ApprovalDemand] = []
    for rule, terms, at in approvals:
        scope = case.scopes[at]
        try:
            demands.append(
                ApprovalDemand(
                    rule=rule.name,
                    binding=_bindings(rule, terms, scope, case)[-1],
                    min=terms.min,
                    expires_in=terms.expires_in,
                    hold=terms.hold,
                    bind=terms.bind,
                    subject=subject,
                    session=case.identity.session or "",
                    requesters=requesters,
                    why="" if rule.when is None else rule.when.source,
                    description=rule.description,
                    show=_shown(terms.show, scope),
                )
            )
        except (cel.EvalError, Refused) as error:
            return _faulty(rule, error, case)
    return Hold(rule=first, demands=tuple(demands))


def _allow(allows: Sequence[Voice[AllowTerms]], grants: tuple[Grant, ...], case: _Case) -> Allow | Deny:
    """Step 6: the mutations of all matching allows; two that set one name to different values deny."""
    given = []
    for rule, terms, at in allows:
        try:
            given.append((rule.name, evaluate(terms, case.scopes[at])))
        except cel.EvalError as error:
            return _faulty(rule, error, case)
    mutations = merged(given)
    if isinstance(mutations, Conflict):
        case.faults[mutations.rule] = mutations.message
        return denial("header-conflict", rule=mutations.rule)
    return Allow(rule=allows[0].rule.name, mutations=mutations, grants=grants)


def _bindings(rule: Rule, terms: ChallengeTerms | ApproveTerms, scope: Scope, case: _Case) -> tuple[str, ...]:
    """What a proof for this rule and request is bound to, under every key that is still good; the newest last."""
    values = tuple(program(scope) for program in terms.scope)
    return tuple(
        bind(
            terms.bind,
            rule=rule.name,
            scope=values,
            request=case.request,
            identity=case.identity,
            key=key,
        )
        for key in case.binding_keys
    )


def _shown(show: Programs, scope: Scope) -> dict[str, str]:
    return {name: shown(program(scope)) for name, program in show}


def _faulty(rule: Rule, error: cel.EvalError | Refused, case: _Case) -> Deny:
    """A rule that matches but whose own terms can't be worked out denies."""
    case.faults[rule.name] = str(error)
    return denial(error.reason if isinstance(error, Refused) else "policy-error", rule=rule.name)
