"""Templates, hosts and the look-up of candidates."""

import cProfile
import dataclasses
import pickle
from collections.abc import Mapping
from typing import Any

import pytest
from changing import replace
from hypothesis import given
from hypothesis import strategies as st
from policy.making import WEB, caller, compiled, document, http, rule, tcp

from extauthz.policy import hosts, templates, workloads
from extauthz.policy.captures import captured, layout
from extauthz.policy.hosts import HostPattern
from extauthz.policy.index import MOST_LEARNT, Index, Place
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.position import Position
from extauthz.policy.templates import Template
from extauthz.values.identity import Identity
from extauthz.values.request import HttpRequest, RequestView
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode
from extauthz.wire.reading import Reading


def found(*rules: dict[str, object], request: str = "/", host: str = "app.example", method: str = "GET") -> list[str]:
    policies = compiled(document("p", *rules))
    return named(policies, http(request, method=method, host=host), Identity())


def named(policies: PolicySet, request: RequestView, identity: Identity) -> list[str]:
    return [item.rule.name for item in policies.candidates(request, identity).items(request)]


def look_up(index: Index, request: HttpRequest, workload_id: str | None = None) -> list[tuple[int, Mapping[str, str]]]:
    """The rules that an index finds by number, with what their templates captured."""
    standing = index.standing(index.find(request, workload_id))
    return [(number, captured(layout(found), request.segments)) for number, found in standing]


@pytest.mark.parametrize(
    ("template", "path", "params"),
    [
        ("/", "/", {}),
        ("/a", "/a", {}),
        ("/a", "/a/", {}),
        ("/a/", "/a", {}),
        ("/a", "/A", None),
        ("/a", "/a/b", None),
        ("/a/b", "/a", None),
        ("/*", "/", None),
        ("/*", "/a", {}),
        ("/*", "/a/b", None),
        ("/{x}", "/a%20b", {"x": "a b"}),
        ("/a/{x}/c", "/a/b/c", {"x": "b"}),
        ("/a/**", "/a", {}),
        ("/a/**", "/a/b/c", {}),
        ("/a/**", "/ab", None),
        ("/**", "/", {}),
        ("/{rest=**}", "/", {"rest": ""}),
        ("/a/{rest=**}", "/a/b/c/", {"rest": "b/c"}),
        ("/{x}/{y}", "/a/b", {"x": "a", "y": "b"}),
        ("/café", "/caf%C3%A9", {}),
        ("/a:b", "/a:b", {}),
    ],
)
def test_a_template_fits_whole_canonical_paths(template: str, path: str, params: dict[str, str] | None) -> None:
    index = Index([Place(templates=(templates.parse(template),))])
    request = http(path).http
    assert request is not None
    assert look_up(index, request) == ([] if params is None else [(0, params)])


def test_an_empty_segment_fits_no_wildcard() -> None:
    payload = check_request(host="app.example", path="/a//b")
    request = decode(payload, Reading(accept=frozenset({"empty_segment"}))).http
    assert request is not None
    assert request.segments == ("a", "", "b")
    assert look_up(Index([Place(templates=(templates.parse("/a/*/b"),))]), request) == []
    assert look_up(Index([Place(templates=(templates.parse("/a/**"),))]), request) == [(0, {})]


SEGMENTS = st.sampled_from(["a", "b", "c", "d"])
WRITTEN = st.lists(st.sampled_from(["a", "b", "*", "{x}", "{y}"]), max_size=3, unique=True)
TEMPLATES = st.builds(
    lambda parts, tail: templates.parse("/" + "/".join([*parts, *tail])),
    WRITTEN,
    st.sampled_from([[], ["**"], ["{z=**}"]]),
)


@given(
    written=st.lists(TEMPLATES, max_size=6),
    paths=st.lists(st.lists(SEGMENTS | st.just(""), max_size=4).map(tuple), max_size=8),
    room=st.sampled_from([0, 1, 5, 20, MOST_LEARNT]),
)
def test_a_look_up_finds_what_fits_wherever_paths_went_before_and_however_little_is_remembered(
    written: list[Template], paths: list[tuple[str, ...]], room: int
) -> None:
    index = Index([Place(templates=(template,)) for template in written], most_learnt=room)
    request = http("/").http
    assert request is not None
    for segments in paths:
        asked = replace(request, path="/" + "/".join(segments), segments=segments)
        fitting = [(number, template) for number, template in enumerate(written) if template.fits(segments)]
        assert look_up(index, asked) == [
            (number, {} if template.capture is None else captured(template.capture, segments))
            for number, template in fitting
        ]


@pytest.mark.parametrize(
    ("pattern", "host", "fits"),
    [
        ("app.example", "app.example", True),
        ("App.Example.", "app.example", True),
        ("app.example:8443", "app.example", True),
        ("app.example", "APP.example.:443", True),
        ("app.example", "b.app.example", False),
        ("*.app.example", "app.example", False),
        ("*.app.example", "b.app.example", True),
        ("*.app.example", "c.b.app.example", True),
        ("*.app.example", "bapp.example", False),
        ("127.0.0.1", "127.0.0.1:80", True),
        ("[::1]", "[::1]:80", True),
        ("[0:0::1]", "[::1]", True),
    ],
)
def test_a_host_pattern_fits_canonical_hosts(pattern: str, host: str, fits: bool) -> None:
    request = http(host=host).http
    assert request is not None
    parsed = hosts.parse(pattern)
    assert parsed.fits(request.host) is fits
    assert bool(look_up(Index([Place(hosts=(parsed,))]), request)) is fits


@pytest.mark.parametrize("text", ["", "*", "*.", "a..b", "a/b", "http://a", "a b", "*.*.a", "a.*.b", "[::1", "*.[::1]"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a host"):
        hosts.parse(text)


def test_a_rule_narrows_the_hosts_of_its_policy() -> None:
    policies = compiled(
        document("p", rule("a", "allow", hosts=["*.b.app.example", "x.app.example"]), hosts=["*.app.example"])
    )
    hosts_found = [
        host
        for host in ("app.example", "x.app.example", "y.app.example", "z.b.app.example", "b.app.example")
        if named(policies, http(host=host), Identity())
    ]
    assert hosts_found == ["x.app.example", "z.b.app.example"]


NAMES = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(".".join)
PATTERNS = st.builds(HostPattern, NAMES, st.booleans())


@given(st.lists(PATTERNS, max_size=3), st.lists(PATTERNS, max_size=3), NAMES)
def test_a_host_fits_both_lists_if_and_only_if_it_fits_each(
    one: list[HostPattern], other: list[HostPattern], host: str
) -> None:
    fits_each = any(pattern.fits(host) for pattern in one) and any(pattern.fits(host) for pattern in other)
    assert any(pattern.fits(host) for pattern in hosts.both(one, other)) == fits_each


def test_get_covers_head_and_nothing_else_does() -> None:
    read, post, every = (
        rule("read", "allow", methods=["GET"]),
        rule("post", "allow", methods=["POST"]),
        rule("any", "allow"),
    )
    assert found(read, post, every, method="HEAD") == ["p/any", "p/read"]
    assert found(read, post, every, method="POST") == ["p/any", "p/post"]
    assert found(read, post, every, method="PUT") == ["p/any"]


def test_connect_and_options_asterisk_fit_no_template() -> None:
    tree, every = rule("tree", "allow", paths=["/**", "/"]), rule("any", "allow")
    assert found(tree, every, request="*", method="OPTIONS") == ["p/any"]
    assert found(tree, every, request="", method="CONNECT") == ["p/any"]


def test_a_rule_is_a_candidate_once_however_many_ways_it_fits() -> None:
    many = rule("a", "allow", hosts=["app.example", "*.example"], paths=["/a", "/*", "/**"], methods=["GET", "HEAD"])
    assert found(many, request="/a") == ["p/a"]


def test_workloads_fit_by_pattern_and_nobody_fits_none() -> None:
    policies = compiled(document("p", rule("a", "allow", workloads=["spiffe://prod.example.org/ns/*/sa/web"])))
    for workload, fits in (
        (WEB, True),
        ("spiffe://prod.example.org/ns/shop/sa/web/x", False),
        ("spiffe://dev.example.org/ns/shop/sa/web", False),
        (None, False),
    ):
        assert bool(named(policies, http(), caller(workload=workload))) is fits


def place(kind: str, number: int) -> Place:
    """The place of one rule among many that differ in one respect."""
    path = {"paths": f"/r{number}/{{id}}", "wildcards": f"/*/{{id}}/r{number}/**"}.get(kind, "/r7/{id}")
    workload = f"spiffe://td/ns{number}/*" if kind == "workloads" else "spiffe://td/ns7/sa"
    return Place(
        templates=(templates.parse(path),),
        methods=("GET", f"M{number}") if kind == "methods" and number == 7 else (f"M{number}",) * (kind == "methods"),
        hosts=(hosts.parse(f"h{number}.example" if kind == "hosts" else "*.example"),),
        workloads=(workloads.parse(workload),),
    )


@pytest.mark.parametrize("kind", ["paths", "wildcards", "methods", "hosts", "workloads"])
def test_a_look_up_touches_no_other_rule_and_costs_the_same_among_ten_and_three_thousand(kind: str) -> None:
    """In calls of Python functions, which don't depend on the machine."""
    request = http("/r7/5/r7" if kind == "wildcards" else "/r7/5", host="h7.example").http
    assert request is not None
    calls = []
    for size in (10, 3000):
        index = Index([*(place(kind, number) for number in range(size)), Place(templates=(templates.parse("/r7/**"),))])
        profile = cProfile.Profile()
        assert profile.runcall(look_up, index, request, "spiffe://td/ns7/sa") == [(7, {"id": "5"}), (size, {})]
        calls.append(sum(entry.callcount for entry in profile.getstats()))
    assert calls[0] == calls[1]


def test_candidates_are_found_without_touching_other_rules() -> None:
    many = [
        rule(f"r{n}", "allow", paths=[f"/r{n % 50}/{{id}}"], workloads=[f"spiffe://prod.example.org/ns/n{n}/sa/*"])
        for n in range(500)
    ]
    policies = compiled(document("p", *many, rule("deny", "deny", paths=["/r7/**"])))
    # What is no rule would fail who touches it.
    others: Any = (one if one.name in ("p/deny", "p/r57") else None for one in policies.rules)
    asked_of = dataclasses.replace(policies, rules=tuple(others))
    identity = caller(workload="spiffe://prod.example.org/ns/n57/sa/web")
    assert named(asked_of, http("/r7/1"), identity) == ["p/deny", "p/r57"]


def test_a_tcp_check_finds_rules_by_workload_too() -> None:
    policies = compiled(
        document(
            "p",
            rule("web", "allow", tcp=True, workloads=["spiffe://prod.example.org/ns/*/sa/web", WEB]),
            rule("other", "allow", tcp=True, workloads=["spiffe://dev.example.org/**"]),
            rule("guard", "deny"),
        )
    )
    assert named(policies, tcp(), caller(workload=WEB)) == ["p/guard", "p/web"]
    assert named(policies, tcp(), Identity()) == ["p/guard"]


def test_what_no_template_names_leads_to_one_place_whatever_it_is() -> None:
    index = Index([Place(templates=(templates.parse(written),)) for written in ("/a/*/b", "/a/c", "/d")])

    def leading(path: str) -> Position:
        request = http(path).http
        assert request is not None
        return index.position(request)

    (first, *others) = [leading(f"/a/{segment}/b") for segment in ("x", "y", "x", "z")]
    assert all(one is first for one in others)
    assert leading("/a/c") is not leading("/a/x")


def test_an_index_that_has_been_asked_travels_and_answers_alike() -> None:
    requests = [http(path, host=host).http for path in ("/a/x/b", "/a/c", "/d", "/") for host in ("app.example", "b")]
    index = Index(
        [Place(templates=(templates.parse(written),)) for written in ("/a/*/b", "/a/c", "/d")]
        + [Place(hosts=(hosts.parse("app.example"),)), Place(tcp=True)]
    )
    asked = [look_up(index, request) for request in requests if request is not None]
    travelled = pickle.loads(pickle.dumps(index))  # noqa: S301 - written here
    assert [look_up(travelled, request) for request in requests if request is not None] == asked
    assert any(asked)
    assert travelled.standing(travelled.find(None, None)) == index.standing(index.find(None, None)) != []
