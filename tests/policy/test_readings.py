"""What is remembered of a decision by what its conditions see of a request: it is the same as what is worked out."""

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy.making import (
    KEY,
    NOW,
    WEB,
    Document,
    caller,
    compiled,
    definitions,
    document,
    http,
    one_line_each,
    rule,
)

from extauthz.policy.candidates import Candidates
from extauthz.policy.context import Inputs, RequestScope
from extauthz.policy.decide import decide
from extauthz.policy.plan import MOST_KEPT, Plan
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.seen import MOST_TEXTS
from extauthz.policy.standing import MOST_SETTLED
from extauthz.values.decisions import Evaluation
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

CALLERS = (
    Identity(),
    caller(sub="alice", workload=WEB, groups=["staff"], claims={"tenant": "1"}),
    caller(sub="bob", claims={"tenant": 7}),
)
HEADERS: tuple[dict[str, str | list[str]], ...] = (
    {},
    {"x-a": "1"},
    {"x-a": "2", "x-b": "1"},
    {"x-b": "2", "X-A": "1"},
    {"x-a": "", "x-b": "3"},
    {"x-a": ["1", "2"], "x-b": "1"},
)
ASKED = tuple(http(path, headers=headers) for path, headers in product(("/a/1", "/a/2?n=1", "/a/3", "/a/%31"), HEADERS))
REQUESTS = (*map(one_line_each, ASKED), *ASKED[:4], one_line_each(http("/a/1", "PUT", headers=HEADERS[1])))
LEAVES = (
    'request.headers["x-a"] == "1"',
    'request.headers["X-A"] != "2"',
    'request.headers["x-a"] in ["2", "", "3"]',
    'request.headers["x-b"] == "1"',
    'request.headers.x_b == "1"',
    '"x-b" in request.headers',
    "has(request.header_values.x_c) || 'x-a' in request.header_values",
    'request.params.id == "1"',
    'request.params.id in ["2", "1"]',
    'user.claims.tenant == "1"',
    "user.sub in definitions.people",
    'request.method == "PUT"',
    "1 / 0 == 1",
    "true",
)
MORE = ('request.query.n == "1"', 'request.path == "/a/2"', "user.token_age > duration('1h')")
TERMS: tuple[dict[str, dict[str, str]], ...] = (
    {},
    {"headers": {"x-sub": "user.sub"}},
    {"headers": {"x-path": "request.path"}},
)
ENDS = datetime.fromtimestamp(NOW + 1_800, UTC).isoformat()


def joined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} && {})".format, parts, parts),
        st.builds("({} || {})".format, parts, parts),
        st.builds("({} ? {} : {})".format, parts, parts, parts),
        st.builds("!({})".format, parts),
        st.builds("[1, 2].exists(n, n > 1 && {})".format, parts),
    )


conditions = st.recursive(st.sampled_from(LEAVES), joined, max_leaves=4)
rules = st.builds(
    lambda when, effect, terms, mode, ends: {
        **({} if when is None else {"when": when}),
        **({"allow": terms} if effect == "allow" and terms else {}),
        **({"expires": ENDS, **({} if effect == "allow" else {"expires_opens": True})} if ends else {}),
        "effect": effect,
        "mode": mode,
        "paths": ["/a/{id}"],
    },
    when=st.one_of(st.none(), conditions, conditions, conditions, st.sampled_from(MORE)),
    effect=st.sampled_from(["allow", "allow", "allow", "deny", "challenge"]),
    terms=st.sampled_from(TERMS),
    mode=st.sampled_from(["enforce", "enforce", "shadow"]),
    ends=st.sampled_from([False, False, False, True]),
)
asked = st.tuples(st.sampled_from(REQUESTS), st.sampled_from(CALLERS), st.sampled_from([NOW, NOW, NOW, NOW + 3_600]))


def decided(policies: PolicySet, request: RequestView, identity: Identity, now: float = NOW) -> Evaluation:
    return decide(policies.candidates(request, identity), request, identity, Facts(), now, (KEY,))


def decided_anew(policies: PolicySet, request: RequestView, identity: Identity, now: float = NOW) -> Evaluation:
    """The same with nothing remembered at all, every condition evaluated."""
    plan = policies.candidates(request, identity).plan
    assert request.http is not None
    fresh = Candidates(Plan(plan._found, plan.modes), request.http.segments)
    scope = RequestScope(Inputs(request, identity, Facts(), now))
    return decide(fresh, request, identity, Facts(), now, (KEY,), scope)


def policies_of(*whole: Document) -> PolicySet:
    return compiled(document("p", *whole), definitions("d", lists={"people": ["alice"]}))


@given(found=st.lists(rules, min_size=1, max_size=4), times=st.lists(asked, min_size=4, max_size=40))
def test_what_is_remembered_by_what_is_seen_is_what_is_worked_out(
    found: list[Document], times: list[tuple[RequestView, Identity, float]]
) -> None:
    policies = policies_of(*(rule(f"r{number}", **one) for number, one in enumerate(found)))
    for request, identity, now in (*times, *times):
        assert decided(policies, request, identity, now) == decided_anew(policies, request, identity, now)


@pytest.mark.parametrize(
    ("when", "effect", "terms"),
    [
        ('request.headers["x-a"] == "1" && request.params.id in ["1", "2"]', "allow", {}),
        ('"x-b" in request.headers || request.headers["x-a"] == "1"', "deny", {}),
        ('request.headers["x-a"] == "1" && user.claims.tenant == "1"', "allow", {}),
        ('request.headers["x-a"] == "1"', "allow", {"headers": {"x-sub": "user.sub"}}),
        ('request.headers["x-c"] == "1" || request.params.id == "1"', "allow", {}),
        ('request.headers["x-c"] == "1"', "allow", {}),
    ],
)
def test_what_is_seen_again_is_not_worked_out_again(when: str, effect: str, terms: Document) -> None:
    whole = rule("r", effect, paths=["/a/{id}"], when=when, **({"allow": terms} if terms else {}))
    policies = policies_of(whole)
    for number in range(2):
        decided(policies, one_line_each(http(f"/a/1?{number}", headers={"x-a": "1"})), CALLERS[1])
    first, second = (
        decided(policies, one_line_each(http("/a/1", headers={"x-a": "1", name: "7"})), CALLERS[1]) for name in "yz"
    )
    # An evaluation with the text of an error, or for one caller, is made each time that it is not remembered.
    assert first is second
    plan, standing = next(iter(policies._standings.values()))
    assert standing.known is not None
    assert (standing.known is plan.known) is (("user" not in f"{when}{terms}" and "x-c" not in when) or "||" in when)


def test_what_is_known_of_all_callers_is_known_of_one_who_comes_for_the_first_time() -> None:
    policies = policies_of(rule("r", "allow", when='request.headers["x-a"] == "1" && "x-b" in request.headers'))
    first, *others = [
        decided(policies, one_line_each(http(headers={"x-a": "1", "x-b": name})), caller(sub=name)) for name in "abc"
    ]
    assert all(one is first for one in others)
    assert {id(standing.known) for _, standing in policies._standings.values()} == {id(None), id(_plan(policies).known)}


@pytest.mark.parametrize("terms", [{}, {"headers": {"x-sub": "user.sub"}}])
def test_what_depends_on_who_calls_is_known_of_them_alone(terms: Document) -> None:
    """Where callers have in common what reads nothing of them, and where nobody speaks."""
    named = {"allow": terms} if terms else {}
    policies = policies_of(
        rule("r0", "allow", when='request.headers["x-a"] == "1"'),
        rule("r1", "allow", when='request.headers["x-a"] == "2" && "x-b" in request.headers', **named),
    )
    for identity, value in product(CALLERS, ("1", "2", "3") * 3):
        request = one_line_each(http(headers={"x-a": value, "x-b": "1"}))
        assert decided(policies, request, identity) == decided_anew(policies, request, identity)


def test_of_a_recorded_request_nothing_is_known_but_what_its_scope_shows() -> None:
    policies = policies_of(rule("r", "allow", when='request.headers["x-a"] == "1"'))
    as_written, as_shown = (one_line_each(http(headers={"x-a": value})) for value in "12")
    for _ in range(2):
        assert decided(policies, as_written, CALLERS[1]).decision.reason == "allowed"
    scope = RequestScope(Inputs(as_shown, CALLERS[1], Facts(), NOW))
    candidates = policies.candidates(as_written, CALLERS[1])
    found = decide(candidates, as_written, CALLERS[1], Facts(), NOW, (KEY,), scope)
    assert found.decision.reason == "no-rule-allows"


def test_of_what_requests_say_nothing_is_kept_and_no_more_than_there_is_room_for() -> None:
    texts = [str(number) for number in range(12)]
    whens = [f"request.headers['{name}'] in {texts}" for name in ("x-a", "x-b")]
    policies = policies_of(
        rule("r0", "allow", when=whens[0]),
        rule("r1", "allow", when=whens[1]),
        rule("r2", "allow", when="has(user.sub)", paths=["/a"]),
    )
    for path, *values in product(("/", "/a"), texts, [*texts, "another"]):
        request = one_line_each(http(path, headers=dict(zip(("x-a", "x-b"), values, strict=True))))
        for _ in range(3):
            assert decided(policies, request, CALLERS[1]) == decided_anew(policies, request, CALLERS[1])
    (common, first), (own, second) = policies._standings.values()
    assert common.known is first.known is not None
    assert own.known is None
    assert second.known is not None
    for known, most in ((first.known, MOST_KEPT), (second.known, MOST_SETTLED)):
        assert len(known._evaluations) == most
        assert all(type(number) is int for number in known._evaluations)


@pytest.mark.parametrize(
    "whens",
    [
        [f"request.headers['x-a'] in {[str(number) for number in range(MOST_TEXTS)]}"],
        [f"'x-{number}' in request.headers" for number in range(MOST_TEXTS)],
        [f"request.headers['x-{number}'] in []" for number in range(MOST_TEXTS)],
    ],
)
def test_a_place_where_too_much_is_looked_at_is_decided_without_that_memory(whens: list[str]) -> None:
    policies = policies_of(
        *(rule(f"r{number}", "allow", when=when) for number, when in enumerate(whens)),
        rule("s", "deny", when="request.headers['x-1'] == 'n'", paths=["/a"]),
    )
    for path, value in product(("/", "/a"), ("1", "n", "m")):
        request = one_line_each(http(path, headers={f"x-{number}": value for number in ("a", *range(MOST_TEXTS))}))
        for _ in range(3):
            assert decided(policies, request, CALLERS[0]) == decided_anew(policies, request, CALLERS[0])
    assert [standing.known is None for _, standing in policies._standings.values()] == [False, True]


@pytest.mark.parametrize(("errors", "remembered"), [(1, True), (40, False)])
def test_errors_are_remembered_where_they_are_short(errors: int, remembered: bool) -> None:
    erring = [rule(f"r{number}", "allow", when=f"request.headers['x-{number}'] == '1'") for number in range(errors)]
    policies = policies_of(*erring, rule("s", "allow"))
    first, second = (decided(policies, one_line_each(http()), CALLERS[0]) for _ in range(2))
    assert first == second
    assert (first is second) is remembered


def test_threads_that_see_alike_decide_as_one_alone() -> None:
    whens = ('request.headers["x-a"] == "1" && request.params.id == "1"', '"x-b" in request.headers')
    whole = [rule(f"r{n}", "allow", when=when, paths=["/a/{id}"]) for n, when in enumerate(whens)]
    terms = {"headers": {"x-sub": "user.sub"}}
    policies = policies_of(*whole, rule("s", "allow", when="has(user.sub)", allow=terms))
    asked = list(product(REQUESTS, CALLERS))
    anew = [decided_anew(policies, *one) for one in asked]

    def decide_all(first: int) -> list[Evaluation]:
        return [decided(policies, *one) for one in [*asked[first:], *asked[:first]] * 4]

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            firsts = [0, 7, 31, 60]
            for first, found in zip(firsts, threads.map(decide_all, firsts), strict=True):
                assert found == [*anew[first:], *anew[:first]] * 4
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.parametrize(
    ("source", "compared", "names", "reads_caller"),
    [
        ('request.headers["X-A"] == "1" && request.params.id in ["2"]', ["header x-a 1", "capture id 2"], "", False),
        ('!(request.headers.a != "1") || "X-B" in request.headers', ["header a 1"], "x-b", False),
        ('has(request.headers.a) ? request.headers.a == "" : user.sub == "x"', ["header a "], "a", True),
        ("user.sub == workload.id", [], "", True),
        ('request.headers["a"] == request.headers["b"]', None, "", False),
        ('request.headers["a"].startsWith("b")', None, "", False),
        ('request.headers["a"] == user.sub', None, "", False),
        ('request.headers["a"] < "b" || request.headers["a"] == "b"', None, "", False),
        ('request.headers["a"] == "1" && request.path == "/"', None, "", False),
        ('request.params == {"id": "1"} && request.params.id == "1"', None, "", False),
        ("has(request.params.id)", None, "", False),
        ('request.headers["a"] == "1" && rate("a", duration("1m")) > 1', None, "", False),
        ('[request].exists(r, r.headers["a"] == "1")', None, "", False),
        ('size(request.headers) == 1 || request.headers["a"] == "1"', None, "", False),
    ],
)
def test_only_what_is_compared_with_texts_of_the_policy_is_told(
    source: str, compared: list[str] | None, names: str, reads_caller: bool
) -> None:
    (found,) = policies_of(rule("r", "allow", paths=["/{id}"], when=source)).rules
    seen = found.seen
    if compared is None:
        assert seen is None
        return
    assert seen is not None
    assert sorted(f"{one.of} {one.name} {','.join(one.texts)}" for one in seen.compared) == sorted(compared)
    assert "".join(seen.names) == names
    assert seen.reads_caller is reads_caller


def _plan(policies: PolicySet) -> Plan:
    (plan,) = {plan for plan, _ in policies._standings.values()}
    return plan
