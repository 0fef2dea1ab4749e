"""What one caller holds, worked out when somebody asks.

Most callers are never asked about it, and thousands of them are remembered. It is not compiled: what a compiled class
takes over from `Set`, comparisons are not among.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from hashlib import sha256
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any


class Held(AbstractSet[str]):
    """The holders of a connection, and those `beside` it; a set of texts like any other."""

    __slots__ = ("_address", "_beside", "_certificate", "_found", "_workload")

    def __init__(self, workload: str, certificate: str, address: str, beside: frozenset[str]) -> None:
        """The others are as for `holders.holders`."""
        self._workload = workload
        self._certificate = certificate
        self._address = address
        self._beside = beside
        self._found: frozenset[str] | None = None

    @property
    def all(self) -> frozenset[str]:
        """All of it."""
        found = self._found
        if found is None:
            texts = set(self._beside)
            if self._address:
                texts.add("peer:" + digest(self._workload, self._address))
            if self._certificate:
                texts.add("cert:" + self._certificate)
            found = self._found = frozenset(texts)
        return found

    def __contains__(self, text: object) -> bool:
        return text in self.all

    def __iter__(self) -> Iterator[str]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    def __hash__(self) -> int:
        return hash(self.all)

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> frozenset[Any]:
        """What `Set` makes others by."""
        return frozenset(it)

    def __repr__(self) -> str:
        return repr(self.all)


def digest(one: str, other: str) -> str:
    """Of what `json.dumps` makes of both."""
    return sha256(f"[{_quoted(one)}, {_quoted(other)}]".encode("ascii")).hexdigest()
