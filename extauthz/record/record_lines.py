"""The lines of many records: those of decisions in brief by the quick way, and all that it can't do by the general one.

The rule kept here: what goes wrong with one record ends the lines of no others.
"""

from collections.abc import Sequence
from typing import Final

from extauthz.record.brief import Brief
from extauthz.record.general_lines import GeneralLines
from extauthz.record.keeping import Record
from extauthz.record.line_encoder import LineEncoder
from extauthz.record.masking import Keep


class RecordLines:
    """Makes lines, each without the closing brace. For one thread."""

    def __init__(self, keep: Keep) -> None:
        self.general: Final = GeneralLines(keep)
        self._decisions: Final = LineEncoder(keep)

    def of_each(self, batch: Sequence[Record]) -> list[bytes]:
        """The line of each of these; of one that can't be told in full, its outcome alone."""
        return [self._quick(record) if isinstance(record, Brief) else self.general.of(record) for record in batch]

    def _quick(self, record: Brief) -> bytes:
        try:
            return self._decisions.encode(record)
        except Exception:  # noqa: BLE001 - a lone surrogate, or what ends the general way as well, which tells of it
            return self.general.of(record)
