"""Whose child a span is: by W3C Trace Context as OpenTelemetry's own propagator has it, and by B3."""

import pytest
from changing import replace
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.trace import TraceState, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from record.making_records import allowed

from extauthz.record.parent import Parent
from extauthz.record.sampling import state_of
from extauthz.record.trace_context import USUAL, Propagation, b3, w3c
from extauthz.record.usual_traces import UsualParents
from extauthz.values.headers import Headers, OneLineEach
from extauthz.values.request import HttpRequest, RequestView

TRACE, SPAN = "80f198ee56343ba864fe8b2a57d3eff7", "e457b5a2e4d86bd1"
HEX = "0123456789abcdef"
_OFFICIAL = TraceContextTextMapPropagator()


def parent(trace: str = TRACE, span: str = SPAN, *, sampled: bool = True, state: str = "") -> Parent:
    return Parent(bytes.fromhex(trace), bytes.fromhex(span), sampled, state)


hexes = st.text(HEX, max_size=34)
parts = st.tuples(
    st.sampled_from(["00", "01", "ff", "fe", "0", "0A", ""]),
    hexes | st.just(TRACE) | st.just("0" * 32) | st.just(TRACE.upper()),
    hexes | st.just(SPAN) | st.just("0" * 16),
    st.sampled_from(["00", "01", "03", "ff", "f", "0g"]),
)
traceparents = st.builds(
    lambda part, before, after: before + "-".join(part) + after,
    parts,
    st.sampled_from(["", " ", "\t", "x"]),
    st.sampled_from(["", " ", "-", "-more", "x", "-" + "y" * 600]),
)


@settings(max_examples=500)
@given(traceparents)
def test_a_traceparent_is_read_as_opentelemetry_reads_it(text: str) -> None:
    context = get_current_span(_OFFICIAL.extract({"traceparent": text}, Context())).get_span_context()
    found = w3c({"traceparent": text}.get)
    if not context.is_valid:
        assert found is None
    else:
        assert found == parent(
            f"{context.trace_id:032x}", f"{context.span_id:016x}", sampled=context.trace_flags.sampled
        )


def test_the_state_of_a_trace_goes_along() -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"}
    assert w3c(headers.get) == parent(state="vendor=1")


@pytest.mark.parametrize(
    "state",
    [
        "vendor",
        "a=b,c",
        "A=b",
        "a=b,a=c",
        "a=b\x1b[2J",
        "a=é",
        "a=" + "b" * 257,
        ",".join(f"k{number}=v" for number in range(33)),
        "a=b," * 5_000,
        " " * 60_000,
        "x" * 60_000,
    ],
)
def test_a_state_that_nobody_must_carry_is_left_behind_without_a_word(
    state: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A caller can send any: it costs no line of the log, and no time."""
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": state}
    found = w3c(headers.get)
    assert found == parent()
    assert state_of(found) == ""
    assert not caplog.records


@given(
    st.text("ab1@=, \t_-*/A;~", max_size=40)
    | st.from_regex(r"[a-z]{1,3}=[!-~]{1,5}(,[a-z]{1,3}=[!-~]{1,5}){0,3}", fullmatch=True)
)
def test_what_goes_along_is_what_opentelemetry_takes(state: str) -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": state}
    assert state_of(w3c(headers.get)) == TraceState.from_header([state]).to_header()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90", parent()),
        (f"{TRACE}-{SPAN}-1", parent()),
        (f"{TRACE}-{SPAN}-d", parent()),
        (f"{TRACE}-{SPAN}-0", parent(sampled=False)),
        (f"{TRACE}-{SPAN}", parent(sampled=False)),
        (f"{TRACE.upper()}-{SPAN}-1", parent()),
        (f"{TRACE[16:]}-{SPAN}-1", parent("0" * 16 + TRACE[16:])),
        ("0", None),
        ("1", None),
        ("d", None),
        ("", None),
        (f"{'0' * 32}-{SPAN}-1", None),
        (f"{'0' * 16}-{SPAN}-1", None),
        (f"{TRACE}-{'0' * 16}-1", None),
        (f"{TRACE}-{SPAN}-2", None),
        (f"{TRACE[1:]}-{SPAN}-1", None),
        (f"{TRACE}-{SPAN}-1-", None),
        (f"{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90-x", None),
        (f"{TRACE}-{SPAN}\n", None),
    ],
)
def test_b3_in_one_header(header: str, expected: Parent | None) -> None:
    assert b3({"b3": header}.get) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-b3-sampled": "1"}, parent()),
        ({"x-b3-sampled": "true"}, parent()),
        ({"x-b3-flags": "1"}, parent()),
        ({"x-b3-sampled": "0"}, parent(sampled=False)),
        ({}, parent(sampled=False)),
        ({"x-b3-sampled": "1", "x-b3-traceid": TRACE[16:]}, parent("0" * 16 + TRACE[16:])),
        ({"x-b3-traceid": "0" * 32}, None),
        ({"x-b3-traceid": f"{TRACE}-1"}, None),
        ({"x-b3-spanid": "0" * 16}, None),
        ({"x-b3-spanid": SPAN[1:]}, None),
        ({"b3": "0", "x-b3-sampled": "1"}, parent()),
    ],
)
def test_b3_in_several_headers(headers: dict[str, str], expected: Parent | None) -> None:
    assert b3({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, **headers}.get) == expected


def request(**headers: str) -> RequestView:
    http = allowed().request
    assert http is not None
    assert http.http is not None
    sent = {name.replace("_", "-"): (value,) for name, value in headers.items()}
    return RequestView(http=replace(http.http, headers=sent))


OTHER = "0af7651916cd43dd8448eb211c80319c"


def test_the_span_of_the_check_goes_before_that_of_the_request() -> None:
    sent = request(traceparent=f"00-{OTHER}-{SPAN}-01")
    call = (("traceparent", f"00-{TRACE}-{SPAN}-01"),)
    assert Propagation().parent(call, sent) == parent()
    assert Propagation().parent((), sent) == parent(OTHER)
    assert Propagation().parent((("traceparent", "nonsense"),), sent) == parent(OTHER)
    assert Propagation().parent((), None) is None


def test_a_request_with_two_parents_has_none() -> None:
    sent = request()
    assert sent.http is not None
    values = (f"00-{OTHER}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01")
    both = replace(sent.http, headers={"traceparent": values})
    assert Propagation().parent((), RequestView(http=both)) is None


def test_b3_is_read_where_it_is_asked_for_and_nowhere_else() -> None:
    sent = request(b3=f"{TRACE}-{SPAN}-1")
    assert Propagation().parent((), sent) is None
    assert Propagation("b3").parent((), sent) == parent()
    assert Propagation("tracecontext, B3Multi").parent((), sent) == parent()
    assert Propagation("none").parent((), sent) is None


def test_of_two_formats_in_one_call_the_one_named_last_counts() -> None:
    call = (("traceparent", f"00-{OTHER}-{SPAN}-01"), ("b3", f"{TRACE}-{SPAN}-1"))
    assert Propagation("tracecontext,b3").parent(call, None) == parent()
    assert Propagation("b3,tracecontext").parent(call, None) == parent(OTHER)


def test_an_unknown_format_is_told_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert Propagation("xray,b3").parent((("b3", f"{TRACE}-{SPAN}-1"),), None) == parent()
    assert "propagator-unknown" in capsys.readouterr().out


def http_with(headers: Headers) -> HttpRequest:
    http = request().http
    assert http is not None
    return replace(http, headers=headers)


usual = st.builds("00-{}-{}-{}".format, *[st.text(HEX + "0", min_size=size, max_size=size) for size in (32, 16, 2)])
hardly_usual = st.builds(
    lambda text, at, odd: text[:at] + odd + text[at + 1 :],
    usual,
    st.integers(0, 54),
    st.sampled_from(["A", "F", "g", " ", "-", "_", "\t", "\u0661", "\u0130", "0", "", "00"]),
)


@settings(max_examples=500)
@given(usual | hardly_usual | traceparents, st.none() | st.sampled_from(["", "a=b", "no state"]), st.booleans())
def test_the_usual_parent_is_the_one_that_is_read_from_the_headers(text: str, state: str | None, twice: bool) -> None:
    sent = {"accept": "*/*", "traceparent": text} | ({} if state is None else {"tracestate": state})
    each = OneLineEach({name: place for place, name in enumerate(sent)}, tuple(sent.values()), ())
    headers = {name: (line, line) for name, line in sent.items()} if twice else each
    view = RequestView(http=http_with(headers))
    found, read = UsualParents().of(headers), Propagation().parent((), view)
    assert found is None or (found == read and state is None and not twice)
    assert found is not None or twice or state is not None or USUAL(text) is None
    assert UsualParents().of({}) is None


@given(st.lists(st.tuples(st.sampled_from(["traceparent", "a", "tracestate"]), st.booleans()), max_size=6))
def test_where_the_last_headers_had_it_says_nothing_of_other_names(sent: list[tuple[str, bool]]) -> None:
    reader = UsualParents()
    shared: dict[tuple[str, bool], dict[str, int]] = {}
    for number, (name, first) in enumerate([*sent, *sent]):
        names = dict.fromkeys([name, "traceparent"] if first else ["traceparent", name])
        places = shared.setdefault((name, first), {one: place for place, one in enumerate(names)})
        text = f"00-{TRACE}-{number + 1:016x}-01"
        headers = OneLineEach(places, tuple(text if one == "traceparent" else "" for one in names), ())
        expected = None if name == "tracestate" else parent(span=f"{number + 1:016x}")
        assert reader.of(headers) == expected
        assert reader.of(OneLineEach({"b": 0}, (text,), ())) is None


def test_headers_are_read_in_the_usual_way_where_no_other_format_is_wanted() -> None:
    assert Propagation().is_w3c
    assert Propagation("tracecontext").is_w3c
    assert not any(Propagation(names).is_w3c for names in ("b3", "tracecontext,b3", "b3,tracecontext", "none"))
