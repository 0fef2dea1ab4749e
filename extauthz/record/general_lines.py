"""The line of a record, whatever it is and holds.

The rule kept here: a record that can't be told in full leaves its outcome, and ends the lines of no others.
"""

from typing import Final

import msgspec
import structlog
from msgspec.structs import replace

from extauthz.record.audit_line import DecisionLine
from extauthz.record.brief import in_full
from extauthz.record.keeping import Record
from extauthz.record.life import LifeRecord
from extauthz.record.life_lines import LifeLine, life_line_of
from extauthz.record.masking import Keep, line_of

_log = structlog.get_logger(__name__)


class GeneralLines:
    """Makes lines, each without the closing brace. For one thread."""

    def __init__(self, keep: Keep) -> None:
        self._keep: Final = keep
        self._encoder: Final = msgspec.json.Encoder()

    def of(self, record: Record) -> bytes:
        """The line of a record, as `in_full_of`; of one that can't be told in full, its outcome alone."""
        try:
            return self.in_full_of(record)
        except Exception as error:  # noqa: BLE001 - one odd record must not end the records of all others
            # By its type alone: a traceback could hold what is masked.
            reason = f"record cut: {type(error).__name__}"
            _log.error("audit-record-cut", decision_id=record.decision_id, error=type(error).__name__)
            if isinstance(record, LifeRecord):
                return self.in_full_of(LifeRecord(kind=record.kind, at_ns=record.at_ns, reason=reason))
            return self.in_full_of(replace(in_full(record), request=None, identity=None, rules=(), detail=reason))

    def in_full_of(self, record: Record) -> bytes:
        """The line of a record. Raises whatever it is that such a record makes fail."""
        told = self._told(record)
        try:
            return self._encoder.encode(told)[:-1]
        except UnicodeEncodeError:  # a lone surrogate, which JSON can escape and UTF-8 can't hold
            return self._encoder.encode(_speakable(msgspec.to_builtins(told)))[:-1]

    def _told(self, record: Record) -> DecisionLine | LifeLine:
        return life_line_of(record) if isinstance(record, LifeRecord) else line_of(in_full(record), self._keep)


def _speakable(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode("utf-8")
        case dict():
            return {_speakable(name): _speakable(item) for name, item in value.items()}
        case list() | tuple():
            return [_speakable(item) for item in value]
        case _:
            return value
