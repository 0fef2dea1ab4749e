"""One request that is being decided: what is at hand to meet the guards, and what comes of terms that err.

The rule kept here: a grant is good for who was given it, for what it is bound to, and while it lasts; every condition
of that is in `fresh`.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from extauthz import cel
from extauthz.errors import Refused
from extauthz.policy.plain import shown
from extauthz.policy.plan import Scope
from extauthz.policy.rules import ApproveTerms, ChallengeTerms, Programs, Rule
from extauthz.stepup.binding import bind
from extauthz.values.decisions import Deny, denial
from extauthz.values.grants import Facts, Grant
from extauthz.values.identity import Identity, Subject
from extauthz.values.request import RequestView

AHEAD = 300.0
"""By how many seconds the clock that a proof was given by may run ahead of ours. One from later than that is from
before a clock was set back, and nobody knows how old it is.
"""


class Case(msgspec.Struct):
    """One request being decided: what is known of it, its scopes by number, which evaluate lazily, and the errors found
    beyond conditions."""

    request: RequestView
    identity: Identity
    facts: Facts
    now: float
    binding_keys: Sequence[bytes]
    scopes: Sequence[Scope]
    faults: dict[str, str] = {}


def bindings_of(rule: Rule, terms: ChallengeTerms | ApproveTerms, scope: Scope, case: Case) -> tuple[str, ...]:
    """What a proof for this rule and request is bound to, under every key that is still good; the newest last."""
    values = tuple(program(scope) for program in terms.scope)
    return tuple(
        bind(
            terms.bind,
            rule=rule.name,
            scope=values,
            headers=terms.bound_headers,
            request=case.request,
            identity=case.identity,
            key=key,
        )
        for key in case.binding_keys
    )


def shown_values(show: Programs, scope: Scope) -> dict[str, str]:
    return {name: shown(program(scope)) for name, program in show}


def fresh(bindings: Sequence[str], lasts: float, subject: Subject, case: Case) -> Iterator[Grant]:
    """The grants of this caller for one of these bindings that are no older than `lasts`, and not used up."""
    identity, now = case.identity, case.now
    for grant in case.facts.grants:
        if (
            grant.subject == subject
            and grant.session == (identity.session or "")
            and grant.holder in identity.holders
            and grant.binding in bindings
            and grant.issued_at - AHEAD <= now < grant.issued_at + lasts
            and now < grant.expires_at
            and (grant.uses is None or grant.uses > 0)
        ):
            yield grant


def best(grants: Iterable[Grant]) -> Grant | None:
    """One that needs no using up comes first, then the latest."""
    return max(grants, key=lambda grant: (grant.uses is None, grant.issued_at, grant.id), default=None)


def faulty(rule: Rule, error: cel.EvalError | Refused, case: Case) -> Deny:
    """A rule that matches but whose own terms can't be worked out denies."""
    case.faults[rule.name] = str(error)
    return denial(error.reason if isinstance(error, Refused) else "policy-error", rule=rule.name)
