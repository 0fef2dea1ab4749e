"""Host patterns: exact, or `*.suffix` at any depth but not the suffix itself (design section 3, `hosts`).

Requests come with a host in lower case, without port and without one trailing dot; patterns are brought to the same
form, so that matching is a look-up.
"""

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv6Address

import msgspec

_LABELS = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_PORT = re.compile(r":[0-9]{1,5}$")


class HostPattern(msgspec.Struct, frozen=True, order=True):
    """`name` in canonical form; `deeper` if it stands for every host below `name`, at any depth."""

    name: str
    deeper: bool = False

    def __str__(self) -> str:
        return f"*.{self.name}" if self.deeper else self.name

    def fits(self, host: str) -> bool:
        """Whether a canonical host is one of those that this stands for."""
        return host.endswith("." + self.name) and len(host) > len(self.name) + 1 if self.deeper else host == self.name


def parse(text: str) -> HostPattern:
    """The pattern that `text` writes. Raises `ValueError` with what is wrong and how to mend it."""
    lowered = _PORT.sub("", text.lower()).removesuffix(".")
    deeper = lowered.startswith("*.")
    name = lowered.removeprefix("*.")
    if len(name) <= 253 and _LABELS.fullmatch(name):
        return HostPattern(name, deeper)
    if name.startswith("[") and name.endswith("]") and not deeper:
        try:
            return HostPattern(f"[{IPv6Address(name[1:-1]).compressed}]")
        except AddressValueError:
            pass
    raise ValueError(f"`{text[:80]}` is not a host; write `www.example.com`, or `*.example.com` for all below it")


def both(one: Iterable[HostPattern], other: Iterable[HostPattern]) -> frozenset[HostPattern]:
    """The patterns for the hosts that fit one of the first and one of the second."""
    second = tuple(other)
    return frozenset(narrow for a in one for b in second if (narrow := _narrower(a, b)) is not None)


def _narrower(a: HostPattern, b: HostPattern) -> HostPattern | None:
    if a == b or (b.deeper and b.fits(a.name)):
        return a
    return b if a.deeper and a.fits(b.name) else None
