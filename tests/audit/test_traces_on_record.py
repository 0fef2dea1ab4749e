"""The trace of a decision in its line, in whichever way it came; and everything that finds a line by it."""

import json

import msgspec
import pytest
from audit.auditing import START, decision
from briefs import brief_of
from msgspec.structs import replace

from extauthz.history.index_rows import decision_row, trace_of
from extauthz.history.reading import parse
from extauthz.history.table import row_of
from extauthz.history.wanted import Wanted
from extauthz.record.audit_line import DecisionLine, RequestLine
from extauthz.record.decision import DecisionRecord, Wait
from extauthz.record.line_encoder import LineEncoder
from extauthz.record.masking import Keep, line_of
from extauthz.values.span_ids import SpanIds

TRACE, OTHER, SPAN = "0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736", "b7ad6b7169203331"
SENT = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
OLD = b"""{"v":1,"time":"2026-09-21T14:13:20.123456789Z","decision_id":"d-1","decision":"allow","reason":"allowed",\
"rule":"p/r","status":200,"revision":"sha256:0","duration_us":250.0,"request":{"method":"GET","host":"example.com",\
"path":"/pay","headers":{"traceparent":["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]}}}"""
"""A line of before lines had a trace."""


def written(record: DecisionRecord) -> bytes:
    if record.request is None:
        return msgspec.json.encode(line_of(record, Keep()))
    return LineEncoder(Keep()).encode(brief_of(record)) + b"}"


def read(line: bytes) -> DecisionLine:
    found = parse(line)
    assert isinstance(found, DecisionLine)
    return found


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (decision(), {}),
        (decision(headers=SENT), {"trace_id": TRACE}),
        (decision(headers={"b3": f"{TRACE.upper()}-{SPAN}-1", "cookie": "a"}), {"trace_id": TRACE}),
        (decision(headers={"x-b3-traceid": TRACE[:16], "x-b3-spanid": SPAN}), {"trace_id": "0" * 16 + TRACE[:16]}),
        (decision(headers={"traceparent": f"00-{'0' * 32}-{SPAN}-01", "te": "trailers"}), {}),
        (
            replace(decision(headers=SENT), trace=(("traceparent", f"00-{OTHER}-{SPAN}-01"),)),
            {"trace_id": OTHER},
        ),
        (replace(decision(), trace=(("b3", f"{OTHER}-{SPAN}"),)), {"trace_id": OTHER}),
        (replace(decision(), request=None, trace=(("traceparent", f"00-{OTHER}-{SPAN}-01"),)), {"trace_id": OTHER}),
        (
            replace(decision(headers=SENT), span=SpanIds(int(OTHER, 16), 255, sampled=True)),
            {"trace_id": OTHER, "span_id": "00000000000000ff"},
        ),
    ],
)
def test_a_line_says_which_trace_its_decision_is_part_of(record: DecisionRecord, said: dict[str, str]) -> None:
    line = json.loads(written(record))
    assert {name: line[name] for name in ("trace_id", "span_id") if name in line} == said


def test_a_decision_is_found_by_its_trace_and_by_that_of_its_request() -> None:
    record = replace(decision(headers=SENT), trace=(("traceparent", f"00-{OTHER}-{SPAN}-01"),))
    line = written(record)
    for trace, is_it in ((OTHER, True), (TRACE, True), ("f" * 32, False)):
        wanted = Wanted(trace=trace)
        assert (wanted.may_hold(line) and wanted.includes(read(line))) is is_it
    assert row_of(line, read(line))["trace_ids"] == [OTHER, TRACE]
    assert decision_row(read(line)).trace == OTHER


def test_an_old_line_is_found_by_the_trace_of_its_request() -> None:
    line = read(OLD)
    assert (line.trace_id, line.span_id, line.waits, line.challenge) == ("", "", [], "")
    assert Wanted(trace=TRACE).may_hold(OLD)
    assert Wanted(trace=TRACE).includes(line)
    assert not Wanted(trace=OTHER).includes(line)
    row = row_of(OLD, line)
    assert (row["trace_ids"], row["span_id"], row["waited_us"], row["challenge"]) == ([TRACE], None, None, None)
    assert decision_row(line).trace == TRACE


def test_two_headers_of_an_old_line_tell_no_trace() -> None:
    sent: dict[str, int | list[str]] = {"traceparent": [f"00-{TRACE}-{SPAN}-01", f"00-{OTHER}-{SPAN}-01"]}
    line = replace(read(OLD), request=RequestLine(method="GET", host="a", path="/", headers=sent))
    assert trace_of(line) is None
    assert trace_of(replace(line, request=None)) is None


def test_waits_and_the_challenge_are_told() -> None:
    waits = (
        Wait("hold", START - 2_000_000_000, START - 1_000_000_000),
        Wait("store", START + 12_500, START + 312_750, failed=True),
    )
    raw = written(replace(decision(), waits=waits, challenge="c-1"))
    line = json.loads(raw)
    assert line["waits"] == [
        {"name": "hold", "after_us": -2_000_000.0, "duration_us": 1_000_000.0},
        {"name": "store", "after_us": 12.5, "duration_us": 300.25, "failed": True},
    ]
    assert line["challenge"] == "c-1"
    row = row_of(raw, read(raw))
    assert (row["waited_us"], row["challenge"]) == (1_000_300.25, "c-1")
    assert msgspec.json.encode(read(raw)) == raw
