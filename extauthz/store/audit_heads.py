"""The part of the protocol of stores that keeps the ends of audit chains: who cuts a file does not cut them.

The rule: an end only moves forward. So a late call of a process that is gone undoes nothing.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditHead:
    """The end of the chain of one `writer`: the number and the hash of its last line, in hex; when it stood there, and
    until when that is of interest, in seconds since the epoch; and the name of the file."""

    writer: str
    seq: int
    hash: str
    at: float
    until: float
    file: str


class AuditHeadStore(Protocol):
    """Raises `StateUnavailable` as every call of a store does."""

    async def put_audit_head(self, head: AuditHead, *, now: float) -> None:
        """Remember this end of its writer's chain, unless one is known that is as far or farther."""

    async def audit_heads(self, *, now: float) -> tuple[AuditHead, ...]:
        """The ends that are of interest at `now`, the one that moved last is last."""
