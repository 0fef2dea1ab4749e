"""Which decisions leave a span: refusals always, allows as the SDK's sampler says."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context
from record.making_records import allowed
from record.span_making import spans_of

from extauthz.errors import ConfigurationError
from extauthz.record.parent import Parent
from extauthz.record.sampling import Sampling
from extauthz.values.decisions import Challenge, Deny, Hold

KNOWN = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
SAMPLER = """
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

class ByRule(Sampler):
    def __init__(self, rule):
        self._rule = rule
    def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None, links=None, trace_state=None):
        wanted = attributes["extauthz.rule"] == self._rule
        return SamplingResult(Decision.RECORD_AND_SAMPLE if wanted else Decision.RECORD_ONLY, {"sampled.by": "rule"})
    def get_description(self):
        return "by rule"

def broken(argument):
    raise LookupError("no such rule")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that brings samplers."""
    (tmp_path / "odd_samplers.py").write_text(SAMPLER)
    found = tmp_path / "odd_samplers-1.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-samplers\nVersion: 1\n")
    (found / "entry_points.txt").write_text(
        "[opentelemetry_traces_sampler]\nby_rule = odd_samplers:ByRule\nbroken = odd_samplers:broken\n"
        "path = pathlib:Path\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("name", KNOWN)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(trace=st.binary(min_size=16, max_size=16).filter(any), sampled=st.none() | st.booleans())
def test_an_allow_is_sampled_as_the_sdk_samples(
    name: str, trace: bytes, sampled: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    parent = None if sampled is None else Parent(trace, bytes(7) + b"\x01", sampled)
    context = Context()
    if sampled is not None:
        span = SpanContext(int.from_bytes(trace), 1, is_remote=True, trace_flags=TraceFlags(int(sampled)))
        context = set_span_in_context(NonRecordingSpan(span), context)
    theirs = TracerProvider(shutdown_on_exit=False).sampler.should_sample(
        context, int.from_bytes(trace), "authz.check", SpanKind.SERVER
    )
    ours = Sampling({"OTEL_TRACES_SAMPLER": name}).choose(allowed(), trace, parent)
    assert (ours is not None) == (theirs.decision is Decision.RECORD_AND_SAMPLE)


def test_a_refusal_is_exported_whatever_the_sampler_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    refusals = [
        Deny(reason="denied", rule="p/a"),
        Deny(reason="internal-error", status=503),
        Challenge(rule="p/a", demands=()),
        Hold(rule="p/a", demands=()),
    ]
    records = [allowed(number, decision=decision) for number, decision in enumerate(refusals)]
    found = spans_of([*records, allowed(9)], {"OTEL_TRACES_SAMPLER": "always_off"})
    assert [(span.attributes or {})["extauthz.decision"] for span in found] == ["deny", "deny", "challenge", "hold"]


def test_the_state_of_a_sampled_trace_goes_on() -> None:
    state = "vendor=1,other=2"
    trace = (("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"), ("tracestate", state))
    allow, deny = spans_of([allowed(1, trace=trace), allowed(2, trace=trace, decision=Deny(reason="denied"))])
    for span in (allow, deny):
        assert span.context.trace_state.to_header() == state
        assert f"{span.context.trace_id:032x}" == "a" * 32


@pytest.mark.usefixtures("package")
def test_a_sampler_of_a_package_is_told_all_and_may_add_to_it() -> None:
    environ = {"OTEL_TRACES_SAMPLER": "by_rule", "OTEL_TRACES_SAMPLER_ARG": "p/reads"}
    (span,) = spans_of([allowed()], environ)
    assert (span.attributes or {})["sampled.by"] == "rule"
    assert spans_of([allowed()], {**environ, "OTEL_TRACES_SAMPLER_ARG": "p/writes"}) == ()


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "message"),
    [("broken", "can't make `broken`: LookupError: no such rule"), ("path", "`path` is no sampler")],
)
def test_a_sampler_that_is_none_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Sampling({"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": "."})
