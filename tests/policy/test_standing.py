"""What is remembered of requests that stand alike: it is the same as what is worked out for each of them."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from policy.making import KEY, NOW, WEB, caller, compiled, definitions, document, http, risk_model, rule, signal

from extauthz import cel
from extauthz.policy import policy_set
from extauthz.policy.context import NAMES
from extauthz.policy.decide import decide
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.standing import is_steady
from extauthz.values.decisions import Evaluation
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

CALLERS = (
    Identity(),
    caller(sub="alice", groups=["staff"], claims={"tenant": "t1"}, issued_at=int(NOW) - 60),
    caller(sub="bob", claims={"tenant": 7}, issued_at=int(NOW) - 7_200),
    caller(workload=WEB),
    caller(sub="alice", workload=WEB, issued_at=int(NOW) - 60),
)
REQUESTS = tuple(
    http(path, method, headers=headers)
    for path, method, headers in product(
        ("/a/1?n=1", "/a/2?n=2", "/b"),
        ("GET", "PUT"),
        ({"x-a": "1", "x-b": "1"}, {"x-a": "2", "x-b": "1"}, {"x-c": "1", "x-b": "2"}),
    )
)
CONDITIONS = (
    'user.claims.tenant == "t1"',
    '"staff" in user.groups',
    "has(user.sub) && user.sub in definitions.people",
    'workload.namespace == "shop"',
    'client.ip == "192.0.2.7"',
    'request.method == "PUT"',
    '"x-a" in request.headers',
    'has(request.headers.x_c) || "X-C" in request.header_values',
    'request.headers["x-a"] == "1"',
    'request.query.n == "2"',
    'request.params.id == "1"',
    'user.token_age > duration("1h")',
    'now > timestamp("2026-11-18T00:00:00Z")',
    'request.method == "PUT" && user.claims.tenant == "t1"',
    "risk.score > 15.0",
    "[1, 2].exists(n, user.claims.tenant == n + 6)",
)
TERMS: tuple[dict[str, dict[str, str]], ...] = (
    {},
    {"headers": {"x-sub": "user.sub"}},
    {"headers": {"x-n": "request.query.n"}},
    {"headers": {"x-m": "request.method"}},
)
PLACES = ({"paths": ["/a/{id}"]}, {"paths": ["/**"]})

rules = st.builds(
    lambda when, place, effect, terms, mode: {
        **({"when": when} if "params" not in when or "{id}" in place["paths"][0] else {"when": "true"}),
        **place,
        **({"allow": terms} if effect == "allow" and terms else {}),
        "effect": effect,
        "mode": mode,
    },
    when=st.sampled_from(CONDITIONS),
    place=st.sampled_from(PLACES),
    effect=st.sampled_from(["allow", "allow", "deny", "challenge"]),
    terms=st.sampled_from(TERMS),
    mode=st.sampled_from(["enforce", "enforce", "shadow"]),
)
asked = st.tuples(st.sampled_from(REQUESTS), st.sampled_from(CALLERS), st.sampled_from([NOW, NOW + 3_600]))


def decided(policies: PolicySet, request: RequestView, identity: Identity, now: float, *, alone: bool) -> Evaluation:
    """The decision, `alone` without what is remembered of others that stand alike."""
    candidates = policies.candidates(request, identity)
    return decide(
        replace(candidates, standing=None) if alone else candidates,
        request=request,
        identity=identity,
        facts=Facts(),
        now=now,
        binding_keys=(KEY,),
    )


@given(found=st.lists(rules, min_size=1, max_size=4), times=st.lists(asked, min_size=4, max_size=24))
def test_what_is_remembered_of_others_changes_no_decision(
    found: list[dict[str, object]], times: list[tuple[RequestView, Identity, float]]
) -> None:
    whole = [rule(f"r{number}", str(one.pop("effect")), **one) for number, one in enumerate(map(dict, found))]
    model = risk_model(
        signals={"second": signal('request.query.n == "2"'), "tenant": signal("has(user.claims.tenant)")}
    )
    policies = compiled(document("p", *whole), model, definitions("d", lists={"people": ["alice"]}))
    for request, identity, now in times:
        assert decided(policies, request, identity, now, alone=False) == decided(
            policies, request, identity, now, alone=True
        )


def test_more_callers_than_are_remembered_are_decided_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_set, "MOST_STANDINGS", 3)
    policies = compiled(document("p", rule("r", "allow", when='user.sub.startsWith("a")')))
    for _ in range(2):
        for name in ("anna", "bob", "adam", "carl", "ada"):
            reason = decided(policies, REQUESTS[0], caller(sub=name), NOW, alone=False).decision.reason
            assert (reason == "allowed") is name.startswith("a")
            assert len(policies._standings) <= 3


@pytest.mark.parametrize(
    ("source", "is_so"),
    [
        ("true", True),
        ("user.sub == workload.id", True),
        ("has(user.claims.x) && client.ip != ''", True),
        ("'x' in request.headers", True),
        ("has(request.headers.x)", True),
        ("user.token_age > duration('1h')", False),
        ("has(user.token_age)", False),
        ("has(request.headers)", False),
        ("request.headers['x'] == 'y'", False),
        ("request.headers[?'x'].hasValue()", False),
        ("user.sub in request.headers", False),
        ("request.headers.exists(name, name == 'x')", False),
        ("request.host == 'a'", False),
        ("session.id == 'a'", False),
        ("source.ip == 'a'", False),
        ("now > timestamp(0)", False),
        ("cel.bind(r, request, r.host == 'a')", False),
    ],
)
def test_only_what_reads_the_caller_the_method_and_names_of_headers_is_steady(source: str, is_so: bool) -> None:
    assert is_steady(cel.compile(source, variables=NAMES).tree) is is_so
