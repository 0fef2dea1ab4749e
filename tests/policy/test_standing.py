"""What is remembered of requests that stand alike: it is the same as what is worked out for each of them."""

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import product

import pytest
from changing import replace
from hypothesis import given
from hypothesis import strategies as st
from policy.making import (
    KEY,
    NOW,
    WEB,
    caller,
    compiled,
    definitions,
    document,
    function,
    http,
    risk_model,
    rule,
    signal,
    stood,
)

from extauthz import cel
from extauthz.policy.candidates import Candidates
from extauthz.policy.context import NAMES, Inputs, RequestScope
from extauthz.policy.decide import decide
from extauthz.policy.plan import MOST_KEPT
from extauthz.policy.policy_set import MOST_STANDINGS, PolicySet
from extauthz.policy.standing import MOST_HELD, MOST_SETTLED, names_asked_for
from extauthz.values.decisions import Allow, Evaluation
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
        ({"x-a": "1", "x-b": "1"}, {"x-a": "2", "x-b": "1"}, {"x-c": "1", "x-b": "2"}, {"x-a": ["1", "2"], "x-b": "1"}),
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
    {"headers": {"x-there": "string(has(request.headers.x_c) || 'x-a' in request.headers)"}},
    {"metadata": {"who": "user.claims"}, "headers": {"x-sub": "user.sub"}},
)
ENDS = datetime.fromtimestamp(NOW + 1_800, UTC).isoformat()
PLACES = ({"paths": ["/a/{id}"]}, {"paths": ["/**"]})

rules = st.builds(
    lambda when, place, effect, terms, mode, ends: {
        **({"when": when} if "params" not in when or "{id}" in place["paths"][0] else {"when": "true"}),
        **place,
        **({"allow": terms} if effect == "allow" and terms else {}),
        **({"expires": ENDS, **({} if effect == "allow" else {"expires_opens": True})} if ends else {}),
        "effect": effect,
        "mode": mode,
    },
    when=st.sampled_from(CONDITIONS),
    place=st.sampled_from(PLACES),
    effect=st.sampled_from(["allow", "allow", "deny", "challenge"]),
    terms=st.sampled_from(TERMS),
    mode=st.sampled_from(["enforce", "enforce", "shadow"]),
    ends=st.sampled_from([False, False, True]),
)
asked = st.tuples(st.sampled_from(REQUESTS), st.sampled_from(CALLERS), st.sampled_from([NOW, NOW + 3_600]))


def decided(policies: PolicySet, request: RequestView, identity: Identity, now: float, *, alone: bool) -> Evaluation:
    """The decision, `alone` without what is remembered of others that stand alike."""
    candidates = policies.candidates(request, identity)
    return decide(
        Candidates(candidates.plan) if alone else candidates,
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


def test_more_callers_than_are_remembered_are_decided_alike() -> None:
    policies = compiled(document("p", rule("r", "allow", when='user.sub.startsWith("a")')))
    names = [f"{'ab'[number % 2]}{number}" for number in range(MOST_STANDINGS + 100)]
    for name in (*names, *names[:100]):
        reason = decided(policies, REQUESTS[0], caller(sub=name), NOW, alone=False).decision.reason
        assert (reason == "allowed") is name.startswith("a")
        assert len(policies._standings) <= MOST_STANDINGS
    assert len(policies._standings) == MOST_STANDINGS


def test_plans_that_nobody_shares_are_kept_for_nobody() -> None:
    last = MOST_KEPT + 1
    staged = [rule(f"r{n}", "allow", mode={"enforce_for": {"subjects": [f"u{n}"]}}) for n in range(last + 1)]
    policies = compiled(document("p", *staged))
    for n in (*range(last + 1), 0, last):
        found = decided(policies, REQUESTS[0], caller(sub=f"u{n}"), NOW, alone=False).decision
        assert found == decided(policies, REQUESTS[0], caller(sub=f"u{n}"), NOW, alone=True).decision
        assert isinstance(found, Allow)
    assert len({id(known) for known, _ in stood(policies)}) == MOST_KEPT


def test_threads_that_decide_together_decide_as_one_alone() -> None:
    when = [CONDITIONS[0], CONDITIONS[6], CONDITIONS[9], CONDITIONS[11]]
    whole = [rule(f"r{n}", "allow", when=one, allow={"headers": {f"x-{n}": "user.sub"}}) for n, one in enumerate(when)]
    policies = compiled(document("p", *whole))
    asked = [(request, identity) for identity in CALLERS for request in REQUESTS]
    alone = [decided(policies, *one, NOW, alone=True) for one in asked]

    for number in range(MOST_STANDINGS):  # so that one goes for each that comes
        policies.candidates(REQUESTS[0], caller(sub=f"other-{number}"))

    def decide_all(first: int) -> list[Evaluation]:
        turned = [*asked[first:], *asked[:first]] * 4
        return [decided(policies, request, identity, NOW, alone=False) for request, identity in turned]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            firsts = [0, 7, 31, 60]
            for first, found in zip(firsts, threads.map(decide_all, firsts), strict=True):
                assert found == [*alone[first:], *alone[:first]] * 4
    finally:
        sys.setswitchinterval(interval)


def test_what_a_client_chooses_is_remembered_neither_often_nor_where_it_is_long() -> None:
    questions = [f'request.query.q{n} == "1"' for n in range(6)]
    names = [f'"x-{n}" in request.headers' for n in range(6)]
    whole = [rule(f"r{n}", "deny", when=when) for n, when in enumerate((*questions[1:], *names[1:]))]
    shown = {"headers": {"x-who": "user.claims.long"}}
    policies = compiled(
        document(
            "p", *whole, rule("short", "allow", when=questions[0]), rule("long", "allow", when=names[0], allow=shown)
        )
    )
    identity = caller(sub="a", claims={"long": "a" * 600})
    for query, header in product(range(64), range(64)):
        headers = {f"x-{n}": "1" for n in range(6) if header >> n & 1} | {f"x-by-chance-{query}": "1", "x-x": "1"}
        request = http("/?" + "&".join(f"q{n}={query >> n & 1}" for n in range(6)), headers=headers)
        decided(policies, request, identity, NOW, alone=False)
    ((_, standing),) = stood(policies)
    assert len(standing.held) == MOST_HELD
    assert len(standing.settled) <= MOST_SETTLED
    assert not any(
        isinstance(one.decision, Allow) and one.decision.mutations.headers for one in standing.settled.values()
    )


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("true", []),
        ("user.sub == workload.id", []),
        ("has(user.claims.x) && client.ip != ''", []),
        ("'X-Y' in request.headers", ["x-y"]),
        ("has(request.headers.x) && has(request.header_values.Y)", ["x", "y"]),
        ("has(request.headers.x) && user.sub == 'a'", ["x"]),
        ("has(request.headers.x) && request.host == 'a'", None),
        ("user.token_age > duration('1h')", None),
        ("has(user.token_age)", None),
        ("user.?token_age.hasValue()", None),
        ("has(request.headers)", None),
        ("request.headers['x'] == 'y'", None),
        ("request.headers[?'x'].hasValue()", None),
        ("request.?headers.x.hasValue()", None),
        ("user.sub in request.headers", None),
        ("request.headers.exists(name, name == 'x')", None),
        ("request.host == 'a'", None),
        ("session.id == 'a'", None),
        ("source.ip == 'a'", None),
        ("now > timestamp(0)", None),
        ("cel.bind(r, request, r.host == 'a')", None),
        ("[user].exists(user, user.token_age > duration('1h'))", None),
    ],
)
def test_only_what_reads_the_caller_the_method_and_names_of_headers_is_steady(
    source: str, names: list[str] | None
) -> None:
    found = names_asked_for(cel.compile(source, variables=NAMES).tree)
    assert (None if found is None else sorted(found)) == names


def test_what_is_steady_is_the_same_in_every_other_request_of_the_caller() -> None:
    headers = ["x-a", "x-forwarded-for"]
    one = http("/a?n=1", "PUT", "a.example", headers=dict.fromkeys(headers, "1"), body=b"{}", source_ip="192.0.2.1")
    other = http("/b?n=2", "PUT", "b.example", headers=dict.fromkeys(headers, "2"), source_ip="192.0.2.2")
    other = replace(other, time=(7, 7), sni="b.example", context={"tenant": "t"}, metadata={"filter": {"a": 1}})
    who = caller(sub="u1", workload=WEB, issued_at=int(NOW) - 9, auth_time=int(NOW) - 9, actor={"sub": "x"}, acr="1")
    facts = Facts(geo={"country": "CH"}, device={"id": "d", "known": True, "age": 1.0}, attributes={"a": {"b": 1}})
    scopes = [RequestScope(Inputs(one, who, Facts(), NOW)), RequestScope(Inputs(other, who, facts, NOW + 100))]
    steady = set()
    for name, kind in NAMES.items():
        fields = kind.fields if isinstance(kind, cel.StructType) else {}
        for source in (name, *(form.format(name, field) for field in fields for form in ("{}.{}", "has({}.{})"))):
            program = cel.compile(source, variables=NAMES)
            if names_asked_for(program.tree) is not None:
                steady.add(source)
                assert told(program, scopes[0]) == told(program, scopes[1]), source
    assert {source.split(".")[0] for source in steady if "has" not in source} == {
        "user",
        "workload",
        "client",
        "request",
    }
    assert {"user.sub", "has(user.auth_time)", "workload.id", "client.ip", "request.method"} <= steady


def told(program: cel.Program, scope: RequestScope) -> object:
    try:
        return program(scope)
    except cel.EvalError as error:
        return str(error)


@pytest.mark.parametrize(
    "when",
    [
        'rate("k", duration("1m")) > 1',
        'seen("k")',
        'listed("192.0.2.7", "offices")',
        "variables.late",
        "definitions.old(now)",
        'within(now, "night")',
    ],
)
def test_what_asks_or_reads_indirectly_is_not_steady(when: str) -> None:
    known = definitions(
        "d",
        functions={"old": function("moment > timestamp(0)", moment="timestamp")},
        addresses={"offices": ["192.0.2.0/24"]},
        windows={"night": {"zone": "Europe/Zurich", "hours": [{"from": "20:00", "to": "06:00"}]}},
    )
    variables = {"late": "now > timestamp(0)"}
    (found,) = compiled(document("p", rule("r", "allow", when=when), variables=variables), known).rules
    assert found.asks_for is None
