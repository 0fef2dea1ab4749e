"""Whose candidates were found lately: what is found again is what is found by those who never looked before."""

import pickle
from dataclasses import replace as renewed
from itertools import product
from typing import Any

from changing import replace
from hypothesis import given
from hypothesis import strategies as st
from policy.making import WEB, caller, compiled, document, http, rule, tcp

from extauthz.policy.policy_set import PolicySet
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

RULES = (
    rule("any", "allow"),
    rule("written", "allow", methods=["POST"], paths=["/a/{id}"]),
    rule("read", "allow", methods=["GET"], paths=["/a/{id}", "/b"]),
    rule("below", "deny", paths=["/a/**"], workloads=[WEB]),
    rule("staged", "deny", mode={"enforce_for": {"subjects": ["alice"]}}, paths=["/a/{id}"]),
    rule("star", "allow", hosts=["b.app.example"], paths=["/*/x"]),
)
POLICIES = compiled(document("p", *RULES))
CALLERS = (Identity(), caller(sub="alice"), caller(sub="alice"), caller(sub="bob"), caller(sub="bob", workload=WEB))
HOSTS = ("app.example", "b.app.example", "c.example")
ASKED: tuple[RequestView, ...] = tuple(
    http(path, method, host=host)
    for path, method, host in product(("/a/1", "/a/2", "/b", "/b/x", "/"), ("GET", "POST", "PUT"), HOSTS)
)


def other_texts(request: RequestView) -> RequestView:
    """The same, of which no text is the very same object."""
    assert request.http is not None
    texts = {name: f" {getattr(request.http, name)}"[1:] for name in ("host", "method", "path")}
    segments = tuple(f" {segment}"[1:] for segment in request.http.segments)
    return replace(request, http=replace(request.http, segments=segments, **texts))


def found(policies: PolicySet, request: RequestView, identity: Identity) -> Any:
    candidates = policies.candidates(request, identity)
    assert candidates.standing is None or candidates.standing.identity is identity
    return [(item.rule.name, dict(item.params), item.mode) for item in candidates.items(request)]


asked = st.tuples(st.sampled_from([*ASKED, tcp()]) | st.sampled_from(ASKED).map(other_texts), st.sampled_from(CALLERS))


@given(st.lists(asked, min_size=2, max_size=12))
def test_what_is_found_again_is_what_is_found_first(times: list[tuple[RequestView, Identity]]) -> None:
    policies = renewed(POLICIES)
    for request, identity in (*times, *times):
        assert found(policies, request, identity) == found(renewed(POLICIES), request, identity)


def test_options_asterisk_is_no_path_however_often_it_comes() -> None:
    policies = renewed(POLICIES)
    asterisk, root = http("*", "OPTIONS", host="app.example"), http("/", "OPTIONS", host="app.example")
    for _ in range(3):
        for request in (asterisk, root):
            assert found(policies, request, CALLERS[0]) == found(renewed(POLICIES), request, CALLERS[0])


def test_whoever_comes_again_stands_where_they_stood() -> None:
    policies = renewed(POLICIES)
    first, other = ASKED[0], other_texts(ASKED[0])
    assert first.http is not None
    standings = [policies.candidates(one, CALLERS[1]).standing for one in (first, other, first, first)]
    assert standings[0] is not None
    assert all(one is standings[0] for one in standings)
    again = policies.recent.candidates(first.http, CALLERS[1])
    assert again is not None
    assert again.standing is standings[0]


def test_nobody_is_remembered_who_stands_where_nothing_is_kept() -> None:
    staged = [rule(f"r{n}", "allow", mode={"enforce_for": {"subjects": [f"u{n}"]}}) for n in range(80)]
    policies = compiled(document("p", *staged))
    for n in range(80):
        identity = caller(sub=f"u{n}")
        for _ in range(3):
            candidates = policies.candidates(ASKED[0], identity)
            obeyed = [item.rule.name for item in candidates.items(ASKED[0]) if item.mode == "enforce"]
            assert obeyed == [f"p/r{n}"]


def test_policies_that_were_asked_travel_as_if_nobody_had_been_there() -> None:
    policies = renewed(POLICIES)
    for _ in range(3):
        found(policies, ASKED[0], CALLERS[0])
    travelled = pickle.loads(pickle.dumps(policies.recent))  # noqa: S301 - written here
    assert ASKED[0].http is not None
    assert travelled.candidates(ASKED[0].http, CALLERS[0]) is None


def test_however_many_callers_take_turns_each_stands_alone() -> None:
    policies = renewed(POLICIES)
    callers = [caller(sub=f"u{n}") for n in range(600)]
    for _ in range(3):
        for identity in callers:
            standing = policies.candidates(ASKED[0], identity).standing
            assert standing is not None
            assert standing.identity is identity


def test_however_many_hosts_and_paths_take_turns_each_has_its_own_candidates() -> None:
    names = [f"h{n}" for n in range(300)]
    rules = [rule(name, "allow", hosts=[f"{name}.example"]) for name in names]
    rules += [rule(f"p{n}", "allow", hosts=["app.example"], paths=[f"/p{n}"]) for n in range(400)]
    policies = compiled(document("p", *rules))
    asked = {f"p/{name}": http("/", host=f"{name}.example") for name in names}
    asked |= {f"p/p{n}": http(f"/p{n}") for n in range(400)}
    for _ in range(3):
        for name, request in asked.items():
            assert [item.rule.name for item in policies.candidates(request, CALLERS[0]).items(request)] == [name]
