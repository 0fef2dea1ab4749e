"""Audit files, line by line.

The rules: a line that is no record is told with its number and stops nothing; the last one may be cut where a process
was killed while it wrote, or is being written. A line of a newer version is a record: fields that are not known are
left aside, and an event of a kind that is not known is shown as it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from extauthz.errors import ExtauthzError, failure_of
from extauthz.files import open_file
from extauthz.record.audit_line import DecisionLine
from extauthz.record.instants import nanoseconds_of
from extauthz.record.life_lines import LifeLine

_DECISIONS: Final = msgspec.json.Decoder(DecisionLine)
_EVENT: Final = b'{"v":1,"event":'
_EVENTS: Final = msgspec.json.Decoder(LifeLine)
_TIME: Final = re.compile(rb'\{"v":1,(?:"event":"[^"\\]+",)?"time":"([0-9:.TZ-]{20,30})"')


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that is no record of this version; `torn` if it is the last one and has no end."""

    number: int
    reason: str
    torn: bool = False


class Read(msgspec.Struct, frozen=True):
    """One line of the file: what it holds, and its length in bytes, with that of what is left out around it."""

    content: DecisionLine | Unreadable
    size: int


def read(path: Path) -> Iterator[Read]:
    """Every line of an audit file, from its beginning; empty lines are left out, and events beside decisions.

    Raises:
        ExtauthzError: the file can't be read.
    """
    try:
        with open_file(path) as file:
            held: DecisionLine | Unreadable | None = None
            size = 0
            for number, raw in enumerate(file, 1):
                content = _parse(number, raw) if raw.strip() else None
                if isinstance(content, DecisionLine | Unreadable):
                    if held is not None:
                        yield Read(held, size)
                        size = 0
                    held = content
                size += len(raw)
            if held is not None:
                yield Read(held, size)
    except OSError as error:
        raise ExtauthzError(f"{path}: can't read the audit file: {failure_of(error)}") from error


def find(path: Path, decision_id: str) -> DecisionLine:
    """The record of one decision; of several with its id the last, which is what was answered.

    Raises:
        ExtauthzError: the file can't be read, or has no such record.
    """
    wanted = decision_id.encode()
    found: DecisionLine | None = None
    has_records = False
    try:
        with open_file(path) as file:
            for raw in file:
                if wanted not in raw and has_records:
                    continue
                content = parse(raw)
                if isinstance(content, DecisionLine):
                    has_records = True
                    found = content if content.decision_id == decision_id else found
    except OSError as error:
        raise ExtauthzError(f"{path}: can't read the audit file: {failure_of(error)}") from error
    if not has_records:
        raise no_records(path)
    if found is None:
        raise ExtauthzError(f"{path}: holds no decision `{decision_id}`; its id is in the answer's headers")
    return found


def no_records(path: Path, besides: str = "") -> ExtauthzError:
    """What to raise of a file without one record of a decision: it is another file, or an empty one."""
    return ExtauthzError(f"{path}: holds no record of a decision{besides}; `audit.path` names the file to read")


def parse(raw: bytes) -> DecisionLine | LifeLine | str:
    """The record in a line, or why it is none."""
    try:
        record: DecisionLine | LifeLine = (_EVENTS if raw.startswith(_EVENT) else _DECISIONS).decode(raw)
        nanoseconds_of(record.time)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # text that is no UTF-8 is a `ValueError`
        reason = str(error) or type(error).__name__
        # `Object missing…` begins a sentence, `JSON is malformed…` is a name.
        return reason if reason[1:2].isupper() else reason[:1].lower() + reason[1:]
    return record


def _parse(number: int, raw: bytes) -> DecisionLine | LifeLine | Unreadable:
    content = parse(raw)
    return Unreadable(number, content, torn=not raw.endswith(b"\n")) if isinstance(content, str) else content


def time_in(raw: bytes) -> bytes | None:
    """When what a line tells of was, as the line has it: texts of one length, which sort as the moments do."""
    found = _TIME.match(raw)
    return None if found is None else found[1]
