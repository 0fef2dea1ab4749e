"""What is remembered of audit lines is bounded, and not taken for what it is not."""

import gc
import tracemalloc
from typing import Any

import pytest
from audit.auditing import decision
from audit.both_ways import fast, general
from audit.making_lines import PLACES, line_each
from briefs import brief_of, reasoning_of
from changing import replace
from hypothesis import given
from hypothesis import strategies as st

from extauthz.record import fragments
from extauthz.record.decision import DecisionRecord
from extauthz.record.decision_spans import DecisionSpans
from extauthz.record.line_encoder import LineEncoder
from extauthz.record.masking import Keep
from extauthz.values.common import Common
from extauthz.values.decisions import Allow, Challenge, Decision, Deny, Hold
from extauthz.values.headers import OneLineEach
from extauthz.values.identity import Identity, User
from extauthz.values.request import HttpRequest, Peer, RequestView


@pytest.mark.parametrize(
    "query", ["a1&b=1", "a1&b=", "a1=&b=1", "a1", "a=" + "b" * 9_000, "a=1&" * 300, "a=" + "%62" * 2_000, "a1=1&b"]
)
def test_both_ways_write_the_same_bytes_of_a_query_behind_others(query: str) -> None:
    """What was remembered of the names of one query is not taken for another's that has no value for each."""
    encoder = LineEncoder(Keep())
    for first in ("a1=x&b=y", "a=1", "a1=1", "b=1"):
        fast(decision(path=f"/x?{first}"), encoder)
    record = decision(path=f"/x?{query}")
    assert fast(record, encoder) == general(record, Keep())


def test_what_is_remembered_of_an_object_is_not_taken_for_another_ones() -> None:
    """Objects that die at once leave their ids to the next ones; there are more of them than are remembered."""
    encoder, keep, base = LineEncoder(Keep()), Keep(), decision()
    for number in range(3 * fragments.MOST):
        identity = Identity(user=User(sub=f"u{number}", iss="i"), client_ip=f"10.0.0.{number % 255}")
        record = replace(base, identity=identity)
        assert fast(record, encoder) == general(record, keep)


def test_what_is_remembered_is_bounded_in_number_and_size() -> None:
    made: list[int] = []

    def make(number: int) -> bytes:
        made.append(number)
        return b"x" * (number % 5_000)

    pieces: fragments.ByValue[int] = fragments.ByValue(make)
    for number in range(2 * fragments.MOST):
        assert pieces.of(number) == b"x" * (number % 5_000)
        assert len(pieces.known) <= fragments.MOST
        assert sum(map(len, pieces.known.values())) <= fragments.ROOM
    assert (pieces.of(1), pieces.of(1)) == (b"x",) * 2
    assert made.count(1) <= 2, "what is remembered is not made again"


def test_what_is_large_is_not_remembered() -> None:
    made: list[int] = []

    def make(number: int) -> bytes:
        made.append(number)
        return b"x" * number

    pieces: fragments.ByValue[int] = fragments.ByValue(make)
    large = fragments.LARGEST + 1
    assert (pieces.of(large), pieces.of(large), pieces.of(1)) == (b"x" * large, b"x" * large, b"x")
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
            fast(chance(number), encoder)
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
            request = RequestView(http=base.request.http, source=source)
            fast(replace(base, request=request, identity=identity), encoder)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 2_000_000  # 400 of them would be 12 million
    finally:
        tracemalloc.stop()


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
            assert fast(record, encoder) == general(record, keep)


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
                assert fast(record, encoder) == general(record, keep)


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
                assert fast(record, encoder) == general(record, keep)


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
        assert fast(record, encoder) == general(record, keep)


@pytest.mark.parametrize("navigates", [True, False])
def test_what_is_noted_of_a_reasoning_holds_for_every_request_that_it_decides(navigates: bool) -> None:
    keep = Keep()
    encoders = [LineEncoder(keep), LineEncoder(Keep(headers=frozenset()))]
    shown = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept": "text/html"}
    both = [decision(headers=shown if is_shown else {}) for is_shown in (navigates, not navigates)]
    requests = [one.request for one in both]
    decisions: list[Decision] = [
        Allow(rule="p/r"),
        Deny(reason="not-allowed", rule="p/r", status=404),
        Challenge(rule="p/c", demands=()),
        Hold(rule="p/h", demands=()),
    ]
    for one in decisions:
        for revision in ("sha256:0", "sha256:1"):
            base = replace(both[0], decision=one, revision=revision)
            reasoning = reasoning_of(base)
            for request in requests * 2:
                assert request is not None
                assert request.http is not None
                elsewhere = replace(request, http=replace(request.http, host="elsewhere.example.com"))
                for asked in (request, elsewhere):
                    record = replace(base, request=asked)
                    for encoder, kept in zip(encoders, (keep, Keep(headers=frozenset())), strict=True):
                        assert fast(brief_of(record, reasoning), encoder) == general(record, kept)


NAMES = ["accept", "cookie", "te", "user-agent"]
VALUES = st.sampled_from(["a", "b", "c", 'a"', "x" * 513, "é"])
ALIKE = st.tuples(
    st.lists(VALUES, min_size=4, max_size=4),
    st.frozensets(st.integers(0, 3)),
    st.lists(st.lists(VALUES, min_size=4, max_size=4), min_size=1, max_size=3),
)
"""Headers that are alike but at some places, and such that came."""


@given(st.lists(ALIKE, min_size=1, max_size=4), st.permutations([*range(12)]))
def test_what_is_noted_of_headers_that_are_alike_holds_for_all_of_them(
    kinds: list[tuple[list[str], frozenset[int], list[list[str]]]], order: list[int]
) -> None:
    keeps = (Keep(), Keep(headers=frozenset({"cookie", "te"})))
    encoders = [(LineEncoder(keep), keep) for keep in keeps]
    came: list[OneLineEach] = []
    for first, varying, others in kinds:
        common = Common(varying)
        for other in others:
            lines = [
                new if place in varying else old for place, (old, new) in enumerate(zip(first, other, strict=True))
            ]
            came.append(line_each(dict(zip(NAMES, lines, strict=True)), common))
    base = decision()
    assert base.request is not None
    assert base.request.http is not None
    for taken in ([encoders[0]], [encoders[1]], encoders):  # one after the other, and by turns
        for place in [one for one in [*order, *range(12)] if one < len(came)]:
            http = replace(base.request.http, headers=came[place])
            record = replace(base, request=replace(base.request, http=http))
            for encoder, keep in taken:
                assert fast(record, encoder) == general(record, keep)


@pytest.mark.parametrize(("scheme", "is_kept"), [("https", True), ("s" * 60_000, False)])
def test_what_a_request_is_to_is_kept_only_while_it_is_short(scheme: str, is_kept: bool) -> None:
    record = decision()
    assert record.request is not None
    assert record.request.http is not None
    brief = brief_of(replace(record, request=replace(record.request, http=replace(record.request.http, scheme=scheme))))
    line, span = LineEncoder(Keep()), DecisionSpans()
    told = [line.encode(brief) for _ in range(2)]
    assert told[0] == told[1]
    pieces: list[list[bytes]] = [[], []]
    for one in pieces:
        span.put(one, brief, bytes(16), bytes(8), None, "")
    assert pieces[0] == pieces[1]
    noted: Any = brief.reasoning.line, brief.reasoning.span
    assert [one.target is not None for one in noted] == [is_kept, is_kept]
