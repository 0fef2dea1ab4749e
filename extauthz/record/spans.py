"""The keeper of spans: one for every decision that is refused, challenged, held or fails, and for the allows that the
sampler wants; one below it for whoever it waited for; and one for each event of challenges, factors, grants and
approvals, linked to the decisions that it belongs to.

The rule kept here: spans are made off the way of a decision, and one that can't be made is no reason to lose another.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator

from extauthz.record.brief import Brief, Decided
from extauthz.record.decision import Trace, Wait
from extauthz.record.keeping import Record
from extauthz.record.life import LifeRecord
from extauthz.record.outlet import SpanCounts
from extauthz.record.sampled import PLAIN, Sampled
from extauthz.record.sampling import Sampling, state_of
from extauthz.record.span_attributes import life_attributes
from extauthz.record.span_forms import Form
from extauthz.record.span_model import CLIENT, INTERNAL, SpanModel
from extauthz.record.trace_context import Propagation
from extauthz.record.usual_traces import UsualParents
from extauthz.values.decisions import Allow
from extauthz.values.request import RequestView
from extauthz.values.span_ids import SpanIds

_STORIES: Final = ("challenge.", "factor.", "grant.", "approval.")
"""What the kinds of events begin with that go on with what a decision began."""

_ID: Final = 8
"""Bytes of the id of a span."""
_TOGETHER: Final = 32 * _ID
"""Bytes of ids that are drawn in one go."""
_NO_ID: Final = bytes(_ID)
_Allow: Final = Allow

_log = structlog.get_logger(__name__)


class DrawnIds:
    """Ids of spans as the SDK's own generator draws them, from the same numbers, but several in one go. Belongs to one
    thread. `draw` makes so many bytes."""

    def __init__(self, draw: Callable[[int], bytes]) -> None:
        self._draw: Final = draw
        self._drawn = b""
        self._used = 0

    def new(self) -> bytes:
        """The next one."""
        id_ = _NO_ID
        while id_ == _NO_ID:
            used = self._used
            if used == len(self._drawn):
                self._drawn, used = self._draw(_TOGETHER), 0
            self._used = used + _ID
            id_ = self._drawn[used : used + _ID]
        return id_


class Spans:
    """Makes spans of records, in the forms that their receivers take. `keep` and `close` belong to one thread."""

    def __init__(
        self,
        forms: Sequence[Form],
        *,
        propagation: Propagation,
        sampling: Sampling,
        generator: IdGenerator,
        counts: Callable[[], SpanCounts],
        close: Callable[[], None],
    ) -> None:
        self._forms = tuple(forms)
        self._propagation = propagation
        self._is_w3c = propagation.is_w3c
        self._sampling = sampling
        self._generator = generator
        self._drawn: Final = DrawnIds(random.randbytes) if type(generator) is RandomIdGenerator else None
        self._parents: Final = UsualParents()
        self._counts = counts
        self._close = close

    @property
    def counts(self) -> SpanCounts:
        """How the spans stand that are made. Any thread may ask."""
        return self._counts()

    def give(self, trace: Trace, request: RequestView | None) -> SpanIds:
        """The span of a decision that others link to, before it is made. Any thread may ask; such a decision is always
        exported."""
        parent = self._propagation.parent(trace, request)
        trace_id = self._generator.generate_trace_id() if parent is None else int.from_bytes(parent.trace_id)
        return SpanIds(trace_id, self._generator.generate_span_id(), sampled=True)

    def keep(self, batch: Sequence[Record]) -> None:
        """Make the spans of these."""
        for record in batch:
            try:
                if isinstance(record, Brief) or not isinstance(record, LifeRecord):
                    self._decision(record)
                elif record.kind.startswith(_STORIES):
                    self._event(record)
            except Exception as error:  # noqa: BLE001 - one odd record must not end the spans of all others
                # By its type alone: a traceback could hold what is masked.
                _log.error("span-lost", decision_id=record.decision_id, error=type(error).__name__)
        for form in self._forms:
            form.ship()

    def close(self) -> None:
        """Export what waits, for some seconds, and end."""
        self._close()

    def _decision(self, record: Decided) -> None:
        if isinstance(record, Brief):
            beside, decision = record.beside, record.reasoning.decision
            given, trace, waits = beside.span, beside.trace, beside.waits
            parent = self._parents.of_record(record) if self._is_w3c and not trace else None
            if parent is None:
                parent = self._propagation.parent(trace, record.view())
        else:
            given, trace, waits, decision = record.span, record.trace, record.waits, record.decision
            parent = self._propagation.parent(trace, record.request)
        if given is not None:
            trace_id = given.trace_id.to_bytes(16)
        else:
            trace_id = self._generator.generate_trace_id().to_bytes(16) if parent is None else parent.trace_id
        sampled: Sampled | None
        if given is None and type(decision) is _Allow:
            sampled = self._sampling.choose(record, trace_id, parent)
            if sampled is None:
                return
        else:
            sampled = PLAIN if parent is None or not parent.state else Sampled(state_of(parent), {})
        span_id = self._new_span_id() if given is None else given.span_id.to_bytes(8)
        for form in self._forms:
            form.add_decision(record, trace_id, span_id, parent, sampled)
        if waits:
            for wait in waits:
                self._wait(wait, trace_id, span_id, sampled.state)

    def _new_span_id(self) -> bytes:
        """That of a span that nobody knows yet."""
        drawn = self._drawn
        return drawn.new() if drawn is not None else self._generator.generate_span_id().to_bytes(_ID)

    def _wait(self, wait: Wait, trace_id: bytes, above: bytes, state: str) -> None:
        self._add(
            SpanModel(
                name=f"authz.wait.{wait.name}",
                kind=INTERNAL if wait.name in ("hold", "audit") else CLIENT,
                trace_id=trace_id,
                span_id=self._new_span_id(),
                parent=above,
                state=state,
                started_ns=wait.started_ns,
                ended_ns=wait.ended_ns,
                attributes={},
                failure="no answer" if wait.failed else None,
            )
        )

    def _event(self, record: LifeRecord) -> None:
        started_ns = record.at_ns if record.started_ns is None else record.started_ns
        self._add(
            SpanModel(
                name=f"authz.{record.kind}",
                kind=INTERNAL,
                trace_id=self._generator.generate_trace_id().to_bytes(16),
                span_id=self._new_span_id(),
                started_ns=started_ns,
                # Jaeger warns of a span that does not end after it begins.
                ended_ns=max(record.at_ns, started_ns + 1),
                attributes=life_attributes(record),
                links=record.links,
            )
        )

    def _add(self, model: SpanModel) -> None:
        for form in self._forms:
            form.add(model)
