"""The forms that spans leave in: bytes of OTLP, or spans as the SDK has them, for other exporters.

The rule kept here: both tell the same, within the limits that the variables of OpenTelemetry set.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from opentelemetry.sdk.trace import ReadableSpan

from extauthz.record.brief import Brief, Decided, Reasoning, in_full
from extauthz.record.decision_spans import DecisionSpans, model_of
from extauthz.record.otlp import SPAN, encoded, framed
from extauthz.record.outlet import Outlet, Parcel
from extauthz.record.parent import Parent
from extauthz.record.sampled import Sampled
from extauthz.record.span_model import Limits, SpanModel
from extauthz.values.decisions import Allow

_TOGETHER: Final = 64
"""Spans in one parcel, at most."""
_COMMON: Final = 32
"""Attributes that a span may have beside those of risk models, of which each adds up to `_OF_A_MODEL`."""
_OF_A_MODEL: Final = 3
_READABLE: Final = 4_096
"""Bytes that a span as the SDK has it is counted for."""


class Form:
    """Takes spans, and ships what it has taken. Belongs to one thread."""

    def add_decision(
        self, record: Decided, trace_id: bytes, span_id: bytes, parent: Parent | None, sampled: Sampled
    ) -> None:
        """Take the span of a decision."""
        raise NotImplementedError

    def add(self, model: SpanModel) -> None:
        """Take any other span."""
        raise NotImplementedError

    def ship(self) -> None:
        """Hand over what was taken."""
        raise NotImplementedError


class OtlpForm(Form):
    """Spans as bytes, each with its tag and length."""

    def __init__(self, outlet: Outlet[bytes], limits: Limits, *, most: int) -> None:
        self._outlet = outlet
        self._limits = limits
        self._most = min(most, _TOGETHER)
        self._decisions = DecisionSpans()
        self._pieces: list[bytes] = []
        self._count = 0
        self._room = None if limits.length is not None else _room(limits.attributes)
        self._links = limits.links

    def add_decision(
        self, record: Decided, trace_id: bytes, span_id: bytes, parent: Parent | None, sampled: Sampled
    ) -> None:
        """Take the span of a decision: quickly, unless limits may cut it or a sampler has added something."""
        if isinstance(record, Brief) and not sampled.attributes and self._fits(record.reasoning):
            self._decisions.put(self._pieces, record, trace_id, span_id, parent, sampled.state)
            self._counted()
        else:
            self.add(model_with(record, trace_id, span_id, parent, sampled))

    def add(self, model: SpanModel) -> None:
        """Take any other span."""
        self._pieces.append(framed(SPAN, encoded(self._limits.applied(model))))
        self._counted()

    def ship(self) -> None:
        """Hand over what was taken."""
        if self._count:
            content = b"".join(self._pieces)
            self._outlet.put(Parcel(self._count, len(content), content))
            self._pieces = []
            self._count = 0

    def _fits(self, reasoning: Reasoning) -> bool:
        """Whether it may tell of all risk models, and link to all that it can."""
        if self._room is None or len(reasoning.risk) > self._room:
            return False
        decision = reasoning.decision
        if self._links is None or not reasoning.may_rest or not isinstance(decision, Allow):
            return True
        return len(decision.grants) <= self._links

    def _counted(self) -> None:
        self._count += 1
        if self._count >= self._most:
            self.ship()


class ReadableForm(Form):
    """Spans as the SDK has them."""

    def __init__(
        self,
        outlet: Outlet[list[ReadableSpan]],
        limits: Limits,
        make: Callable[[SpanModel], ReadableSpan],
        *,
        most: int,
    ) -> None:
        self._outlet = outlet
        self._limits = limits
        self._make = make
        self._most = min(most, _TOGETHER)
        self._spans: list[ReadableSpan] = []

    def add_decision(
        self, record: Decided, trace_id: bytes, span_id: bytes, parent: Parent | None, sampled: Sampled
    ) -> None:
        """Take the span of a decision."""
        self.add(model_with(record, trace_id, span_id, parent, sampled))

    def add(self, model: SpanModel) -> None:
        """Take any other span."""
        self._spans.append(self._make(self._limits.applied(model)))
        if len(self._spans) >= self._most:
            self.ship()

    def ship(self) -> None:
        """Hand over what was taken."""
        if self._spans:
            self._outlet.put(Parcel(len(self._spans), _READABLE * len(self._spans), self._spans))
            self._spans = []


def model_with(record: Decided, trace_id: bytes, span_id: bytes, parent: Parent | None, sampled: Sampled) -> SpanModel:
    """The span of a decision with what the sampler has added to it."""
    model = model_of(in_full(record), trace_id, span_id, parent, sampled.state)
    if not sampled.attributes:
        return model
    return msgspec.structs.replace(model, attributes={**model.attributes, **sampled.attributes})


def _room(attributes: int | None) -> int | None:
    """Of how many risk models a span may tell for sure; `None` if not even what is common fits for sure."""
    if attributes is None:
        return _TOGETHER
    return None if attributes < _COMMON else (attributes - _COMMON) // _OF_A_MODEL
