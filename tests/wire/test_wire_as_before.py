"""Requests that are as those before them on their connection: they are read as they are wherever they come."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.errors import MalformedRequest
from extauthz.values.common import Common
from extauthz.values.headers import OneLineEach
from extauthz.values.request import RequestView
from extauthz.wire.body import BUFFERED
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode
from extauthz.wire.fragments import field
from extauthz.wire.path import check_query, query_mark
from extauthz.wire.reading import STRICT, Reading

Asked = tuple[Mapping[str, str], Mapping[str, object]]
"""The headers of a request, and what else it says."""

READINGS = [STRICT, Reading(buffered=True), Reading(accept=frozenset({"semicolon", "empty_segment"}))]
TARGETS = [
    "/",
    "/a",
    "/a/",
    "/orders/7?x=1",
    "/a?",
    "/a?b?c",
    "/a;b",
    "/a//b",
    "/%2e",
    "/a%41",
    "/a?x y",
    "/a?#",
    "*",
    "",
]
TARGETS += ["/a!", "/a?!", "/a?\u00e4", "/\u00e4", "a", "?a", '/a?"~', "/a?\x7f", "/" + "x" * 300, "/a?" + "y" * 300]


def in_another_order(check: bytes) -> bytes:
    """The same Check, in which nothing is where most have it: protobuf reads it, and nothing before tells of it."""
    whole = CheckRequest.FromString(check).attributes
    http = whole.request.http.SerializeToString(deterministic=True)
    first = field(1, whole.request.http.id.encode()) if whole.request.http.id else b""
    time = field(1, whole.request.time.SerializeToString())
    request = field(4, time + field(2, http[len(first) :] + first))
    whole.ClearField("request")
    return field(1, request + whole.SerializeToString(deterministic=True))


def outcome(check: bytes, reading: Reading) -> RequestView | str:
    try:
        return decode(check, reading)
    except MalformedRequest as refused:
        return f"{refused.reason}: {refused}"


def said(port: int, number: int, headers: Mapping[str, str], **more: object) -> bytes:
    given = {"x-id": str(number), "accept": "*/*", "x-request-id": f"{number:032x}", **headers}
    return check_request(
        **{  # type: ignore[arg-type]  # the types are those of the fields that a test names
            "id": str(number),
            "host": "shop.example.com",
            "path": f"/orders/{number}",
            "headers": given,
            "raw_headers": True,
            "source_ip": "192.0.2.7",
            "source_port": port,
            "time": (1_790_000_000, 5),
            **more,
        }
    )


HEADERS = st.sampled_from(
    [
        {},
        {},
        {},
        {"host": "shop.example.com"},
        {"host": "other.example.com"},
        {"content-length": "0"},
        {"content-length": "5"},
        {"te": "trailers"},
        {"x-id": "\u00e4"},
        {"x-id": "a,b"},
    ]
)
MORE = st.fixed_dictionaries(
    {},
    optional={
        "path": st.sampled_from(TARGETS),
        "method": st.sampled_from(["GET", "POST", "PURGE", "get", "OPTIONS", "CONNECT", "P\u00c4", ""]),
        "id": st.sampled_from(["", "17", "\u00e4"]),
        "body": st.sampled_from([b"", b"{}"]),
        "host": st.sampled_from(["shop.example.com:443", "Shop.example.com.", "[::1]", "a b"]),
        "time": st.sampled_from([(0, 0), (-62_135_596_801, 0), (1, 1_000_000_000)]),
        "context": st.sampled_from([{BUFFERED: "true"}, {BUFFERED: "false"}, {"a": "b"}]),
    },
)
PORTS = iter(range(1, 1 << 30))


@st.composite
def turns(draw: st.DrawFn) -> Sequence[Asked]:
    """Requests of few kinds by turns: what differs between them is learnt to vary."""
    kinds = draw(st.lists(st.tuples(HEADERS, MORE), min_size=1, max_size=3))
    return draw(st.lists(st.sampled_from(kinds), max_size=8))


def by_turns(*more: dict[str, object]) -> Sequence[Asked]:
    return [({}, one) for one in more] * 4


@example(by_turns({"path": "/a"}, {"path": "/a;b"}, {"path": "/a?x y"}), 2)
@example([*by_turns({"method": "GET"}, {"method": "POST"}), ({}, {"method": "get"}), ({}, {"method": "PURGE"})], 0)
@example(
    [
        *by_turns({"method": "GET", "host": "a.example"}, {"method": "POST", "host": "b.example"}),
        *by_turns({"method": "get", "host": "c.example"}),
    ],
    0,
)
@example(by_turns({"host": "shop.example.com"}, {"host": "shop.example.org"}, {"scheme": "http"}), 0)
@example([*[({"host": host}, {}) for host in ("shop.example.com", "Shop.example.com")] * 3, ({"host": "other"}, {})], 0)
@example(by_turns({"body": b""}), 0)
@example(by_turns({}), 1)
@example([({"content-length": length}, {}) for length in "0506"] * 2, 1)
@example(by_turns({"context": {BUFFERED: "true"}}), 0)
@given(turns(), st.integers(0, len(READINGS) - 1))
def test_what_comes_on_a_connection_is_read_as_it_is_alone(requests: Sequence[Asked], reading: int) -> None:
    port = next(PORTS)
    for number in range(3):
        decode(said(port, number, {}), READINGS[reading])
    for number, (headers, more) in enumerate(requests, 3):
        check = said(port, number, headers, **more)
        assert outcome(check, READINGS[reading]) == outcome(in_another_order(check), READINGS[reading])


def test_the_fourth_request_of_a_connection_is_as_those_before_it() -> None:
    """So the test above is of what it is meant to be of."""
    port = next(PORTS)
    views = [decode(said(port, number, {"host": "shop.example.com"})) for number in range(5)]
    http = views[-1].http
    assert http is not None
    assert isinstance(http.headers, OneLineEach)
    assert http.headers.common is not None
    assert http.headers.common.is_telling


PIECES = st.text('a/!#%;~ "\x00\x1f\x7f\u00e4', max_size=3).map(str.encode)


@given(
    st.builds(b"".join, st.tuples(st.sampled_from([b"/", b"/", b""]), PIECES, st.sampled_from([b"?", b""]), PIECES)),
    st.integers(0, 3),
)
def test_what_is_plain_is_what_the_longer_way_lets_through(target: bytes, before: int) -> None:
    mark = query_mark(b"/?!"[:before] + target + b"?behind", before, before + len(target))
    text = target.decode("latin-1")
    if not text.startswith("/") or not text.isascii() or "!" in text:
        assert mark == -1
        return
    raw_path, query, raw_query = text.partition("?")
    try:
        check_query(raw_path, raw_query)
    except MalformedRequest:
        assert mark == -1
    else:
        assert mark == before + len(raw_path)
        assert (mark == before + len(target)) == (not query)


LINES = st.lists(st.text(max_size=3), max_size=6)


@given(LINES, st.frozensets(st.integers(0, 5)), LINES)
def test_headers_of_which_few_are_given_are_the_mapping_that_all_of_them_are(
    lines: list[str], varying: frozenset[int], others: list[str]
) -> None:
    varying = frozenset(place for place in varying if place < len(lines))
    common = Common(varying)
    differing = [(others + [""] * 6)[turn].encode() for turn in range(len(varying))]
    meant = list(lines)
    for turn, place in enumerate(sorted(varying)):
        assert common.turn(place) == turn
        meant[place] = differing[turn].decode()
    places = {f"x-{place}": place for place in reversed(range(len(lines)))}
    some = OneLineEach(places, tuple(lines), (), common, differing)
    mapping = {name: (meant[place],) for name, place in places.items()}
    for headers in (some, OneLineEach(places, tuple(meant), ()), OneLineEach(places, tuple(meant), (), common)):
        assert headers.lines == tuple(meant)
        assert [headers.line(place) for place in range(len(lines))] == meant
        assert dict(headers) == mapping
        assert list(headers) == list(mapping)
        assert list(headers.keys()) == list(mapping)
        assert list(headers.values()) == list(mapping.values())
        assert list(headers.items()) == list(mapping.items())
        assert len(headers) == len(mapping)
        assert headers == mapping
        assert mapping == headers
        assert headers == some
        assert headers != {**mapping, "x-more": ("1",)}
        assert repr(headers) == repr(mapping)
        assert ("x-0" in headers, headers.get("x-0"), headers.get("y", ())) == (
            "x-0" in mapping,
            mapping.get("x-0"),
            (),
        )
        for name, (line,) in mapping.items():
            assert headers[name] == (line,)
        with pytest.raises(KeyError):
            headers["y"]


@pytest.mark.parametrize("path", ["/plain", "/v1//a", "/a;b"])
def test_a_check_that_is_none_is_told_before_its_path_is(path: str) -> None:
    def asked(given: str) -> bytes:
        return check_request(id="AA", host="one.example", path=given, raw_headers=True, source_port=41_811)

    odd = asked(path).replace(b"\x02AA", b"\x02\xff\xff")
    decode(asked("/before"), STRICT)
    decode(asked("/before/again"), STRICT)
    with pytest.raises(MalformedRequest) as refused:
        decode(odd, STRICT)
    assert refused.value.reason == "malformed-check"
