"""The grants that a test gives: what was left for the rules that it names, for this very request.

The rule kept here: a grant is made for what a decision asks for, so it can't meet anything else.
"""

from collections.abc import Iterable, Iterator

from extauthz.approval.persons import BY_SUB, person_named
from extauthz.policy.fact_models import GlassModel, GrantModel, VoteModel
from extauthz.stepup.factors import proven_amr
from extauthz.values.approvals import APPROVAL_FACTOR, Approved, Approver, BreakGlass, Proof, Vote
from extauthz.values.decisions import ApprovalDemand, Challenge, Decision, Hold
from extauthz.values.grants import Grant
from extauthz.values.identity import Identity, Subject

_ISSUER = "https://approvers.test"


def left_for(
    given: Iterable[GrantModel], decision: Decision, identity: Identity, *, holder: str, now: float
) -> Iterator[Grant]:
    """The given grants that are for what the decision asks for; `now` in seconds since the epoch."""
    subject = identity.subject
    for number, one in enumerate(given):
        if subject is None:
            return
        if isinstance(decision, Challenge) and one.factor is not None:
            for proof in decision.demands:
                if proof.rule == one.rule:
                    yield Grant(
                        id=str(number),
                        subject=subject,
                        session=identity.session or "",
                        holder=holder,
                        binding=proof.binding,
                        factor=proven_amr(one.factor, acr=proof.acr),
                        issued_at=now - one.age,
                        expires_at=now + 1.0,
                    )
        if isinstance(decision, Hold) and one.factor is None:
            for demand in decision.demands:
                if demand.rule == one.rule:
                    yield _approval(str(number), one, demand, identity, holder=holder, now=now)


def _approval(
    name: str, given: GrantModel, demand: ApprovalDemand, identity: Identity, *, holder: str, now: float
) -> Grant:
    at = now - given.age
    votes = given.approved_by or ()
    opened_at = at - max((vote.after for vote in votes), default=0.0)
    return Grant(
        id=name,
        subject=demand.subject,
        session=demand.session,
        holder=holder,
        binding=demand.binding,
        factor=APPROVAL_FACTOR,
        issued_at=at,
        expires_at=now + 1.0,
        uses=None if given.uses == "unlimited" else given.uses,
        approval=Approved(
            id=name,
            opened_at=opened_at,
            votes=tuple(_vote(vote, opened_at) for vote in votes),
            break_glass=None if given.break_glass is None else _glass(given.break_glass, demand, identity, at),
        ),
    )


def _vote(given: VoteModel, opened_at: float) -> Vote:
    at = opened_at + given.after
    subject = Subject(_ISSUER, given.sub)
    person = given.sub if given.person is None else given.person
    return Vote(
        approver=Approver(
            subject=subject,
            person=person_named(person) or given.sub,
            groups=frozenset(given.groups),
            claims=given.claims,
        ),
        stance="approve",
        at=at,
        proof=None if given.factor is None else Proof(factor=proven_amr(given.factor, acr=None), at=at),
    )


def _glass(given: GlassModel, demand: ApprovalDemand, identity: Identity, at: float) -> BreakGlass:
    user = identity.user
    person = None if user is None else BY_SUB.person(user.subject, user.claims)
    groups = frozenset() if user is None else frozenset(user.groups)
    return BreakGlass(
        by=Approver(subject=demand.subject, person=person or "", groups=groups),
        reason="a test",
        proof=Proof(factor=proven_amr(given.factor, acr=None), at=at),
        at=at,
    )
