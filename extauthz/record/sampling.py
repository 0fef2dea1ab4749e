"""Which allows leave a span: what the sampler says that `OTEL_TRACES_SAMPLER` names.

The rule kept here: it is the SDK's own sampler that is asked. Those of the specification look at no more than the flag
of the parent and the trace id, and are asked for as little; any other gets all that there is.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Final

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState, set_span_in_context

from extauthz.errors import ConfigurationError
from extauthz.record.brief import Decided, in_full
from extauthz.record.decision_spans import SPAN_NAME
from extauthz.record.parent import Parent
from extauthz.record.sampled import PLAIN, Sampled
from extauthz.record.span_attributes import Attributes, attributes_of

_VARIABLE: Final = "OTEL_TRACES_SAMPLER"
_GROUP: Final = "opentelemetry_traces_sampler"
_BY_FLAG: Final = frozenset({"always_on", "always_off", "parentbased_always_on", "parentbased_always_off"})
_BY_TRACE: Final = frozenset({"traceidratio", "parentbased_traceidratio"})

_log = structlog.get_logger(__name__)


class Sampling:
    """Asks the sampler. Belongs to one thread."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Take the sampler that the variables name.

        Raises:
            ConfigurationError: it comes from a package, and can't be made.
        """
        name = environ.get(_VARIABLE, "").strip().lower() or "parentbased_always_on"
        self._sampler = _sampler(name, environ)
        self._contexts = {flag: _context(_of_flag(flag)) for flag in (None, False, True)}
        self._by_trace: Final = name in _BY_TRACE
        self._by_flag: Final = name in _BY_FLAG
        self._wants_roots: Final = self._by_flag and self._asked(None, 1)
        self._wants_unrecorded: Final = self._by_flag and self._asked(False, 1)
        self._wants_recorded: Final = self._by_flag and self._asked(True, 1)

    def choose(self, record: Decided, trace_id: bytes, parent: Parent | None) -> Sampled | None:
        """How the span of this decision is exported, `None` if it is not."""
        if self._by_flag:
            if parent is None:
                wanted = self._wants_roots
            else:
                wanted = self._wants_recorded if parent.sampled else self._wants_unrecorded
        elif self._by_trace:
            wanted = self._asked(None if parent is None else parent.sampled, int.from_bytes(trace_id))
        else:
            return self._told(record, trace_id, parent)
        if not wanted:
            return None
        return PLAIN if parent is None or not parent.state else Sampled(state_of(parent), {})

    def _asked(self, flag: bool | None, trace_id: int) -> bool:
        result = self._sampler.should_sample(self._contexts[flag], trace_id, SPAN_NAME, SpanKind.SERVER)
        return result.decision is Decision.RECORD_AND_SAMPLE

    def _told(self, record: Decided, trace_id: bytes, parent: Parent | None) -> Sampled | None:
        known = attributes_of(in_full(record))
        result: SamplingResult = self._sampler.should_sample(
            _context(parent), int.from_bytes(trace_id), SPAN_NAME, SpanKind.SERVER, attributes=known, links=()
        )
        if result.decision is not Decision.RECORD_AND_SAMPLE:
            return None
        added: Attributes = {
            name: value
            for name, value in result.attributes.items()
            if name not in known and isinstance(value, str | bool | int | float)
        }
        return Sampled("" if result.trace_state is None else result.trace_state.to_header(), added)


def state_of(parent: Parent | None) -> str:
    """The `tracestate` that goes on from a parent, as far as it is well formed (W3C Trace Context section 3.3)."""
    return "" if parent is None or not parent.state else TraceState.from_header([parent.state]).to_header()


def _sampler(name: str, environ: Mapping[str, str]) -> Sampler:
    if name not in _BY_FLAG | _BY_TRACE:
        for entry in entry_points(group=_GROUP, name=name):
            try:
                made = entry.load()(environ.get(f"{_VARIABLE}_ARG"))
            except Exception as error:
                raise ConfigurationError(
                    f"{_VARIABLE}: can't make `{name}`: {type(error).__name__}: {error}"
                ) from error
            if not isinstance(made, Sampler):
                raise ConfigurationError(f"{_VARIABLE}: `{name}` is no sampler")
            return made
    # The SDK reads the variables itself, and says what it makes of one that it doesn't know.
    return TracerProvider(shutdown_on_exit=False).sampler


def _of_flag(flag: bool | None) -> Parent | None:
    return None if flag is None else Parent(bytes(15) + b"\x01", bytes(7) + b"\x01", flag)


def _context(parent: Parent | None) -> Context:
    """What a sampler looks at, and never what is in force in the thread."""
    if parent is None:
        return Context()
    span = SpanContext(
        trace_id=int.from_bytes(parent.trace_id),
        span_id=int.from_bytes(parent.span_id),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT),
        trace_state=TraceState.from_header([parent.state]) if parent.state else TraceState(),
    )
    return set_span_in_context(NonRecordingSpan(span), Context())
