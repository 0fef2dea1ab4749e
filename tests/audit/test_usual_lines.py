"""The ways that usual requests take to their lines write what the general one does, whatever came before."""

import pytest
from audit.auditing import decision
from audit.both_ways import fast, general
from audit.making_lines import SPAN, TRACE, line_each
from briefs import brief_of, reasoning_of
from changing import replace
from hypothesis import given
from hypothesis import strategies as st

from extauthz.record.line_commons import Outcome
from extauthz.record.line_encoder import LineEncoder
from extauthz.record.masking import HEADERS, Keep
from extauthz.record.usual_traces import UsualParents
from extauthz.values.common import Common
from extauthz.values.request import HttpRequest, RequestView

KEEPS = (Keep(), Keep(headers=HEADERS - {"traceparent"}), Keep(query=frozenset({"amount"})))
NAMES = ("accept", "traceparent", "user-agent", "x-request-id", "tracestate", "cookie", "b3")
USUAL = [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE[::-1]}-{SPAN[::-1]}-00"]
LINES = st.sampled_from(
    [*USUAL, *USUAL, f"00-{TRACE.upper()}-{SPAN}-01", "a", 'a"', "\\", "é", "", "x" * 300, "x" * 513]
)
ALIKE = st.tuples(
    st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
    st.lists(st.lists(LINES, min_size=len(NAMES), max_size=len(NAMES)), min_size=1, max_size=4),
    st.booleans(),
)
"""Names of headers, what came under them, and whether all of it was read as one."""


def asking(http: HttpRequest) -> RequestView:
    return RequestView(http=http)


def usual_http() -> HttpRequest:
    request = decision().request
    assert request is not None
    assert request.http is not None
    return request.http


@given(st.lists(ALIKE, min_size=1, max_size=3), st.sampled_from(KEEPS), st.sampled_from(["", "7", 'a"']))
def test_however_many_headers_vary_the_line_is_the_same(
    kinds: list[tuple[list[str], list[list[str]], bool]], keep: Keep, id_: str
) -> None:
    encoder, base = LineEncoder(keep), usual_http()
    for names, came, is_one in kinds:
        common = Common(frozenset(range(len(names)))) if is_one else None
        for lines in came * 2:
            sent = line_each(dict(zip(names, lines, strict=False)), common)
            record = replace(decision(), request=asking(replace(base, id=id_, headers=sent)))
            brief = brief_of(record)
            assert fast(brief, encoder) == general(record, keep)
            assert UsualParents().of_record(brief) == UsualParents().of(sent), "whoever comes next reads what was read"
            assert brief.traceparent in ("", sent.lines[sent.places["traceparent"]] if "traceparent" in names else "")


QUERIES = st.sampled_from(
    ["", "a=1", "a=2", "a=", "a", "a==", "a=1&b=2", "a=1=2", "b=1", "amount=5", "amount=%35", "=1", "a=é", "1=2", 'a="']
)
HOSTS = st.sampled_from(["one", "one", "other", 'o"'])
ASKED = st.tuples(QUERIES, st.booleans(), st.booleans(), HOSTS, st.sampled_from(["HTTP/2", "HTTP/2", ""]))


@given(st.sampled_from(["a=1", "amount=5", "b=x"]), st.lists(ASKED, min_size=1, max_size=8))
def test_what_is_noted_of_a_query_is_not_taken_for_what_another_asked(
    first: str, came: list[tuple[str, bool, bool, str, str]]
) -> None:
    base, encoders, http = decision(), [LineEncoder(keep) for keep in KEEPS], usual_http()
    reasoning = reasoning_of(base)
    noted = (first, True, True, "one", "HTTP/2")
    for query, has_query, is_path, host, protocol in [noted, noted, noted, *came, noted, *came]:
        raw_path = http.path if is_path else f"{http.path}/."
        asked = replace(http, raw_query=query, has_query=has_query, raw_path=raw_path, host=host, protocol=protocol)
        record = replace(base, request=asking(asked))
        for encoder, keep in zip(encoders, KEEPS, strict=True):
            assert fast(brief_of(record, reasoning), encoder) == general(record, keep)


@pytest.mark.parametrize("query", ["a=2&b=1", "a=2=3", "a=", "a=%31", "a=2 ", "b=1"])
@pytest.mark.parametrize("is_path", [True, False])
def test_a_query_that_begins_as_the_last_one_did_is_read_by_itself(query: str, is_path: bool) -> None:
    base, encoder, http = decision(), LineEncoder(KEEPS[0]), usual_http()
    reasoning = reasoning_of(base)
    for sent in ("a=1", "a=1", "a=1", query, "a=1", query):
        raw_path = http.path if is_path or sent == "a=1" else f"{http.path}/."
        record = replace(base, request=asking(replace(http, raw_query=sent, has_query=True, raw_path=raw_path)))
        assert fast(brief_of(record, reasoning), encoder) == general(record, KEEPS[0])


def test_a_path_as_it_was_sent_is_not_noted_with_the_query_behind_it() -> None:
    base, encoder, http = decision(), LineEncoder(KEEPS[0]), usual_http()
    reasoning = reasoning_of(base)
    for query, raw_path in (("a=1", http.path), ("b=1", http.path), ("a=1", f"{http.path}/."), ("a=1", http.path)):
        record = replace(base, request=asking(replace(http, raw_query=query, has_query=True, raw_path=raw_path)))
        assert fast(brief_of(record, reasoning), encoder) == general(record, KEEPS[0])


def test_of_what_is_long_no_query_is_noted() -> None:
    base, encoder, http = decision(), LineEncoder(Keep()), usual_http()
    for protocol, is_noted in (("HTTP/2", True), ("p" * 20_000, False)):
        record = replace(
            base, request=asking(replace(http, raw_query="a=1", has_query=True, raw_path=http.path, protocol=protocol))
        )
        reasoning = reasoning_of(record)
        for _ in range(3):
            assert fast(brief_of(record, reasoning), encoder) == general(record, Keep())
        noted = reasoning.line
        assert isinstance(noted, Outcome)
        assert bool(noted.told) == is_noted


@pytest.mark.parametrize("value", ['a"', "\\", "\t", "é", "x" * 513])
@pytest.mark.parametrize("names", [("accept", "traceparent"), ("traceparent", "accept"), ("accept",)])
def test_a_header_beside_a_usual_trace_is_looked_at(value: str, names: tuple[str, ...]) -> None:
    encoder, common = LineEncoder(Keep()), Common(frozenset(range(len(names))))
    for accept in ("a", "b", value, "a"):
        for trace in USUAL:
            sent = line_each({name: trace if name == "traceparent" else accept for name in names}, common)
            record = replace(decision(), request=asking(replace(usual_http(), headers=sent)))
            assert fast(record, encoder) == general(record, Keep())


@pytest.mark.parametrize("values", [('a"', "b"), ("b", 'a"'), ("é", "b"), ("b", "é")])
def test_headers_are_looked_at_beside_a_usual_trace_that_is_not_among_them(values: tuple[str, str]) -> None:
    encoder, common = LineEncoder(KEEPS[1]), Common(frozenset(range(3)))
    for accept, agent in (("a", "b"), ("c", "d"), values, ("a", "b")):
        for trace in USUAL:
            sent = line_each({"accept": accept, "traceparent": trace, "user-agent": agent}, common)
            record = replace(decision(), request=asking(replace(usual_http(), headers=sent)))
            assert fast(record, encoder) == general(record, KEEPS[1])


@pytest.mark.parametrize("seconds", [0, -1, 1, 1_790_000_000, 2**40])
def test_both_ways_write_the_same_moment_at_which_a_request_came(seconds: int) -> None:
    keep, base = Keep(), usual_http()
    for nanos in (0, 1, 999_999, 10**6, 10**6 + 1, 10**7 - 1, 10**7, 10**8 + 1_002, 999_999_999, 10**9, 2**40, -1):
        for encoder in (LineEncoder(keep), ENCODER):
            record = replace(decision(), request=RequestView(http=base, time=(seconds, nanos)))
            assert fast(record, encoder) == general(record, keep)


ENCODER = LineEncoder(Keep())
"""Used for all, so that what it remembers of one could spoil another."""


@given(st.text("az09 /", max_size=200), st.text("az09 /", max_size=200))
def test_a_text_that_cannot_be_written_spoils_no_other_line(before: str, behind: str) -> None:
    keep, encoder = Keep(), LineEncoder(Keep())
    for text in (before, f"{before}\ud800{behind}", behind, f'{before}"{behind}', before):
        record = replace(decision(), request=asking(replace(usual_http(), path=text, raw_path=text)))
        assert fast(record, encoder) == general(record, keep)
