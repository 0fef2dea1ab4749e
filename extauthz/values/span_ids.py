"""What a span is found by, for whatever links to it later: also on another replica, and after hours.

The rule kept here: it says which span it was and nothing of what happened in it, so it may be kept with anything.
"""

import re
from typing import Final

import msgspec

_TEXT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(00|01)")


class SpanIds(msgspec.Struct, frozen=True, gc=False):
    """The span of a decision: ids of 128 and 64 bits, and whether it is exported."""

    trace_id: int
    span_id: int
    sampled: bool

    @property
    def traceparent(self) -> str:
        """As a `traceparent` writes it (W3C Trace Context section 3.2)."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.sampled:02x}"

    @classmethod
    def read(cls, text: str) -> "SpanIds | None":
        """What `traceparent` wrote, `None` for anything else."""
        found = _TEXT.fullmatch(text)
        if found is None:
            return None
        return cls(int(found[1], 16), int(found[2], 16), found[3] == "01")
