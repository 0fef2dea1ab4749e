"""The fast way to a line and the general one write the same bytes, whatever a record holds."""

import pytest
from audit.auditing import decision
from audit.both_ways import fast, general
from audit.making_lines import KEEPS, SPAN, TRACE, https, line_each, records, texts, trace_contexts
from briefs import brief_of
from changing import replace
from hypothesis import given
from hypothesis import strategies as st

from extauthz.record.decision import DecisionRecord
from extauthz.record.line_encoder import LineEncoder
from extauthz.record.masking import Keep
from extauthz.record.trace_context import USUAL
from extauthz.record.usual_traces import trace_of, usual
from extauthz.values.decisions import Challenge
from extauthz.values.request import HttpRequest, RequestView

ENCODERS = {keep: LineEncoder(keep) for keep in KEEPS}
"""Used for all examples, so that what they remember of one could spoil another."""


@given(records, st.sampled_from(KEEPS))
def test_both_ways_write_the_same_bytes_of_any_record(record: DecisionRecord, keep: Keep) -> None:
    expected, brief = general(record, keep), brief_of(record)
    assert fast(brief, ENCODERS[keep]) == expected
    assert fast(brief, ENCODERS[keep]) == expected, "what is remembered must be the same"
    again = brief_of(record, brief.reasoning)
    assert fast(again, ENCODERS[keep]) == expected, "and what is noted of its reasoning"


@given(https, st.lists(texts | trace_contexts, min_size=2, max_size=4), st.sampled_from(KEEPS))
def test_both_ways_write_the_same_bytes_of_requests_with_the_same_names(
    http: HttpRequest, values: list[str], keep: Keep
) -> None:
    base = decision()
    for value in values:
        sent = line_each({"accept": value, "cookie": value, "x-tier": value, "traceparent": value})
        record = replace(base, request=RequestView(http=replace(http, headers=sent)))
        assert fast(record, ENCODERS[keep]) == general(record, keep)


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\tb", "\x7f", "é", "\u2028", "x" * 513])
def test_a_value_that_is_not_plain_is_written_as_the_general_way_does(value: str) -> None:
    keep = Keep()
    for name in ("user-agent", "cookie"):
        http = decision(headers={name: value, "accept": "*/*"}).request
        record = replace(decision(), request=http)
        assert fast(record, LineEncoder(keep)) == general(record, keep)


def test_a_challenge_has_the_status_of_its_caller() -> None:
    keep = Keep()
    shown = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept": "text/html"}
    for sent in ({}, shown):
        record = replace(decision(headers=sent), decision=Challenge(rule="p/c", demands=()))
        assert fast(record, LineEncoder(keep)) == general(record, keep)


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
            f"00-{TRACE.upper()}-{SPAN}-01",
            f"00-{TRACE}-{SPAN.upper()}-01",
            f"00-  {TRACE[2:]}-{SPAN}-01",
            f"00-{TRACE}-{SPAN[2:]}  -01",
            f"00-{TRACE}-{SPAN}-0A",
            f"00-{TRACE}-{SPAN}-A0",
            "",
        ]
    )
)
def test_a_trace_is_found_where_the_pattern_finds_it(text: str) -> None:
    found = USUAL(text)
    said = usual(text)
    assert said == (b"" if found is None else text.encode())
    assert trace_of(said) == (b"" if found is None else found[1].encode())


@pytest.mark.parametrize(
    "took",
    [
        *range(12),
        10,
        99,
        100,
        110,
        999,
        1_000,
        1_001,
        1_010,
        123_456_789,
        10**15 - 1,
        10**15,
        10**15 + 1,
        36_138_290_101_497_877,
        2**62,
        -1,
    ],
)
def test_both_ways_write_the_same_time_that_it_took(took: int) -> None:
    keep, began = Keep(), 1_790_000_000_999_999_999
    record = replace(decision(), started_ns=began, ended_ns=began + took)
    assert fast(record, LineEncoder(keep)) == general(record, keep)


def test_both_ways_write_the_same_moments_around_a_second() -> None:
    keep, encoder = Keep(), LineEncoder(Keep())
    for second in (1_790_000_000, 1_790_000_001, 1_790_000_000, 0, 1):
        for nanos in (0, 1, 10, 999_999_999, 5):
            record = replace(decision(), started_ns=second * 10**9 + nanos, ended_ns=2 * 10**18)
            assert fast(record, encoder) == general(record, keep)
