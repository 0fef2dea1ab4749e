"""From candidate rules to a decision: every way a rule allows, denies, challenges or holds is in this file.

Pure: the clock, the keys and the facts are arguments. The steps are those of design section 3, "How rules combine".
The rule kept here: what can't be evaluated never helps a request through.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple, assert_never

from msgspec.structs import replace

from extauthz import cel
from extauthz.errors import Refused
from extauthz.policy.context import PARAMS, Inputs, RequestScope, VariableScope
from extauthz.policy.mutations import Conflict, evaluate, merged
from extauthz.policy.plain import header_value, parameter_value, shown
from extauthz.policy.policy_set import (
    AllowTerms,
    ApproveTerms,
    Candidate,
    Candidates,
    ChallengeTerms,
    DenyTerms,
    Policy,
    Programs,
    Rule,
)
from extauthz.stepup.binding import bind
from extauthz.stepup.token_proof import suffices
from extauthz.values.decisions import (
    Allow,
    ApprovalDemand,
    Challenge,
    ChallengeDemand,
    Decision,
    Deny,
    Evaluation,
    Hold,
    Mode,
    Outcome,
    RuleResult,
    denial,
)
from extauthz.values.grants import Facts, Grant, Needs
from extauthz.values.identity import Identity, User
from extauthz.values.request import RequestView

_FLAGS = (False, True)
_NEEDS = {
    flags: Needs(grants=flags[0], session=flags[1], shadow_session=flags[2]) for flags in product(_FLAGS, repeat=3)
}


def needs(candidates: Candidates) -> Needs:
    """The look-ups that `decide` wants to know the results of: grants, where a challenge may have been met; when the
    session was seen, where a rule reads its age."""
    grants = session = shadow_session = False
    for rule, _, mode in candidates.items:
        if mode == "enforce":
            grants = grants or rule.effect == "challenge"
            session = session or rule.reads_session
        else:
            shadow_session = shadow_session or rule.reads_session
    return _NEEDS[grants, session, shadow_session]


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
    case = _Case(Inputs(request=request, identity=identity, facts=facts, now=now), binding_keys, _shared=scope)
    judged = [_judge(item, case) for item in candidates.items if item.rule.expires is None or now < item.rule.expires]
    speaking = _Speaking(judged)
    decision = _combine(speaking, case)
    return Evaluation(
        decision=decision,
        rules=tuple([_result(one, case.faults) for one in judged]),
        audit_required=speaking.audit_required,
    )


@dataclass(slots=True)
class _Case:
    """One request being decided: its scopes, which evaluate lazily, and the errors found beyond conditions."""

    inputs: Inputs
    binding_keys: Sequence[bytes]
    faults: dict[str, str] = field(default_factory=dict)
    _shared: RequestScope | None = None
    _policies: dict[int, dict[str, object]] = field(default_factory=dict)

    def scope(self, rule: Rule, params: Mapping[str, str]) -> dict[str, object]:
        """The names that this rule's expressions see; variables are shared by the rules of a policy."""
        if self._shared is None:
            self._shared = RequestScope(self.inputs)
        scope: dict[str, object] = self._shared
        if rule.reads_variables:
            scope = self._policy_scope(rule.policy, scope)
        if rule.reads_params:
            scope = VariableScope(scope, rule.policy.per_rule)
            scope[PARAMS] = params
        return scope

    def _policy_scope(self, policy: Policy, outer: dict[str, object]) -> dict[str, object]:
        found = self._policies.get(id(policy))
        if found is None:
            found = self._policies[id(policy)] = VariableScope(outer, policy.shared, policy.constants)
        return found


class _Judged(NamedTuple):
    """A candidate and what became of its condition; `scope` is what its other expressions see."""

    rule: Rule
    mode: Mode
    scope: dict[str, object]
    outcome: Outcome
    error: str | None = None


def _judge(item: Candidate, case: _Case) -> _Judged:
    """Step 1, second half: of the candidates, those whose `when` is true match."""
    rule, params, mode = item
    scope = case.scope(rule, params)
    try:
        holds = rule.when is None or rule.when.evaluate(scope) is True
    except cel.EvalError as error:
        return _Judged(rule, mode, scope, "error", str(error))
    return _Judged(rule, mode, scope, "match" if holds else "no-match")


def _result(one: _Judged, faults: Mapping[str, str]) -> RuleResult:
    fault = faults.get(one.rule.name) if faults else None
    if fault is None and one.outcome != "error":
        return one.rule.results[one.mode, one.outcome]
    return RuleResult(
        rule=one.rule.name,
        effect=one.rule.effect,
        mode=one.mode,
        result="error",
        error=one.error if fault is None else fault,
    )


class _Speaking:
    """The rules that take part in a decision, by effect: those that are obeyed and match, and guards that error.

    `audit_required` is whether one of them wants its record on disk.
    """

    __slots__ = ("allows", "approvals", "audit_required", "challenges", "denials", "faulty_guards")

    def __init__(self, judged: Iterable[_Judged]) -> None:
        self.denials: list[tuple[_Judged, DenyTerms]] = []
        self.faulty_guards: list[Rule] = []
        self.allows: list[tuple[_Judged, AllowTerms]] = []
        self.challenges: list[tuple[_Judged, ChallengeTerms]] = []
        self.approvals: list[tuple[_Judged, ApproveTerms]] = []
        self.audit_required = False
        for one in judged:
            if one.mode == "enforce" and one.outcome != "no-match":
                self._add(one)

    def _add(self, one: _Judged) -> None:
        rule = one.rule
        if one.outcome == "error":
            if rule.effect == "allow":
                return
            self.faulty_guards.append(rule)
        else:
            match rule.terms:
                case AllowTerms() as terms:
                    self.allows.append((one, terms))
                case DenyTerms() as terms:
                    self.denials.append((one, terms))
                case ChallengeTerms() as terms:
                    self.challenges.append((one, terms))
                case ApproveTerms() as terms:
                    self.approvals.append((one, terms))
                case _:
                    assert_never(rule.terms)
        self.audit_required |= rule.audit_required


def _combine(speaking: _Speaking, case: _Case) -> Decision:
    """Steps 2 to 6. Rules come in the order of their names, so the first of each kind is the one reported."""
    # Step 2: a matching deny; otherwise a guard whose condition errors.
    if speaking.denials:
        return _deny(*speaking.denials[0], case)
    if speaking.faulty_guards:
        return denial("policy-error", rule=speaking.faulty_guards[0].name)
    # Step 3: only an allow can allow.
    if not speaking.allows:
        identity = case.inputs.identity
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


def _deny(one: _Judged, terms: DenyTerms, case: _Case) -> Deny:
    """Step 2: the rule's own denial. A value of it that errors is left out: what is denied stays denied."""
    answer = terms.answer
    if not terms.headers and terms.body is None:
        return answer
    headers, body = dict(answer.headers), answer.body
    for name, program in terms.headers:
        try:
            headers[name] = header_value(program.evaluate(one.scope))
        except cel.EvalError as error:
            case.faults[one.rule.name] = str(error)
    if terms.body is not None:
        try:
            body = parameter_value(terms.body.evaluate(one.scope))
        except cel.EvalError as error:
            case.faults[one.rule.name] = str(error)
    return replace(answer, headers=headers, body=body)


def _challenge(challenges: list[tuple[_Judged, ChallengeTerms]], case: _Case) -> tuple[Grant, ...] | Deny | Challenge:
    """Step 4: the grants that meet all challenges, or a challenge that shows together those not met."""
    first = challenges[0][0].rule.name
    user = case.inputs.identity.user
    if case.inputs.request.http is None:
        return denial("needs-http", rule=first)
    if user is None:
        return denial("needs-subject", rule=first)
    grants: dict[str, Grant] = {}
    demands: list[ChallengeDemand] = []
    for one, terms in challenges:
        try:
            bindings = _bindings(one, terms, case)
            if terms.accept_token and _token_meets(terms, user, case):
                continue
            grant = _meeting(terms, bindings, user, case)
            if grant is not None:
                grants[grant.id] = grant
            else:
                demands.append(_challenge_demand(one, terms, bindings[-1]))
        except (cel.EvalError, Refused) as error:
            return _faulty(one, error, case)
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
        now=case.inputs.now,
    )


def _meeting(terms: ChallengeTerms, bindings: Sequence[str], user: User, case: _Case) -> Grant | None:
    """A grant that meets a challenge (design section 4): the same subject, session, holder and binding, an accepted
    factor, fresh, not expired, not used up. One that needs no using up comes first, then the latest."""
    identity, now = case.inputs.identity, case.inputs.now
    fitting = [
        grant
        for grant in case.inputs.facts.grants
        if grant.subject == user.subject
        and grant.session == identity.session
        and grant.holder in identity.holders
        and grant.binding in bindings
        and grant.factor in terms.accepted
        and now < grant.issued_at + terms.max_age
        and now < grant.expires_at
        and (grant.uses is None or grant.uses > 0)
    ]
    return max(fitting, key=lambda grant: (grant.uses is None, grant.issued_at, grant.id), default=None)


def _challenge_demand(one: _Judged, terms: ChallengeTerms, binding: str) -> ChallengeDemand:
    return ChallengeDemand(
        rule=one.rule.name,
        factors=terms.factors,
        max_age=terms.max_age,
        binding=binding,
        uses=1 if terms.bind == "request" else None,
        acr=terms.acr,
        user_verification=terms.user_verification,
        description=one.rule.description,
        show=_shown(terms.show, one.scope),
    )


def _hold(approvals: list[tuple[_Judged, ApproveTerms]], case: _Case) -> Deny | Hold:
    """Step 5: nothing gives an approval yet, so none that is asked for is met."""
    first = approvals[0][0].rule.name
    if case.inputs.request.http is None:
        return denial("needs-http", rule=first)
    if case.inputs.identity.subject is None:
        return denial("needs-subject", rule=first)
    demands: list[ApprovalDemand] = []
    for one, terms in approvals:
        try:
            demands.append(
                ApprovalDemand(
                    rule=one.rule.name,
                    binding=_bindings(one, terms, case)[-1],
                    min=terms.min,
                    expires_in=terms.expires_in,
                    hold=terms.hold,
                    description=one.rule.description,
                    show=_shown(terms.show, one.scope),
                )
            )
        except (cel.EvalError, Refused) as error:
            return _faulty(one, error, case)
    return Hold(rule=first, demands=tuple(demands))


def _allow(allows: list[tuple[_Judged, AllowTerms]], grants: tuple[Grant, ...], case: _Case) -> Allow | Deny:
    """Step 6: the mutations of all matching allows; two that set one name to different values deny."""
    given = []
    for one, terms in allows:
        try:
            given.append((one.rule.name, evaluate(terms, one.scope)))
        except cel.EvalError as error:
            return _faulty(one, error, case)
    mutations = merged(given)
    if isinstance(mutations, Conflict):
        case.faults[mutations.rule] = mutations.message
        return denial("header-conflict", rule=mutations.rule)
    return Allow(rule=allows[0][0].rule.name, mutations=mutations, grants=grants)


def _bindings(one: _Judged, terms: ChallengeTerms | ApproveTerms, case: _Case) -> tuple[str, ...]:
    """What a proof for this rule and request is bound to, under every key that is still good; the newest last."""
    scope = tuple(program(one.scope) for program in terms.scope)
    return tuple(
        bind(
            terms.bind,
            rule=one.rule.name,
            scope=scope,
            request=case.inputs.request,
            identity=case.inputs.identity,
            key=key,
        )
        for key in case.binding_keys
    )


def _shown(show: Programs, scope: dict[str, object]) -> dict[str, str]:
    return {name: shown(program(scope)) for name, program in show}


def _faulty(one: _Judged, error: cel.EvalError | Refused, case: _Case) -> Deny:
    """A rule that matches but whose own terms can't be worked out denies."""
    case.faults[one.rule.name] = str(error)
    return denial(error.reason if isinstance(error, Refused) else "policy-error", rule=one.rule.name)
