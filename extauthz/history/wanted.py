"""Which records of an audit are wanted: by time, by whom they are about, by the request, by what came of it.

The rules: what is masked in a record is not wanted by it. A line is only read as JSON when nothing cheaper tells that
it is not wanted.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Final, Literal

import msgspec

from extauthz.history.reading import parse, time_in
from extauthz.record.audit_line import DecisionLine
from extauthz.record.decision import DecisionName
from extauthz.record.life_lines import LifeLine

DECISIONS: Final = "decision"
"""What is wanted by this kind are decisions; every other kind is of events."""
_AUDIT: Final = "audit"
_TRACEPARENT: Final = "traceparent"

Record = DecisionLine | LifeLine
WantedDecision = Literal[DecisionName, "blocked"]
"""A decision, or any but `allow`."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a record must be; what is `None` or empty says nothing.

    `since` (with it) and `until` (without it) are times as lines have them. `subject` is a user's `sub` or a workload's
    SPIFFE ID. In `host`, `path`, `rule` and `reason` a `*` stands for any text. `rule` has decided, or wants to be met.
    `kinds` are `decision`, the kind of an event (`challenge.met`), or what it begins with (`challenge`); without any,
    all are but those of the audit about itself.
    """

    since: bytes = b""
    until: bytes = b""
    decision: WantedDecision | None = None
    reason: str | None = None
    rule: str | None = None
    subject: str | None = None
    workload: str | None = None
    host: str | None = None
    path: str | None = None
    trace: str | None = None
    decision_id: str | None = None
    kinds: frozenset[str] = frozenset()

    def may_hold(self, raw: bytes) -> bool:
        """Whether the line can be that of such a record: false only if it is not."""
        if self.since or self.until:
            time = time_in(raw)
            if time is not None and (time < self.since or (self.until and time >= self.until)):
                return False
        return all(word in raw for word in self._words())

    def _words(self) -> Iterator[bytes]:
        """What must stand in a line as it is."""
        named = (text for text in (self.rule, self.reason) if text is None or "*" not in text)
        for text in (self.trace, self.decision_id, *named, self.subject, self.workload):
            if text is not None and text.isascii() and json.dumps(text)[1:-1] == text:
                yield text.encode()

    def includes(self, record: Record) -> bool:
        """Whether this record is wanted; of its time `may_hold` has told."""
        kind = DECISIONS if isinstance(record, DecisionLine) else record.event
        group = kind.partition(".")[0]
        if not (kind in self.kinds or group in self.kinds) if self.kinds else group == _AUDIT:
            return False
        if self.decision_id not in (None, record.decision_id):
            return False
        match record:
            case DecisionLine():
                return self._includes_decision(record)
            case LifeLine():
                return self._includes_event(record)

    def _includes_decision(self, record: DecisionLine) -> bool:
        workload, user = subjects(record)
        request = record.request or record.glimpse
        return (
            (self.decision in (None, record.decision) or (self.decision == "blocked" and record.decision != "allow"))
            and _is_like(self.reason, record.reason)
            and any(_is_like(self.rule, rule) for rule in (record.rule, *record.demands))
            and self.subject in (None, workload, user)
            and self.workload in (None, workload)
            and _is_like(self.host, None if request is None else request.host)
            and _is_like(self.path, None if request is None else request.path)
            and (self.trace is None or self.trace in traces(record))
        )

    def _includes_event(self, record: LifeLine) -> bool:
        subject = None if record.subject is None else record.subject.sub
        return (
            self.decision is None
            and self.host is None
            and self.path is None
            and _is_like(self.reason, record.reason)
            and _is_like(self.rule, record.rule)
            and self.subject in (None, subject)
            and self.workload in (None, subject)
            and (self.trace is None or self.trace in record.traces)
        )


@dataclass(slots=True)
class Sieve:
    """Takes out of lines the records that are wanted. `records` and `broken` count what it has seen.

    Lines that can't be wanted are not looked at any closer: they count as records once one was seen to be one.
    """

    wanted: Wanted
    records: int = field(default=0, init=False)
    broken: int = field(default=0, init=False)

    def sift(self, lines: Iterable[bytes]) -> Iterator[tuple[bytes, Record]]:
        """The wanted records with their lines."""
        for line in lines:
            if self.records and not self.wanted.may_hold(line):
                continue
            record = parse(line)
            if isinstance(record, str):
                self.broken += bool(line.strip())
                continue
            self.records += 1
            if self.wanted.may_hold(line) and self.wanted.includes(record):
                yield line, record


def stepping(lines: Iterable[bytes], step: Callable[[int], None] | None) -> Iterator[bytes]:
    """The lines; `step` hears how many bytes of the file each of them is."""
    for line in lines:
        if step is not None:
            step(len(line) + 1)
        yield line


def subjects(record: DecisionLine) -> tuple[str | None, str | None]:
    """The workload and the user that a decision is on."""
    identity = record.identity
    if identity is None:
        return None, None
    workload, user = identity.workload, identity.user
    return (None if workload is None else workload.id), (None if user is None else user.sub)


def traces(record: DecisionLine) -> tuple[str, ...]:
    """The ids of the traces that the decision is part of, and that the request says it is part of (W3C Trace Context
    section 3.2)."""
    values = record.request.headers.get(_TRACEPARENT) if record.request is not None else None
    said = [value.split("-")[1] for value in values if value.count("-") >= 3] if isinstance(values, list) else []
    return tuple(dict.fromkeys([record.trace_id, *said] if record.trace_id else said))


def _is_like(pattern: str | None, text: str | None) -> bool:
    if pattern is None:
        return True
    return text is not None and (pattern == text or ("*" in pattern and re.match(_regular(pattern), text) is not None))


def _regular(pattern: str) -> str:
    return translate(pattern.replace("[", "[[]").replace("?", "[?]"))
