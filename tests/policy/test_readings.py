"""What is remembered of a decision by what its conditions see of a request: it is the same as what is worked out."""

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given, settings
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
    stood,
)

from extauthz.policy.candidates import Candidates
from extauthz.policy.context import Inputs, RequestScope
from extauthz.policy.decide import decide
from extauthz.policy.plan import MOST_KEPT, Plan
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.readings import MOST_CONTEXTS
from extauthz.policy.seen import MOST_TEXTS, MOST_VARIABLES
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
CONTEXTS: tuple[dict[str, str], ...] = ({"tenant": "1"}, {"tenant": "2"}, {"tenant": "3"}, {"other": "1"})
REQUESTS = (
    *map(one_line_each, ASKED),
    *ASKED[:4],
    one_line_each(http("/a/1", "PUT", headers=HEADERS[1])),
    *(one_line_each(http("/a/1", headers=HEADERS[1], context=context)) for context in CONTEXTS),
)
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
    'context.tenant == "1"',
    "user.claims.tenant == context.tenant",
    '"tenant" in context',
    "request.params.id in definitions.few",
    'request.headers["x-b"] == definitions.one',
    "definitions.one != request.headers.x_b",
    "variables.plain",
    "variables.captured",
    "1 / 0 == 1",
    "true",
)
VARIABLES = {
    "plain": 'request.headers["x-a"] == "1" || variables.whose',
    "whose": 'has(user.sub) && context.tenant == "2"',
    "captured": 'request.params.id == "2" && request.headers["x-b"] == "1"',
    "more": "request.path",
}
MORE = (
    'variables.more == "/a/2"',
    'request.query.n == "1"',
    'request.path == "/a/2"',
    "user.token_age > duration('1h')",
)
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


def decided(policies: PolicySet, request: RequestView, identity: Identity, now: float = NOW) -> Evaluation:
    return decide(policies.candidates(request, identity), request, identity, Facts(), now, (KEY,))


def decided_anew(policies: PolicySet, request: RequestView, identity: Identity, now: float = NOW) -> Evaluation:
    """The same with nothing remembered at all, every condition evaluated."""
    plan = policies.candidates(request, identity).plan
    fresh = Candidates(Plan(plan._found, plan.modes))
    scope = RequestScope(Inputs(request, identity, Facts(), now))
    return decide(fresh, request, identity, Facts(), now, (KEY,), scope)


def policies_of(*whole: Document) -> PolicySet:
    known = definitions("d", lists={"people": ["alice"], "few": ["1", "3"]}, constants={"one": "1"})
    captures = any("{id}" in str(one.get("paths")) for one in whole)
    variables = {name: source for name, source in VARIABLES.items() if captures or name != "captured"}
    return compiled(document("p", *whole, variables=variables), known)


@settings(max_examples=300)
@given(
    found=st.lists(rules, min_size=1, max_size=4),
    requests=st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=6, unique_by=id),
    identities=st.lists(st.sampled_from(CALLERS), min_size=1, max_size=2, unique_by=id),
    rounds=st.sampled_from([(NOW, NOW, NOW), (NOW, NOW, NOW + 3_600, NOW), (NOW + 3_600, NOW + 3_600, NOW, NOW)]),
)
def test_what_is_remembered_by_what_is_seen_is_what_is_worked_out(
    found: list[Document], requests: list[RequestView], identities: list[Identity], rounds: tuple[float, ...]
) -> None:
    policies = policies_of(*(rule(f"r{number}", **one) for number, one in enumerate(found)))
    for now, request, identity in product(rounds, requests, identities):
        assert decided(policies, request, identity, now) == decided_anew(policies, request, identity, now)


@pytest.mark.parametrize(
    ("when", "effect", "terms", "is_common"),
    [
        ('request.headers["x-a"] == "1" && request.params.id in ["1", "2"]', "allow", {}, True),
        ('"x-b" in request.headers || request.headers["x-a"] == "1"', "deny", {}, True),
        ('request.headers["x-a"] == "1" && user.claims.tenant == "1"', "allow", {}, False),
        ('request.headers["x-a"] == "1"', "allow", {"headers": {"x-sub": "user.sub"}}, False),
        ('request.headers["x-c"] == "1" || request.params.id == "1"', "allow", {}, True),
        ('request.headers["x-c"] == "1"', "allow", {}, False),
        ('context.tenant == "1" && request.headers["x-a"] == "1"', "allow", {}, True),
        ("has(user.sub) && user.claims.tenant == context.tenant", "allow", {}, False),
        ("request.params.id in definitions.few || variables.captured", "allow", {}, True),
        ("variables.plain", "allow", {}, False),
    ],
)
def test_what_is_seen_again_is_not_worked_out_again(when: str, effect: str, terms: Document, is_common: bool) -> None:
    whole = rule("r", effect, paths=["/a/{id}"], when=when, **({"allow": terms} if terms else {}))
    policies = policies_of(whole)
    for number in range(2):
        request = http(f"/a/1?{number}", headers={"x-a": "1"}, context={"tenant": "1"})
        decided(policies, one_line_each(request), CALLERS[1])
    requests = [http("/a/1", headers={"x-a": "1", name: "7"}, context={"tenant": "1"}) for name in "yz"]
    first, second = (decided(policies, one_line_each(request), CALLERS[1]) for request in requests)
    # An evaluation with the text of an error, or for one caller, is made each time that it is not remembered.
    assert first is second
    plan, standing = stood(policies)[0]
    assert standing.known is not None
    assert (standing.known is plan.known) is is_common


def test_what_is_known_of_all_callers_is_known_of_one_who_comes_for_the_first_time() -> None:
    policies = policies_of(rule("r", "allow", when='request.headers["x-a"] == "1" && "x-b" in request.headers'))
    first, *others = [
        decided(policies, one_line_each(http(headers={"x-a": "1", "x-b": name})), caller(sub=name)) for name in "abc"
    ]
    assert all(one is first for one in others)
    assert {id(standing.known) for _, standing in stood(policies)} == {id(None), id(_plan(policies).known)}


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
    (common, first), (own, second) = stood(policies)
    assert common.known is first.known is not None
    assert own.known is None
    assert second.known is not None
    for known, most in ((first.known, MOST_KEPT), (second.known, MOST_SETTLED)):
        assert known._everywhere is not None
        assert len(known._everywhere.evaluations) == most
        assert all(type(number) is int for number in known._everywhere.evaluations)


def test_so_many_contexts_are_remembered_and_none_that_is_long() -> None:
    policies = policies_of(rule("r", "allow", when='context.tenant != "9" && request.headers["x-a"] == "1"'))
    contexts = [{"tenant": "1", "long": "a" * 600}, *({"tenant": str(number)} for number in range(5))]
    for context, _ in product(contexts, range(3)):
        request = one_line_each(http(headers={"x-a": "1"}, context=context))
        assert decided(policies, request, CALLERS[0]) == decided_anew(policies, request, CALLERS[0])
    ((_, standing),) = stood(policies)
    assert standing.known is not None
    assert len(standing.known._within) == MOST_CONTEXTS
    assert all(within.context in contexts[1:] for within in standing.known._within)


def test_an_expression_is_not_looked_through_for_ever() -> None:
    chain = {f"v{number}": f"variables.v{number + 1} || true" for number in range(MOST_VARIABLES)}
    chain[f"v{MOST_VARIABLES}"] = 'request.headers["x-a"] == "1"'
    found = compiled(
        document("p", *(rule(f"r{n}", "allow", when=f"variables.v{n}") for n in range(2)), variables=chain)
    )
    assert [one.seen is None for one in found.rules] == [True, False]


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
    assert [standing.known is None for _, standing in stood(policies)] == [False, True]


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
    ("source", "compared", "names", "reads"),
    [
        ('request.headers["X-A"] == "1" && request.params.id in ["2"]', ["header x-a 1", "capture id 2"], "", ""),
        ('!(request.headers.a != "1") || "X-B" in request.headers', ["header a 1"], "x-b", ""),
        ('has(request.headers.a) ? request.headers.a == "" : user.sub == "x"', ["header a "], "a", "caller"),
        ("user.sub == workload.id", [], "", "caller"),
        ("context == {'a': 'b'} && user.sub == context['b']", [], "", "caller context"),
        ('has(context.a) && request.headers.a in [context.a, "b"]', None, "", ""),
        ("request.headers.a in definitions.few", ["header a 1,3"], "", ""),
        ("definitions.one == request.params.id", ["capture id 1"], "", ""),
        ("request.headers.a in [definitions.one, '2']", ["header a 1,2"], "", ""),
        ("request.headers.a in definitions.few + ['2']", None, "", ""),
        ("variables.plain", ["header x-a 1"], "", "caller context"),
        (
            "variables.plain || variables.captured",
            ["capture id 2", "header x-a 1", "header x-b 1"],
            "",
            "caller context",
        ),
        ("variables.more == '/a'", None, "", ""),
        ('request.headers["a"] == request.headers["b"]', None, "", ""),
        ('request.headers["a"].startsWith("b")', None, "", ""),
        ('request.headers["a"] == user.sub', None, "", ""),
        ('request.headers["a"] < "b" || request.headers["a"] == "b"', None, "", ""),
        ('request.headers["a"] == "1" && request.path == "/"', None, "", ""),
        ('request.params == {"id": "1"} && request.params.id == "1"', None, "", ""),
        ("has(request.params.id)", None, "", ""),
        ('request.headers["a"] == "1" && rate("a", duration("1m")) > 1', None, "", ""),
        ('[request].exists(r, r.headers["a"] == "1")', None, "", ""),
        ('size(request.headers) == 1 || request.headers["a"] == "1"', None, "", ""),
    ],
)
def test_only_what_is_compared_with_texts_of_the_policy_is_told(
    source: str, compared: list[str] | None, names: str, reads: str
) -> None:
    (found,) = policies_of(rule("r", "allow", paths=["/{id}"], when=source)).rules
    seen = found.seen
    if compared is None:
        assert seen is None
        return
    assert seen is not None
    assert sorted(f"{one.of} {one.name} {','.join(sorted(one.texts))}" for one in seen.compared) == sorted(compared)
    assert "".join(seen.names) == names
    assert seen.reads_caller is ("caller" in reads)
    assert seen.reads_context is ("context" in reads)


def _plan(policies: PolicySet) -> Plan:
    (plan,) = {plan for plan, _ in stood(policies)}
    return plan
