"""What a caller accepts (RFC 9110 section 12.5.1): media ranges and their weights.

The rule: linear in the header, and a range that is malformed names nothing.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

# What stands in quotes separates nothing. One that never ends is quoted to its end: a reader that looks for another
# start would look at the rest once for each.
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_RANGE: Final = re.compile(r"[ \t]*([!#$&^_.+*0-9a-z-]+/[!#$&^_.+*0-9a-z-]+)[ \t]*(?:;|\Z)")
_WEIGHT: Final = re.compile(r";[ \t]*q[ \t]*=([^;]*)")
_QVALUE: Final = re.compile(r"[ \t]*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*\Z")

Ranges = Mapping[str, float]
"""Media ranges in lower case to their weights; parameters but `q` are left out."""


def ranges(accept: str) -> Ranges:
    """The media ranges of an Accept header; of one that is named twice the larger weight."""
    found: dict[str, float] = {}
    for element in _QUOTED.sub('""', accept.lower()).split(","):
        named = _RANGE.match(element)
        weight = _weight(element)
        if named is not None and weight is not None:
            found[named[1]] = max(weight, found.get(named[1], 0.0))
    return found


def _weight(element: str) -> float | None:
    """The weight of an element, 1 without one, `None` if it is malformed."""
    written = _WEIGHT.search(element)
    if written is None:
        return 1.0
    value = _QVALUE.match(written[1])
    return None if value is None else float(value[1])


def weight(accepted: Ranges, names: Sequence[str]) -> float:
    """How welcome a representation is that goes by these media types, all of one top-level type.

    The most specific range counts: one of the types itself, then `type/*`, then `*/*`.
    """
    exact = [accepted[name] for name in names if name in accepted]
    if exact:
        return max(exact)
    family = names[0].partition("/")[0]
    return accepted.get(f"{family}/*", accepted.get("*/*", 0.0))
