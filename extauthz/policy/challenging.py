"""Step 4 of a decision: what meets the challenges that match, or the proofs that are asked for.

The rule kept here: each challenge is met by a proof of its own terms, given for it.
"""

from collections.abc import Sequence

from extauthz import cel
from extauthz.errors import Refused
from extauthz.policy.at_hand import Case, best, bindings_of, faulty, fresh, shown_values
from extauthz.policy.plan import Scope, Voice
from extauthz.policy.rules import ChallengeTerms, Rule
from extauthz.stepup.token_proof import suffices
from extauthz.values.decisions import Challenge, ChallengeDemand, Deny, denial
from extauthz.values.grants import Grant
from extauthz.values.identity import User


def challenge(challenges: Sequence[Voice[ChallengeTerms]], case: Case) -> tuple[Grant, ...] | Deny | Challenge:
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
            bindings = bindings_of(rule, terms, scope, case)
            if terms.accept_token and _token_meets(terms, user, case):
                continue
            grant = _meeting(terms, bindings, user, case)
            if grant is not None:
                grants[grant.id] = grant
            else:
                demands.append(_challenge_demand(rule, terms, bindings[-1], scope))
        except (cel.EvalError, Refused) as error:
            return faulty(rule, error, case)
    if demands:
        return Challenge(rule=demands[0].rule, demands=tuple(demands))
    return tuple(grants.values())


def _token_meets(terms: ChallengeTerms, user: User, case: Case) -> bool:
    """Whether the caller's own token meets a challenge (design section 4); it says nothing of one request alone."""
    return terms.bind != "request" and suffices(
        user,
        factors=terms.factors,
        acr=terms.acr,
        user_verification=terms.user_verification,
        max_age=terms.max_age,
        now=case.now,
    )


def _meeting(terms: ChallengeTerms, bindings: Sequence[str], user: User, case: Case) -> Grant | None:
    """A grant that meets a challenge (design section 4): the same subject, session, holder and binding, an accepted
    factor, fresh, not expired, not used up."""
    return best(grant for grant in fresh(bindings, terms.max_age, user.subject, case) if grant.factor in terms.accepted)


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
        show=shown_values(terms.show, scope),
    )
