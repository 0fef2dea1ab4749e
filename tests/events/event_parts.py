"""Records of which the tests of this folder make events."""

from typing import Any

from extauthz.record.decision import DecisionRecord
from extauthz.record.life import LifeRecord
from extauthz.values.decisions import Challenge, ChallengeDemand, Decision, Deny
from extauthz.values.identity import Identity, Subject, User
from extauthz.values.request import HttpRequest, Peer, RequestView

AT = 1_795_341_600_000_000_000
"""2026-11-22T10:00:00Z, in nanoseconds since the epoch."""
UMA = Subject(issuer="https://idp.example.com", id="uma")


def demand(rule: str) -> ChallengeDemand:
    """What a challenge asks for under a rule."""
    return ChallengeDemand(rule=rule, factors=("totp",), max_age=60.0, binding=f"action:{rule}")


def decided(decision: Decision, *, at: int = AT, **changed: Any) -> DecisionRecord:
    """A decision about a request of Uma."""
    http = HttpRequest(
        id="r-1",
        method="POST",
        scheme="https",
        host="payments.example.com",
        authority="payments.example.com",
        path="/v1/accounts/acc-13/transfers",
        segments=("v1", "accounts", "acc-13", "transfers"),
        raw_path="/v1/accounts/acc-13/transfers",
        raw_query="amount=5000",
        protocol="HTTP/2",
        headers={"authorization": ("Bearer secret-token",), "user-agent": ("curl/8",), "cookie": ("a=secret",)},
    )
    fields: dict[str, Any] = {
        "decision_id": "dec-1",
        "revision": "sha256:0123",
        "decision": decision,
        "request": RequestView(source=Peer(ip="203.0.113.9", port=4711), http=http),
        "identity": Identity(user=User(sub=UMA.id, iss=UMA.issuer), client_ip="203.0.113.9"),
        "started_ns": at - 412_000,
        "ended_ns": at,
    }
    return DecisionRecord(**{**fields, **changed})


def denied(
    rule: str | None = "payments/frozen-accounts", reason: str = "account-frozen", **changed: Any
) -> DecisionRecord:
    """A denial."""
    return decided(Deny(reason=reason, rule=rule), **changed)


def challenged(*rules: str, **changed: Any) -> DecisionRecord:
    """A challenge under these rules."""
    return decided(Challenge(rule=rules[0], demands=tuple(map(demand, rules))), **changed)


def lived(**changed: Any) -> LifeRecord:
    """A life event: somebody blocks Uma."""
    fields: dict[str, Any] = {"kind": "subject.blocked", "at_ns": AT, "subject": UMA, "by": "operator:admin"}
    return LifeRecord(**{**fields, **changed})
