"""Both ways to an audit line: the general one, and the encoder's."""

import msgspec
from briefs import brief_of

from extauthz.record.brief import Brief
from extauthz.record.decision import DecisionRecord
from extauthz.record.line_encoder import LineEncoder
from extauthz.record.masking import Keep, line_of


def general(record: DecisionRecord, keep: Keep) -> bytes | None:
    """The line by the general way; `None` of what it can't write."""
    try:
        return msgspec.json.encode(line_of(record, keep))[:-1]
    except UnicodeEncodeError:
        return None


def fast(record: DecisionRecord | Brief, encoder: LineEncoder) -> bytes | None:
    """The line of the encoder; `None` of what it can't write."""
    try:
        return encoder.encode(record if isinstance(record, Brief) else brief_of(record))
    except UnicodeEncodeError:
        return None
