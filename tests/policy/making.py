"""Policies, requests and identities for tests, by the same ways as real ones: YAML text in, Check bytes decoded."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from changing import replace

from extauthz.identity import spiffe
from extauthz.policy.decide import decide
from extauthz.policy.declared import NOTHING_DECLARED, Declared
from extauthz.policy.load import load_text
from extauthz.policy.plan import Plan
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.standing import Standing
from extauthz.values.approvals import APPROVAL_FACTOR, Approved, Approver, BreakGlass, Vote
from extauthz.values.decisions import Evaluation
from extauthz.values.grants import Facts, Grant
from extauthz.values.headers import OneLineEach
from extauthz.values.identity import Identity, Subject, User
from extauthz.values.request import RequestView
from extauthz.wire.compose import check_request, tcp_check_request
from extauthz.wire.decode import decode

NOW = 1_795_000_000.0
KEY = b"the key of these tests"
WEB = "spiffe://prod.example.org/ns/shop/sa/web"

Document = dict[str, Any]


def document(name: str, *rules: Document, **spec: object) -> Document:
    """A policy as a plain document."""
    return {
        "apiVersion": "extauthz/v1",
        "kind": "Policy",
        "metadata": {"name": name},
        "spec": {**spec, "rules": list(rules)},
    }


def definitions(name: str, **spec: object) -> Document:
    """Definitions as a plain document."""
    return {"apiVersion": "extauthz/v1", "kind": "Definitions", "metadata": {"name": name}, "spec": spec}


def function(body: str, **parameters: str) -> Document:
    """A defined function, its parameters with their types."""
    named = [{"name": name, "type": kind} for name, kind in parameters.items()]
    return {"body": body, **({"parameters": named} if named else {})}


def rule(name: str, effect: str, **fields: object) -> Document:
    """A rule; a challenge or an approve without its block gets a plain one."""
    blocks = {"challenge": {"factors": ["totp"]}, "approve": {"approvers": {"groups": ["chiefs"]}}}
    block = {effect: blocks[effect]} if effect in blocks and effect not in fields else {}
    return {"name": name, "effect": effect, **block, **fields}


def risk_model(name: str = "default", *, levels: Mapping[str, float] | None = None, **spec: object) -> Document:
    """A risk model; without `levels` low, medium from 30 and high from 60."""
    known = {"low": 0, "medium": 30, "high": 60} if levels is None else dict(levels)
    return {
        "apiVersion": "extauthz/v1",
        "kind": "RiskModel",
        "metadata": {"name": name},
        "spec": {"levels": known, **spec},
    }


def signal(when: str, weight: float = 10.0, **fields: object) -> Document:
    """A signal of a risk model."""
    return {"when": when, "weight": weight, "reason": "it is said so", **fields}


def compiled(*documents: Document, declared: Declared = NOTHING_DECLARED) -> PolicySet:
    """The documents as a policy set; JSON is YAML too."""
    text = "\n---\n".join(json.dumps(one, ensure_ascii=False) for one in documents)
    return load_text(text, "policies.yaml", declared=declared)


def http(path: str = "/", method: str = "GET", host: str = "app.example", **more: Any) -> RequestView:
    """An HTTP request as decoded from its Check; `more` goes to `wire.compose.check_request`."""
    return decode(check_request(host=host, method=method, path=path, raw_headers=True, **more))


def one_line_each(request: RequestView) -> RequestView:
    """The same with its headers in the form that they have where their names came before; as it is if it can't have
    it."""
    assert request.http is not None
    lines = request.http.headers.values()
    if any(len(values) > 1 for values in lines):
        return request
    places = {name: place for place, name in enumerate(request.http.headers)}
    headers = OneLineEach(places, tuple([values[0] for values in lines]), ())
    return replace(request, http=replace(request.http, headers=headers))


def stood(policies: PolicySet) -> list[tuple[Plan, Standing]]:
    """By which plan it was decided on whoever stood anywhere, and what is remembered of them."""
    return [(one.plan, one.standing) for one in policies._standings.values() if one.standing is not None]


def pathless(host: str) -> tuple[tuple[str, str], ...]:
    """Methods with what stands for a path that there is none: `OPTIONS *`, CONNECT with and without its authority."""
    return ("OPTIONS", "*"), ("CONNECT", ""), ("CONNECT", host)


def tcp(**more: Any) -> RequestView:
    """A TCP check."""
    return decode(tcp_check_request(**more))


def caller(
    *,
    sub: str | None = None,
    workload: str | None = None,
    groups: Sequence[str] = (),
    claims: Mapping[str, object] | None = None,
    **more: Any,
) -> Identity:
    """An identity; a user has a session and a holder."""
    user = None
    if sub is not None:
        known = {"verified_by": "idp", "groups": tuple(groups), "claims": claims or {}}
        user = User(sub=sub, iss="https://idp.example", **{**known, **more})
    return Identity(
        workload=None if workload is None else spiffe.parse(workload, verified_by="source_principal"),
        user=user,
        session=None if sub is None else "s1",
        holders=frozenset() if sub is None else frozenset({"cookie:h1"}),
        client_ip="192.0.2.7",
    )


def grant(binding: str, **changes: Any) -> Grant:
    """A fresh TOTP grant of the user `u1`."""
    whole = {
        "id": "g1",
        "subject": caller(sub="u1").subject,
        "session": "s1",
        "holder": "cookie:h1",
        "binding": binding,
        "factor": "otp",
        "issued_at": NOW - 10,
        "expires_at": NOW + 1000,
        "uses": None,
    }
    return Grant(**{**whole, **changes})


def vote(sub: str, **changes: Any) -> Vote:
    """A chief who has approved; `person` is `sub` unless it is said, and so are the groups."""
    person, groups = changes.pop("person", sub), frozenset(changes.pop("groups", ("chiefs",)))
    subject = Subject("https://approvers.example", sub)
    approver = Approver(subject=subject, person=person, groups=groups, claims=changes.pop("claims", {}))
    return Vote(**{"approver": approver, "stance": "approve", "at": NOW - 20, **changes})


def approval(binding: str, *votes: Vote, break_glass: BreakGlass | None = None, **changes: Any) -> Grant:
    """The fresh grant of an approval of the user `u1` that was opened 30 seconds ago, good once."""
    given = Approved(id="a1", opened_at=NOW - 30, votes=votes, break_glass=break_glass)
    return grant(binding, **{"id": "a1", "factor": APPROVAL_FACTOR, "uses": 1, "approval": given, **changes})


def evaluate(
    policies: PolicySet,
    request: RequestView | None = None,
    identity: Identity | None = None,
    *,
    facts: Facts | None = None,
    now: float = NOW,
    keys: Sequence[bytes] = (KEY,),
) -> Evaluation:
    """What is decided; by default on a plain GET of nobody."""
    request = request if request is not None else http()
    identity = identity if identity is not None else Identity()
    return decide(
        policies.candidates(request, identity),
        request=request,
        identity=identity,
        facts=facts if facts is not None else Facts(),
        now=now,
        binding_keys=keys,
    )
