"""Conditions that are told from a request itself: they come to what their expressions come to, errors included."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy.making import KEY, NOW, WEB, caller, compiled, definitions, document, http, one_line_each, rule, tcp

from extauthz import cel
from extauthz.policy.comparisons import MOST_DEFINED, Comparison, comparison_of
from extauthz.policy.context import NAMES, Inputs, RequestScope
from extauthz.policy.decide import decide
from extauthz.policy.policy_set import PolicySet
from extauthz.values.decisions import Evaluation
from extauthz.values.grants import Facts
from extauthz.values.request import RequestView

IDENTITY = caller(sub="alice", workload=WEB)
HEADERS: tuple[dict[str, str | list[str]], ...] = (
    {},
    {"x-a": "1"},
    {"x-a": "2", "x-b": "1"},
    {"X-A": "", "x-b": "1"},
    {"x-a": ["1", "1"]},
    {"x-a": ["1", "2"]},
)
PATHS = ("/a/1", "/a/2?id=1", "/a/%31", "/a/1/b/2", "/a/2/c/1", "/c/1", "/c/a/1")

_DECODED = tuple(http(path, headers=headers) for path, headers in product(PATHS, HEADERS))
REQUESTS = (*_DECODED, *map(one_line_each, _DECODED))
READS = (
    'request.headers["x-a"]',
    'request.headers["X-a"]',
    "request.headers.x_b",
    'request.headers["x-b"]',
    "request.params.id",
    'request.params["id"]',
    "request.params.rest",
    "request.path",
    "user.sub",
)
TESTS = (
    '{} == "1"',
    '"1" == {}',
    '{} != "1"',
    '"2" != {}',
    '{} in ["1", "2", "1"]',
    "{} in ['']",
    "{} in []",
    '!({} in ["1"])',
    '{} == "1" || request.headers["x-b"] == "1"',
)
PLACES = (
    ["/a/{id}", "/a/{id}/b/{rest}"],
    ["/a/{id}/c/{rest}"],
    ["/{any}/{id}"],
    ["/a/{id}", "/{any}/{id}"],
    ["/c/{rest=**}"],
)


def decided(policies: PolicySet, request: RequestView, *, plainly: bool) -> Evaluation:
    """The decision; `plainly` by evaluating every condition, as of a record."""
    return decide(
        policies.candidates(request, IDENTITY),
        request=request,
        identity=IDENTITY,
        facts=Facts(),
        now=NOW,
        binding_keys=(KEY,),
        scope=RequestScope(Inputs(request, IDENTITY, Facts(), NOW)) if plainly else None,
    )


def _may_read(paths: list[str], read: str) -> bool:
    """Whether a rule for these paths may read this: what it captures on all of them."""
    if not read.startswith("request.params"):
        return True
    name = read.removeprefix("request.params").strip('.[]"')
    return all(f"{{{name}" in path for path in paths)


rules = st.builds(
    lambda seen, test, effect: rule("r", effect, paths=seen[0], when=test.format(seen[1])),
    seen=st.sampled_from([(paths, read) for paths, read in product(PLACES, READS) if _may_read(paths, read)]),
    test=st.sampled_from(TESTS),
    effect=st.sampled_from(["allow", "deny"]),
)


@given(
    found=st.lists(rules, min_size=1, max_size=5), asked=st.lists(st.sampled_from(REQUESTS), min_size=4, max_size=20)
)
def test_what_a_request_tells_is_what_its_expression_comes_to(
    found: list[dict[str, object]], asked: list[RequestView]
) -> None:
    policies = compiled(document("p", *({**one, "name": f"r{number}"} for number, one in enumerate(found))))
    for request in asked:
        assert decided(policies, request, plainly=False) == decided(policies, request, plainly=True)


def test_of_a_recorded_request_nothing_is_told_but_what_its_scope_shows() -> None:
    policies = compiled(document("p", rule("r", "allow", when='request.headers["x-a"] == "1"')))
    as_written, as_shown = http(headers={"x-a": "1"}), http(headers={"x-a": "2"})
    found = decide(
        policies.candidates(as_written, IDENTITY),
        request=as_written,
        identity=IDENTITY,
        facts=Facts(),
        now=NOW,
        binding_keys=(KEY,),
        scope=RequestScope(Inputs(as_shown, IDENTITY, Facts(), NOW)),
    )
    assert found.decision.reason == "no-rule-allows"


def test_a_tcp_check_tells_nothing_of_headers() -> None:
    policies = compiled(document("p", rule("r", "deny", when='request.headers["x-a"] != "1"')))
    found = decided(policies, tcp(), plainly=False)
    assert found == decided(policies, tcp(), plainly=True)
    assert found.decision.reason == "policy-error"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('request.headers["X-A"] == "1"', ("header", "x-a", {"1"}, True)),
        ('"1" == request.headers["x-a"]', ("header", "x-a", {"1"}, True)),
        ('request.headers.x != "1"', ("header", "x", {"1"}, False)),
        ('request.params.id in ["1", "2"]', ("capture", "id", {"1", "2"}, True)),
        ("request.params.id in []", ("capture", "id", set(), True)),
        ('request.params["id"] == "1"', ("capture", "id", {"1"}, True)),
        ('request.header_values["x"] == ["1"]', None),
        ('request.header_values["x"][0] == "1"', None),
        ('request.query["x"] == "1"', None),
        ('request.headers[?"x"] == optional.of("1")', None),
        ('dyn(request.headers["x"]) == 1', None),
        ('dyn(request.headers["x"]) in ["1", 1]', None),
        ('request.headers["x"] in ["1", request.host]', None),
        ('request.headers[request.host] == "1"', None),
        ('request.headers["x"] == request.headers["y"]', None),
        ('"x" in request.headers', None),
        ("has(request.headers.x)", None),
        ('request.headers["x"] < "1"', None),
        ('!(request.headers["x"] == "1")', None),
        ('request.headers["x"] == "1" && true', None),
        ('[{"headers": {"x": "1"}}].exists(request, request.headers["x"] == "1")', None),
        ("true", None),
    ],
)
def test_a_comparison_is_known_by_its_form(source: str, found: tuple[object, ...] | None) -> None:
    tree = cel.compile(source, variables=NAMES, nan_ordering_is_error=True).tree
    assert comparison_of(tree) == (None if found is None else Comparison(*found))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("request.headers.a == definitions.one", ("header", "a", {"1"}, True)),
        ("definitions.one != request.params.id", ("capture", "id", {"1"}, False)),
        ("request.headers.a in definitions.few", ("header", "a", {"1", "2"}, True)),
        ('request.headers.a in [definitions.one, "3"]', ("header", "a", {"1", "3"}, True)),
        ("request.headers.a in definitions.many", None),
        ("dyn(request.headers.a) == definitions.number", None),
        ("dyn(request.headers.a) in definitions.numbers", None),
        ("definitions.one in definitions.few", None),
    ],
)
def test_definitions_are_compared_with_as_what_they_say(source: str, found: tuple[object, ...] | None) -> None:
    many = [str(number) for number in range(MOST_DEFINED + 1)]
    known = definitions(
        "d", lists={"few": ["1", "2"], "many": many, "numbers": [1, 2]}, constants={"one": "1", "number": 1}
    )
    (one,) = compiled(document("p", rule("r", "allow", paths=["/{id}"], when=source)), known).rules
    assert one.comparison == (None if found is None else Comparison(*found))  # type: ignore[arg-type]
