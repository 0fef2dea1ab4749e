"""SPIFFE ID patterns: `*` for one segment, a final `**` for zero or more (design section 3, `workloads`)."""

import msgspec

from extauthz.identity import spiffe

_SCHEME = "spiffe://"


class WorkloadPattern(msgspec.Struct, frozen=True):
    """A pattern in parts: `segments` begins with the trust domain, `None` stands for any one segment; `tail` is
    whether any number of segments may follow."""

    segments: tuple[str | None, ...]
    tail: bool = False

    def __str__(self) -> str:
        parts = ["*" if segment is None else segment for segment in self.segments]
        return _SCHEME + "/".join([*parts, "**"] if self.tail else parts)

    def fits(self, workload_id: str) -> bool:
        """Whether a canonical SPIFFE ID is one of those that this stands for."""
        have, want = parts(workload_id), self.segments
        if len(have) != len(want) and not (self.tail and len(have) > len(want)):
            return False
        return all(w is None or w == h for w, h in zip(want, have, strict=False))


def parse(text: str) -> WorkloadPattern:
    """The pattern that `text` writes. Raises `ValueError` with what is wrong and how to mend it."""
    trust_domain, *segments = spiffe.pattern_parts(text)
    tail = segments[-1] == "**"
    written = segments[:-1] if tail else segments
    return WorkloadPattern((trust_domain, *(None if part == "*" else part for part in written)), tail)


def parts(workload_id: str) -> list[str]:
    """The trust domain and the segments of a canonical SPIFFE ID."""
    return workload_id.removeprefix(_SCHEME).split("/")
