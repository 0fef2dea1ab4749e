"""A policy that asks chiefs, and what comes of a request: what is asked of them, or whether it is let through."""

from policy.making import NOW, caller, compiled, document, evaluate, http, rule

from extauthz.policy.policy_set import PolicySet
from extauthz.values.decisions import Allow, ApprovalDemand, Hold
from extauthz.values.grants import Facts, Grant
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

ALL = rule("all", "allow")
USER = caller(sub="u1", groups=["on-duty"])


def asking(**block: object) -> PolicySet:
    """A policy that lets everything through that chiefs approve."""
    return compiled(document("p", ALL, rule("a", "approve", approve={"approvers": {"groups": ["chiefs"]}, **block})))


def demanded(policies: PolicySet, request: RequestView | None = None, identity: Identity = USER) -> ApprovalDemand:
    decision = evaluate(policies, request or http("/"), identity).decision
    assert isinstance(decision, Hold), decision
    return decision.demands[0]


def is_let_through(
    policies: PolicySet, *grants: Grant, request: RequestView | None = None, identity: Identity = USER, now: float = NOW
) -> bool:
    facts = Facts(grants=grants)
    return isinstance(evaluate(policies, request or http("/"), identity, facts=facts, now=now).decision, Allow)
