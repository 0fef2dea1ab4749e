"""The fast way to a line and the general one write the same bytes, whatever a record holds."""

import gc
import tracemalloc
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from audit.auditing import decision
from changing import replace
from hypothesis import given
from hypothesis import strategies as st
from record.making_records import assessments, decisions, rule_results

from extauthz.record import fragments
from extauthz.record.decision import DecisionRecord, Wait
from extauthz.record.line_encoder import LineEncoder
from extauthz.record.masking import HEADERS, Keep, line_of
from extauthz.record.trace_context import USUAL
from extauthz.record.usual_traces import usual_trace
from extauthz.values.decisions import Allow, Challenge, Decision, Deny
from extauthz.values.grants import Grant, SessionAges
from extauthz.values.headers import OneLineEach
from extauthz.values.identity import Credential, Identity, Subject, User, Workload
from extauthz.values.request import HttpRequest, Peer, RequestView
from extauthz.values.span_ids import SpanIds

KEEPS = (Keep(), Keep(headers=HEADERS | {"x-tier"}, query=frozenset({"amount", "a.b"})))
ENCODERS = {keep: LineEncoder(keep) for keep in KEEPS}
"""Used for all examples, so that what they remember of one could spoil another."""

HOSTILE = '"\\/\b\f\n\r\t\0\x1f\x7f\x85\xa0é\u2028\u2029\ufeff\ufffd😀"'
plain = st.text("abcXYZ019-._~/:= ", max_size=40)
texts = plain | plain | st.text(max_size=20) | st.text(HOSTILE, max_size=6) | st.just("x" * 600)
short = st.sampled_from(["", "GET", "https", "HTTP/2", '"', "\\", "é"])
names = st.sampled_from(
    ["accept", "user-agent", "cookie", "x-tier", "authorization", "x-request-id", "traceparent", "b3", "x-a'b", "te"]
)
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
trace_contexts = st.sampled_from(
    [
        f"00-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f" cc-{TRACE}-{SPAN}-01-what-comes",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"{TRACE[:16].upper()}-{SPAN}-1",
        "0",
    ]
)


def line_each(values: Mapping[str, str]) -> OneLineEach:
    """The headers as they are read where each came once; of the same names the very same places."""
    places = PLACES.setdefault(tuple(values), {name: place for place, name in enumerate(values)})
    return OneLineEach(places, tuple(values.values()), ())


PLACES: dict[tuple[str, ...], dict[str, int]] = {}
headers = st.dictionaries(names, texts | trace_contexts, min_size=2).map(line_each) | st.dictionaries(
    names, st.lists(texts | trace_contexts, min_size=1, max_size=3).map(tuple)
)
parameters = st.sampled_from(["amount=5", "amount=", "amount", "a.b=c", "1=2", "x=%41", "x=a+b", "x=1;y=2", "n=%z", ""])
queries = (
    st.sampled_from(["", "amount=5000", "a=1&b=2&a=3", "secretword", "a=b=c", "a=b&", "a[]=1", "x=é"])
    | st.lists(parameters, max_size=4).map("&".join)
    | texts
)
paths = st.sampled_from(["/", "/v1/pay", "/ü", '/"', "/a\\b", "/\u2028"]) | texts
https = st.builds(
    HttpRequest,
    id=texts,
    method=short,
    scheme=short,
    host=texts,
    authority=texts,
    path=paths,
    segments=st.just(()),
    raw_path=paths,
    raw_query=queries,
    protocol=short,
    headers=headers,
    size=st.integers(-1, 9),
    body=st.none() | st.binary(max_size=9),
    has_query=st.booleans(),
)
peers = st.just(Peer()) | st.builds(
    Peer,
    ip=st.sampled_from(["", "203.0.113.9", '"']),
    port=st.sampled_from([0, 443]),
    principal=st.sampled_from(["", "spiffe://a/b"]) | texts,
    certificate=st.sampled_from(["", "no certificate"]),
)
maps = st.dictionaries(texts, texts, max_size=2)
requests = st.builds(
    RequestView,
    source=peers,
    destination=peers,
    http=st.none() | https,
    time=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    sni=texts,
    context=maps,
    metadata=st.dictionaries(texts, maps | st.integers(), max_size=2),
    route_metadata=maps,
)
users = st.builds(
    User,
    sub=texts,
    iss=texts,
    claims=st.dictionaries(st.sampled_from(["iss", "scope", "secret"]), texts | st.lists(texts)),
    actor=st.none() | st.dictionaries(st.sampled_from(["iss", "sub", "x"]), texts),
    groups=st.lists(texts, max_size=2).map(tuple),
)
workloads = st.builds(
    Workload, id=texts, trust_domain=texts, path=texts, verified_by=texts, attributes=st.none() | maps
)
identities = st.builds(
    Identity,
    workload=st.none() | workloads,
    user=st.none() | users,
    session=st.none() | texts,
    holders=st.frozensets(st.sampled_from(["cert:1", "peer:2", "peer:3", "cookie:4", "odd"])),
    client_ip=texts,
    credentials=st.just(()) | st.just((Credential(subjects=(), issued_at=None, sid=None, jti=None, digest=""),)),
)
grants = st.builds(
    Grant,
    id=texts,
    subject=st.just(Subject("i", "u")),
    session=texts,
    holder=texts,
    binding=st.sampled_from(["session:0", "action:p/r", "rule:x:p/r"]),
    factor=texts,
    issued_at=st.floats(0, 1e9),
    expires_at=st.just(2e9),
    uses=st.none() | st.integers(0, 3),
)
resting = st.builds(Allow, rule=texts, grants=st.lists(grants, min_size=1, max_size=2).map(tuple))
waits = st.builds(Wait, st.sampled_from(["store", "hold"]), st.integers(0, 2**62), st.integers(0, 2**62), st.booleans())
records = st.builds(
    DecisionRecord,
    decision_id=texts,
    revision=st.sampled_from(["sha256:0", "sha256:1", '"']),
    decision=decisions | resting,
    rules=st.lists(
        rule_results | rule_results.flatmap(lambda one: texts.map(lambda error: replace(one, error=error))), max_size=5
    ).map(tuple),
    request=st.none() | requests | requests,
    identity=st.none() | identities,
    session=st.none() | st.builds(SessionAges, age=st.none() | st.floats(0, 9), idle=st.none() | st.floats(0, 9)),
    risk=st.lists(assessments, max_size=1).map(tuple),
    detail=st.none() | texts,
    trace=st.lists(st.tuples(st.sampled_from(["traceparent", "b3", "tracestate"]), trace_contexts), max_size=2).map(
        tuple
    ),
    span=st.none()
    | st.none()
    | st.builds(SpanIds, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans()),
    waits=st.lists(waits, max_size=2).map(tuple),
    challenge=st.just("") | texts,
    started_ns=st.integers(0, 4_000_000_000_000_000_000),
    ended_ns=st.integers(0, 4_000_000_000_000_000_000),
)


def general(record: DecisionRecord, keep: Keep) -> bytes | None:
    """The line by the general way; `None` of what it can't write."""
    try:
        return msgspec.json.encode(line_of(record, keep))[:-1]
    except UnicodeEncodeError:
        return None


def fast(record: DecisionRecord, keep: Keep) -> bytes | None:
    try:
        return ENCODERS[keep].encode(record)
    except UnicodeEncodeError:
        return None


@given(records, st.sampled_from(KEEPS))
def test_both_ways_write_the_same_bytes_of_any_record(record: DecisionRecord, keep: Keep) -> None:
    expected = general(record, keep)
    assert fast(record, keep) == expected
    assert fast(record, keep) == expected, "what is remembered must be the same"


@given(https, st.lists(texts | trace_contexts, min_size=2, max_size=4), st.sampled_from(KEEPS))
def test_both_ways_write_the_same_bytes_of_requests_with_the_same_names(
    http: HttpRequest, values: list[str], keep: Keep
) -> None:
    base = decision()
    for value in values:
        sent = line_each({"accept": value, "cookie": value, "x-tier": value, "traceparent": value})
        record = replace(base, request=RequestView(http=replace(http, headers=sent)))
        assert fast(record, keep) == general(record, keep)


@pytest.mark.parametrize(
    "query", ["a1&b=1", "a1&b=", "a1=&b=1", "a1", "a=" + "b" * 9_000, "a=1&" * 300, "a=" + "%62" * 2_000, "a1=1&b"]
)
def test_both_ways_write_the_same_bytes_of_a_query_behind_others(query: str) -> None:
    """What was remembered of the names of one query is not taken for another's that has no value for each."""
    encoder = LineEncoder(Keep())
    for first in ("a1=x&b=y", "a=1", "a1=1", "b=1"):
        encoder.encode(decision(path=f"/x?{first}"))
    record = decision(path=f"/x?{query}")
    assert encoder.encode(record) + b"}" == msgspec.json.encode(line_of(record, Keep()))


def test_what_is_remembered_of_an_object_is_not_taken_for_another_ones() -> None:
    """Objects that die at once leave their ids to the next ones; there are more of them than are remembered."""
    encoder, keep, base = LineEncoder(Keep()), Keep(), decision()
    for number in range(3 * fragments.MOST):
        identity = Identity(user=User(sub=f"u{number}", iss="i"), client_ip=f"10.0.0.{number % 255}")
        record = replace(base, identity=identity)
        assert encoder.encode(record) == general(record, keep)


def test_what_is_remembered_is_bounded_in_number_and_size() -> None:
    made: list[int] = []

    def make(number: int) -> str:
        made.append(number)
        return "x" * (number % 5_000)

    pieces: fragments.ByValue[int] = fragments.ByValue(make)
    for number in range(2 * fragments.MOST):
        assert pieces.of(number) == "x" * (number % 5_000)
        assert len(pieces.known) <= fragments.MOST
        assert sum(map(len, pieces.known.values())) <= fragments.ROOM
    assert (pieces.of(1), pieces.of(1)) == ("x",) * 2
    assert made.count(1) <= 2, "what is remembered is not made again"


def test_what_is_large_is_not_remembered() -> None:
    made: list[int] = []

    def make(number: int) -> str:
        made.append(number)
        return "x" * number

    pieces: fragments.ByValue[int] = fragments.ByValue(make)
    large = fragments.LARGEST + 1
    assert (pieces.of(large), pieces.of(large), pieces.of(1)) == ("x" * large, "x" * large, "x")
    assert made == [large, large, 1]


def test_names_by_chance_leave_no_more_behind_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever clients make up, hosts, names of headers and of parameters, paths and people, is forgotten again."""
    monkeypatch.setattr(fragments, "MOST", 40)
    encoder = LineEncoder(Keep())

    def chance(number: int) -> DecisionRecord:
        text = f"{number:08d}" * 30
        sent = line_each({f"x-{text}": "a", f"y-{text}": "b", "user-agent": text})
        http = HttpRequest(
            method="GET",
            scheme="https",
            host=text,
            authority=text,
            path=f"/{text}",
            segments=(),
            raw_path=f"/{text}",
            raw_query=f"a{number}=1",
            headers=sent,
            has_query=True,
            id="",
            protocol="",
        )
        view = RequestView(http=http, source=Peer(ip=text, principal=text), context={text: text})
        user = User(sub=text, iss=text, claims={text: text})
        identity = Identity(user=user, client_ip=text, holders=frozenset({f"{text}:1"}))
        return replace(decision(), request=view, identity=identity, revision="r", rules=())

    def grown(numbers: range) -> int:
        for number in numbers:
            encoder.encode(chance(number))
            PLACES.clear()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        full = max(grown(range(start, start + 20)) for start in range(0, 80, 20))
        for start in range(80, 400, 20):
            assert grown(range(start, start + 20)) < 1.3 * full
    finally:
        tracemalloc.stop()


def test_what_is_large_and_masked_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate is short in the line, and so are claims; what is remembered of either holds the whole of it."""
    monkeypatch.setattr(fragments, "ROOM", 200_000)
    encoder = LineEncoder(Keep())
    base = decision()
    assert base.request is not None
    tracemalloc.start()
    try:
        for number in range(400):
            source = Peer(ip="203.0.113.9", certificate=f"{number:08d}" * 2_000)
            user = User(sub=f"u{number}", iss="i", claims={"masked": f"{number:08d}" * 2_000})
            identity = Identity(user=user)
            encoder.encode(replace(base, request=RequestView(http=base.request.http, source=source), identity=identity))
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 2_000_000  # 400 of them would be 12 million
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\tb", "\x7f", "é", "\u2028", "x" * 513])
def test_a_value_that_is_not_plain_is_written_as_the_general_way_does(value: str) -> None:
    keep = Keep()
    for name in ("user-agent", "cookie"):
        http = decision(headers={name: value, "accept": "*/*"}).request
        record = replace(decision(), request=http)
        assert LineEncoder(keep).encode(record) == general(record, keep)


def test_a_challenge_has_the_status_of_its_caller() -> None:
    keep = Keep()
    shown = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept": "text/html"}
    for sent in ({}, shown):
        record = replace(decision(headers=sent), decision=Challenge(rule="p/c", demands=()))
        assert LineEncoder(keep).encode(record) == general(record, keep)


@given(
    st.from_regex(r"(00|01|0)-[0-9a-fA-F_é]{31,33}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True)
    | st.sampled_from(
        [
            f"00-{TRACE}-{SPAN}-01",
            f"00-{'0' * 32}-{SPAN}-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE}-{SPAN}-0-",
            f"00-{TRACE}0{SPAN}-01",
            f"00-{TRACE}-{SPAN}001",
            f"00-{TRACE}-{SPAN}-0g",
            f"00-{TRACE}-{SPAN}-01\n",
            f"00_{TRACE}-{SPAN}-01",
            f"00-{TRACE[:-1]}--{SPAN[1:]}-01",
            "",
        ]
    )
)
def test_a_trace_is_found_where_the_pattern_finds_it(text: str) -> None:
    found = USUAL(text)
    assert usual_trace(text) == ("" if found is None else found[1])


@pytest.mark.parametrize(
    "took",
    [*range(12), 10, 99, 100, 110, 999, 1_000, 1_001, 1_010, 123_456_789, 10**15 - 1, 10**15, 10**15 + 1, 2**62, -1],
)
def test_both_ways_write_the_same_time_that_it_took(took: int) -> None:
    keep, began = Keep(), 1_790_000_000_999_999_999
    record = replace(decision(), started_ns=began, ended_ns=began + took)
    assert LineEncoder(keep).encode(record) == general(record, keep)


def test_both_ways_write_the_same_moments_around_a_second() -> None:
    keep, encoder = Keep(), LineEncoder(Keep())
    for second in (1_790_000_000, 1_790_000_001, 1_790_000_000, 0, 1):
        for nanos in (0, 1, 10, 999_999_999, 5):
            record = replace(decision(), started_ns=second * 10**9 + nanos, ended_ns=2 * 10**18)
            assert encoder.encode(record) == general(record, keep)


PEER = Peer(ip="203.0.113.9", port=443)
OTHERS: list[dict[str, Any]] = [
    {"source": Peer(ip="203.0.113.9", port=444)},
    {"source": Peer(ip="203.0.113.9", port=443, principal="spiffe://a/b")},
    {"destination": Peer(ip="10.0.0.1", port=80)},
    {"context": {"route": "other"}},
    {"sni": "other.example.com"},
    {"metadata": {"filter": {"name": 1}}},
    {"route_metadata": {"filter": {"name": 2}}},
]


@pytest.mark.parametrize("other", OTHERS)
def test_a_caller_at_a_connection_is_not_taken_for_the_same_elsewhere(other: dict[str, Any]) -> None:
    keep, encoder, base = Keep(), LineEncoder(Keep()), decision()
    assert base.request is not None
    here = replace(base.request, source=PEER, destination=Peer(), context={"route": "one"}, sni="a", route_metadata={})
    there = replace(here, **other)
    for identity in (Identity(client_ip="10.1.1.1"), Identity(client_ip="10.1.1.2"), None):
        for request in (here, here, there, here, there, there, here):
            record = replace(base, request=request, identity=identity)
            assert encoder.encode(record) == general(record, keep)


@pytest.mark.parametrize("sources", [1, 700])
def test_callers_that_share_a_place_are_not_taken_for_each_other(sources: int) -> None:
    """There are more of them, or of their connections, than there are places; all are there at once."""
    keep, encoder, base = Keep(), LineEncoder(Keep()), decision()
    assert base.request is not None
    peers = [replace(PEER, port=1 + number) for number in range(sources)]
    callers = [Identity(client_ip=f"10.0.{number >> 8}.{number & 255}") for number in range(701 - sources)]
    for _ in range(2):
        for source in peers:
            for identity in callers:
                request = replace(base.request, source=source)
                record = replace(base, request=request, identity=identity)
                assert encoder.encode(record) == general(record, keep)


def test_how_one_request_came_out_is_not_taken_for_how_others_did() -> None:
    """By the same rules, with another reason, rule, status or revision, and to another host."""
    keep, encoder, base = Keep(), LineEncoder(Keep()), decision()
    request = base.request
    assert request is not None
    assert request.http is not None
    elsewhere = replace(request, http=replace(request.http, host="elsewhere.example.com"))
    deny = Deny(reason="not-allowed", rule="p/r", status=403)
    others: list[Decision] = [
        Allow(rule="p/r"),
        Allow(rule="p/s"),
        deny,
        replace(deny, status=404),
        replace(deny, reason="other"),
        replace(deny, rule=None),
        Allow(rule="p/r"),
        Deny(reason=Allow(rule="p/r").reason, rule="p/r", status=200),
    ]
    for revision in ("sha256:0", "sha256:1"):
        for one in others * 2:
            for asked in (request, elsewhere):
                record = replace(base, decision=one, revision=revision, request=asked)
                assert encoder.encode(record) == general(record, keep)


@given(st.lists(st.lists(st.sampled_from(["a", "b", 'a"', "x" * 513, "é"]), min_size=4, max_size=4), max_size=6))
def test_what_headers_had_in_common_is_not_taken_for_what_they_have(sent: list[list[str]]) -> None:
    keep, encoder = Keep(), LineEncoder(Keep())
    for values in sent:
        names = ["accept", "cookie", "te", "user-agent"]
        request = decision().request
        assert request is not None
        assert request.http is not None
        http = replace(request.http, headers=line_each(dict(zip(names, values, strict=True))))
        record = replace(decision(), request=replace(request, http=http))
        assert encoder.encode(record) == general(record, keep)
