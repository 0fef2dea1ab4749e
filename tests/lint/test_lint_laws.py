"""What a warning claims is true in every decision: policies, requests and callers are generated."""

import cProfile
import itertools
import json
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from policy.making import NOW, WEB, Document, caller, document, evaluate, http, pathless, rule, tcp

from extauthz.policy.compile import compile_documents
from extauthz.policy.lint.findings import Finding
from extauthz.policy.lint.run import lint
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.yaml_source import load_documents
from extauthz.values.decisions import Allow
from extauthz.values.request import RequestView

lawful = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Values that may be absent, and tests of them; conditions are built of both.
READS = (
    'user.sub == "u1"',
    'user.verified_by == "idp"',
    'user.claims.tenant == "t1"',
    'user.claims["tenant"] != "t1"',
    '"staff" in user.groups',
    'request.headers["x-tier"] == "gold"',
    'request.query.amount == "5"',
    'request.json.amount == "5"',
    'request.params.x == "a"',
    'workload.namespace == "shop"',
    f'workload.id == "{WEB}"',
    'context.tenant == "t1"',
    "variables.amount == '5'",
    "request.headers.all(k, request.headers[k] != 'gold')",
    "[user.claims].exists(c, c.tenant == 't1')",
)
TESTS = (
    "has(user.sub)",
    "has(user.claims)",
    "has(user.claims.tenant)",
    "has(user.groups)",
    '"x-tier" in request.headers',
    "has(request.query.amount)",
    "has(request.json.amount)",
    "has(request.params.x)",
    "has(workload.namespace)",
    "has(workload.id)",
    '"tenant" in context',
    "variables.known",
    'request.headers[?"X-Tier"].hasValue()',
    "user.?claims.?tenant.hasValue()",
)
LITERALS = (
    'request.method == "GET"',
    'request.method != "POST"',
    'request.method in ["POST", "PUT"]',
    'request.host == "app.example"',
    'request.host == "b.app.example"',
    'request.path == "/a"',
    'request.path == "/a/b/"',
    'request.path.startsWith("/a")',
    'request.path.startsWith("/a/")',
    'request.path.startsWith("/b")',
    "request.headers.size() > 2",
    "request.headers.size() <= 2",
    "request.headers.size() < 1",
    "true",
    "false",
)
TEMPLATES = ("/", "/a", "/{x}", "/a/{x}", "/*/b", "/a/**", "/**")
HOSTS = ("app.example", "b.app.example", "*.app.example")
METHODS = ("GET", "POST", "PUT", "OPTIONS", "CONNECT")
WORKLOADS = (
    WEB,
    "spiffe://prod.example.org/ns/*/sa/web",
    "spiffe://prod.example.org/**",
    "spiffe://dev.example.org/**",
)
VARIABLES = {"amount": "request.json.amount", "known": "has(user.sub) && has(user.claims.tenant)"}


def conditions(*parts: tuple[str, ...]) -> st.SearchStrategy[str]:
    whole = st.sampled_from([one for some in parts for one in some])
    return st.recursive(
        whole,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda two: f"({two[0]} && {two[1]})"),
            st.tuples(inner, inner).map(lambda two: f"({two[0]} || {two[1]})"),
            inner.map(lambda one: f"!({one})"),
            st.tuples(inner, inner, inner).map(lambda three: f"({three[0]} ? {three[1]} : {three[2]})"),
        ),
        max_leaves=5,
    )


def some(choices: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(choices), min_size=1, max_size=2, unique=True)


@st.composite
def rules(
    draw: st.DrawFn,
    effects: tuple[str, ...] = ("allow", "allow", "deny", "challenge", "approve"),
    when: st.SearchStrategy[str] | None = None,
) -> Document:
    effect = draw(st.sampled_from(effects))
    made = rule(draw(st.sampled_from("abcdefgh")), effect)
    for field, choices in (("hosts", HOSTS), ("methods", METHODS), ("paths", TEMPLATES), ("workloads", WORKLOADS)):
        if draw(st.integers(0, 2)) == 0:
            made[field] = draw(some(choices))
    if draw(st.integers(0, 2)) > 0:
        made["when"] = draw(when if when is not None else conditions(READS, TESTS, LITERALS))
    if draw(st.integers(0, 5)) == 0:
        made["mode"] = draw(st.sampled_from(("shadow", {"enforce_for": {"percent": 50}})))
    if draw(st.integers(0, 5)) == 0:
        made["expires"] = draw(st.sampled_from(("2020-01-01T00:00:00Z", "2035-01-01T00:00:00Z")))
        if effect != "allow":
            made["expires_opens"] = True
    if not {"hosts", "methods", "paths"} & set(made) and draw(st.booleans()):
        made["tcp"] = True
    return made


def rule_sets(**more: Any) -> st.SearchStrategy[list[Document]]:
    return st.lists(rules(**more), min_size=1, max_size=6, unique_by=lambda one: one["name"])


# What requests and callers are made of. One is drawn at once: a draw for each of its parts takes most of the time.
REQUESTS = tuple(
    itertools.product(
        ("app.example", "b.app.example", "c.b.app.example", "other.test"),
        (*METHODS, "HEAD", "DELETE"),
        ("/", "/a", "/b", "/a/b", "/a/b/", "/a/a", "/c/b", "/a/b/c", "/x/y/z"),
        ("", "?amount=5"),
        ({}, {"x-tier": "gold"}),
        (b"{}", b'{"amount": "5"}'),
        ({}, {"tenant": "t1"}),
    )
)
CALLERS = tuple(
    caller(sub=sub, workload=workload, groups=groups, claims=claims)
    for sub, workload, groups, claims in itertools.product(
        (None, "u1", "u2"),
        (
            None,
            WEB,
            "spiffe://prod.example.org/ns/pay/sa/web",
            "spiffe://prod.example.org/x",
            "spiffe://dev.example.org/x",
        ),
        ((), ("staff",)),
        ({}, {"tenant": "t1"}, {"tenant": "t2"}),
    )
)


@st.composite
def requests(draw: st.DrawFn) -> RequestView:
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return tcp(source_ip="192.0.2.7")
    host, method, path, query, headers, body, context = draw(st.sampled_from(REQUESTS))
    path += query
    if kind == 1:
        method, path = draw(st.sampled_from(pathless(host)))
    sent = {"content-type": "application/json", **headers}
    return http(path, method=method, host=host, headers=sent, body=body, context=context)


# Drawn only where something is warned of, which most policies give no reason for.
asked = st.lists(st.tuples(requests(), st.sampled_from(CALLERS)), min_size=25, max_size=25)


def linted(own: list[Document]) -> tuple[PolicySet, tuple[Finding, ...]]:
    documents = load_documents(json.dumps(document("p", *own, variables=VARIABLES)), "policies.yaml")
    policies = compile_documents(documents)
    return policies, lint(documents, policies, now=NOW)


def warned(findings: tuple[Finding, ...], kind: str) -> set[str]:
    names = {one.rule for one in findings if one.kind == kind}
    event(f"{kind}: {bool(names)}")
    return names


@lawful
@given(rule_sets(when=st.sampled_from(("true", "has(user.sub)", "has(user.claims.tenant)"))), st.data())
def test_a_rule_that_is_called_unreachable_decides_nothing(own: list[Document], data: st.DataObject) -> None:
    policies, findings = linted(own)
    unreachable = warned(findings, "unreachable-rule")
    rest = [one for one in own if f"p/{one['name']}" not in unreachable]
    without = linted(rest)[0]
    for request, identity in data.draw(asked) if unreachable else ():
        decision = evaluate(policies, request, identity).decision
        assert decision.rule not in unreachable
        assert decision == evaluate(without, request, identity).decision


@lawful
@given(rule_sets(effects=("allow", "deny"), when=st.sampled_from(("true", "has(user.sub)"))), st.data())
def test_a_rule_that_is_called_redundant_lets_nothing_more_or_less_through(
    own: list[Document], data: st.DataObject
) -> None:
    policies, findings = linted(own)
    found = warned(findings, "redundant-rule")
    questions = data.draw(asked) if found else []
    for redundant in found:
        without = linted([one for one in own if f"p/{one['name']}" != redundant])[0]
        for request, identity in questions:
            passes = isinstance(evaluate(policies, request, identity).decision, Allow)
            assert passes == isinstance(evaluate(without, request, identity).decision, Allow)


@lawful
@given(rule_sets(when=conditions(LITERALS, TESTS, READS[:3])), st.data())
def test_a_condition_that_is_called_contradictory_is_never_true(own: list[Document], data: st.DataObject) -> None:
    policies, findings = linted(own)
    never = warned(findings, "contradictory-condition")
    for request, identity in data.draw(asked) if never else ():
        matched = {one.rule for one in evaluate(policies, request, identity).rules if one.result == "match"}
        assert not matched & never


@lawful
@given(rule_sets(when=st.just("has(user.sub)")), st.data())
def test_what_a_guard_without_allows_covers_is_never_allowed(own: list[Document], data: st.DataObject) -> None:
    policies, findings = linted(own)
    alone = warned(findings, "unreachable-guard")
    for request, identity in data.draw(asked) if alone else ():
        evaluation = evaluate(policies, request, identity)
        if alone & {one.rule for one in evaluation.rules}:
            assert not isinstance(evaluation.decision, Allow)


@lawful
@given(rules(effects=("allow",), when=conditions(READS, TESTS)), st.data())
def test_an_allow_without_a_warning_of_absent_values_never_errs(one: Document, data: st.DataObject) -> None:
    one = {name: value for name, value in one.items() if name not in ("mode", "expires")}
    policies, findings = linted([one])
    clean = not warned(findings, "absent-value")
    for request, identity in data.draw(asked) if clean else ():
        errors = [result.error for result in evaluate(policies, request, identity).rules]
        assert errors in ([], [None])


VALUES = ("user.sub", "request.params.x", "user.claims.tenant", 'request.headers[?"x-tier"].orValue("none")')


@lawful
@given(st.sampled_from(VALUES), conditions(TESTS), st.sampled_from(TEMPLATES), st.data())
def test_an_allow_without_a_warning_of_absent_values_changes_what_it_says(
    value: str, when: str, path: str, data: st.DataObject
) -> None:
    policies, findings = linted([rule("a", "allow", when=when, paths=[path], allow={"headers": {"x-a": value}})])
    clean = not warned(findings, "absent-value")
    for request, identity in data.draw(asked) if clean else ():
        evaluation = evaluate(policies, request, identity)
        assert [one.error for one in evaluation.rules] in ([], [None])


@lawful
@given(rule_sets(), st.data())
def test_an_allow_that_is_not_called_open_lets_nobody_through_unasked(own: list[Document], data: st.DataObject) -> None:
    policies, findings = linted(own)
    opened = warned(findings, "open-allow")
    written = {f"p/{one['name']}": one for one in own}
    questions = data.draw(asked) if opened else []
    for name in opened:
        assert "workloads" not in written[name]
        for request, identity in questions:
            results = {one.rule: one.result for one in evaluate(policies, request, identity).rules}
            assert results.get(name, "match") == "match"
    for name, one in written.items():
        if one["effect"] == "allow" and "when" not in one and "workloads" not in one:
            expired = one.get("expires", "").startswith("2020")
            assert (name in opened) is not expired


def many(size: int) -> list[Document]:
    """As many allows as guards, on paths of their own on one host, below one allow for all."""
    own = [rule("all", "allow", paths=["/health/**"], when="has(user.sub)")]
    for number in range(size):
        path = [f"/v1/service{number}/{{id}}"]
        own.append(rule(f"allow{number}", "allow", paths=path, when="has(user.sub)"))
        own.append(rule(f"guard{number}", "challenge", paths=path, when="request.params.id == '13'"))
    return own


def test_the_work_grows_with_the_rules_and_not_with_their_pairs() -> None:
    """In calls of Python functions, which don't depend on the machine."""
    calls = []
    for size in (50, 200):
        documents = load_documents(json.dumps(document("p", *many(size))), "policies.yaml")
        policies = compile_documents(documents)
        profile = cProfile.Profile()
        assert profile.runcall(lint, documents, policies, now=NOW) == ()
        calls.append(sum(entry.callcount for entry in profile.getstats()))
    assert calls[1] < 4.4 * calls[0]
