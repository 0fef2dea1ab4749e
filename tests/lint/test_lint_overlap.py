"""The algebra of places against brute force: the real index is asked about every request of a small world."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.policy.hosts import HostPattern
from extauthz.policy.index import Index, Place
from extauthz.policy.lint.nearby import Nearby
from extauthz.policy.lint.overlap import covers, intersection, meet
from extauthz.policy.templates import Template
from extauthz.policy.workloads import WorkloadPattern
from extauthz.values.request import HttpRequest

exact = settings(max_examples=100, deadline=None)

# The letters `a` and `b` stand in patterns; `z` is a name that none of them knows.
HOSTS = [".".join(labels) for length in (1, 2, 3, 4) for labels in product("abz", repeat=length)]
METHODS = ["GET", "HEAD", "POST", "PUT"]
PATHS: list[tuple[str, ...] | None] = [
    None,  # `OPTIONS *`
    *(segments for length in range(4) for segments in product("abz", repeat=length)),
    *(("a", "a", *rest) for rest in product("abz", repeat=2)),
    *((first, *empty, "z") for first in "abz" for empty in (("",), ("", ""), ("", "a"), ("a", ""))),
    *((*("",) * count, "z") for count in (1, 2, 3)),
    ("a", "b", "", "z"),
    ("a", "b", "", "", "z"),
    ("a", "z", "", "", "z"),
    ("z", "b", "", "", "z"),
    ("b", "z", "", "", "z"),
    ("a", "a", "", "", "z"),
    ("b", "b", "", "", "z"),
    ("z", "z", "", "", "z"),
    ("b", "a", "", "", "z"),
    ("z", "a", "", "", "z"),
]
IDS = [None, *("/".join(("t", *rest)) for length in (1, 2, 3, 4) for rest in product("abz", repeat=length))]

host_lists = st.lists(
    st.builds(HostPattern, st.lists(st.sampled_from("ab"), min_size=1, max_size=2).map(".".join), st.booleans()),
    max_size=3,
).map(tuple)
method_lists = st.lists(st.sampled_from(METHODS), max_size=3, unique=True).map(tuple)
segment_lists = st.lists(st.sampled_from(("a", "b", None)), max_size=2).map(tuple)
template_lists = st.lists(
    st.builds(lambda segments, tail: Template(segments, tail=tail), segment_lists, st.booleans()), max_size=3
).map(tuple)
workload_lists = st.lists(
    st.builds(
        lambda segments, tail: WorkloadPattern(("t", *segments), tail or not segments), segment_lists, st.booleans()
    ),
    max_size=3,
).map(tuple)
places = st.one_of(
    st.builds(Place, hosts=host_lists),
    st.builds(Place, methods=method_lists),
    st.builds(Place, templates=template_lists),
    st.builds(Place, workloads=workload_lists),
    st.builds(Place, hosts=host_lists, methods=method_lists, templates=template_lists, workloads=workload_lists),
)

DIMENSIONS: Final[dict[str, Sequence[Any]]] = {
    "hosts": HOSTS,
    "methods": [*METHODS, "DELETE"],
    "templates": PATHS,
    "workloads": IDS,
}
Asked = tuple[str, str, tuple[str, ...] | None, str | None]


def world(one: Place, other: Place) -> Iterator[Asked]:
    """Requests that tell places of one dimension apart: all values in it, and some value in the others."""
    named = {name for place in (one, other) for name in DIMENSIONS if getattr(place, name)}
    return product(*(values if name in named else values[1:2] for name, values in DIMENSIONS.items()))


def found(index: Index, asked: Asked) -> set[int]:
    host, method, segments, workload = asked
    path = "*" if segments is None else "/" + "/".join(segments)
    http = HttpRequest(
        id="",
        method=method,
        scheme="https",
        host=host,
        authority=host,
        path=path,
        segments=segments or (),
        raw_path=path,
        raw_query="",
        protocol="HTTP/2",
        headers={},
    )
    spot = index.find(http, None if workload is None else f"spiffe://{workload}")
    return {number for number, _ in index.standing(spot)}


def pairs(name: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Place, Place]]:
    """Two places that differ in one dimension."""
    return st.tuples(values, values).map(lambda both: (Place(**{name: both[0]}), Place(**{name: both[1]})))


single = st.one_of(
    pairs("hosts", host_lists),
    pairs("methods", method_lists),
    pairs("templates", template_lists),
    pairs("workloads", workload_lists),
)


@exact
@given(single)
def test_one_place_covers_another_if_and_only_if_it_has_all_of_its_requests(pair: tuple[Place, Place]) -> None:
    index = Index(pair)
    answers = [found(index, asked) for asked in world(*pair)]
    assert covers(*pair) == all(0 in one for one in answers if 1 in one)


@exact
@given(single)
def test_two_places_meet_if_and_only_if_they_share_a_request(pair: tuple[Place, Place]) -> None:
    index = Index(pair)
    assert meet(*pair) == any(one == {0, 1} for one in (found(index, asked) for asked in world(*pair)))


@exact
@given(single)
def test_the_intersection_of_two_places_has_the_requests_of_both(pair: tuple[Place, Place]) -> None:
    both = intersection(*pair)
    index = Index([*pair, both] if both is not None else pair)
    for asked in world(*pair):
        numbers = found(index, asked)
        assert (2 in numbers) == ({0, 1} <= numbers)


askings = st.tuples(st.sampled_from(HOSTS), st.sampled_from(METHODS), st.sampled_from(PATHS), st.sampled_from(IDS))


@exact
@given(places, places, st.lists(askings, min_size=20, max_size=20))
def test_what_holds_of_each_dimension_holds_of_all_together(one: Place, other: Place, requests: list[Asked]) -> None:
    both = intersection(one, other)
    index = Index([one, other, both] if both is not None else [one, other])
    for asked in requests:
        numbers = found(index, asked)
        assert (2 in numbers) == ({0, 1} <= numbers)
        assert not (covers(one, other) and 1 in numbers and 0 not in numbers)
        assert meet(one, other) or not {0, 1} <= numbers


@exact
@given(places)
def test_a_place_covers_itself_and_what_it_shares_with_another(one: Place) -> None:
    assert covers(one, one)
    both = intersection(one, Place(methods=("GET",), templates=(Template(("a",), tail=True),)))
    assert both is None or covers(one, both)


def test_tcp_checks_are_covered_only_by_rules_for_them() -> None:
    assert covers(Place(tcp=True), Place(tcp=True))
    assert covers(Place(tcp=True), Place())
    assert not covers(Place(), Place(tcp=True))


@exact
@given(st.lists(places, max_size=8), places)
def test_what_is_nearby_is_what_meets(known: list[Place], asked: Place) -> None:
    expected = [number for number, place in enumerate(known) if meet(place, asked)]
    assert Nearby(known).find(asked) == expected
