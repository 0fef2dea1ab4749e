"""The keeper that makes letters of records, for whoever wants to be told of what guardrails do.

The rules kept here: what nobody is told of costs a look at its kind and its rule, so that a flood of denials is counted
and nothing else; and what is told by a count is told when its time is over, at the latest at the end.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

import msgspec
import structlog

from extauthz.record.event_folding import Folded, Folding
from extauthz.record.event_form import FOLDED, EventForm
from extauthz.record.event_types import Happening, Selection, happening_of
from extauthz.record.keeping import Record
from extauthz.values.letters import Letter
from extauthz.values.rate import Rate

_log = structlog.get_logger(__name__)


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is told under the name `sink` of what the `selection` takes, as often as `rate` says."""

    sink: str
    selection: Selection
    rate: Rate


class Events:
    """Hands letters to `post`, which is quick and never raises.

    Their events have ids that begin with `writer`, which no other process has. `clock` gives seconds that only go on.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        form: EventForm,
        *,
        writer: str,
        post: Callable[[Sequence[Letter]], None],
        clock: Callable[[], float],
    ) -> None:
        self._listeners = [(one, Folding(one.rate)) for one in listeners]
        self._form = form
        self._writer = writer
        self._post = post
        self._clock = clock
        self._made = 0
        self._folded = {one.sink: 0 for one in listeners}

    @property
    def folded(self) -> Mapping[str, int]:
        """How many events were told by a count, or will be, by sink; since the start."""
        return dict(self._folded)

    def keep(self, batch: Sequence[Record]) -> None:
        """Tell of these, and of what was counted where its time is over."""
        now = self._clock()
        letters = [
            self._counted(listener.sink, one) for listener, folding in self._listeners for one in folding.due(now)
        ]
        for record in batch:
            try:
                letters += self._told(record, now)
            except Exception:  # noqa: BLE001 - one that can't be told must not keep others from it
                _log.exception("event-not-told", record=type(record).__name__)
        if letters:
            self._post(letters)

    def close(self) -> None:
        """Tell of what was counted and is not told yet."""
        letters = [self._counted(listener.sink, one) for listener, folding in self._listeners for one in folding.rest()]
        if letters:
            self._post(letters)

    def _told(self, record: Record, now: float) -> list[Letter]:
        happening = happening_of(record)
        if happening is None:
            return []
        sinks = [one.sink for one, folding in self._listeners if self._passes(one, folding, happening, now)]
        if not sinks:
            return []
        event = self._next_id()
        content = self._form.event(record, happening, event)
        return [_letter(sink, event, happening.kind, happening.at_ns, content) for sink in sinks]

    def _passes(self, listener: Listener, folding: Folding, happening: Happening, now: float) -> bool:
        if not listener.selection.takes(happening):
            return False
        if folding.passes(happening, now):
            return True
        self._folded[listener.sink] += 1
        return False

    def _counted(self, sink: str, folded: Folded) -> Letter:
        event = self._next_id()
        return _letter(sink, event, FOLDED, folded.until_ns, self._form.folded(folded, event))

    def _next_id(self) -> str:
        self._made += 1
        return f"evt-{self._writer}-{self._made}"


def _letter(sink: str, event: str, kind: str, at_ns: int, content: bytes) -> Letter:
    return Letter(
        id=sha256(f"{event}\n{sink}\n".encode()).hexdigest()[:32],
        sink=sink,
        to="",
        event=event,
        kind=kind,
        approval="",
        at=at_ns / 1e9,
        content=content,
    )
