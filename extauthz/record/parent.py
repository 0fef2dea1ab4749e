"""The span elsewhere that one of ours is a child of, as compiled code takes it.

The rule kept here: it is a value; nobody changes it.
"""

from typing import Final, final


@final
class Parent:
    """A span elsewhere: 16 and 8 bytes, whether it is recorded, and the text of its `tracestate`."""

    def __init__(self, trace_id: bytes, span_id: bytes, sampled: bool, state: str = "") -> None:
        self.trace_id: Final = trace_id
        self.span_id: Final = span_id
        self.sampled: Final = sampled
        self.state: Final = state

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parent) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        return f"Parent{self._fields()}"

    def _fields(self) -> tuple[object, ...]:
        return self.trace_id, self.span_id, self.sampled, self.state
