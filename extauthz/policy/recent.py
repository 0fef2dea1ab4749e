"""Where callers stood lately: found again by the very objects that the requests of a caller have in common.

The rule: what is found here is what a look-up finds. It is bounded, and stays in its process.
"""

from typing import Final

from extauthz.policy.candidates import Candidates
from extauthz.policy.position import Position, Start
from extauthz.values.identity import Identity
from extauthz.values.request import HttpRequest

_HOSTS: Final = 61
_PLACES: Final = 4_093
"""Hosts, and callers at places, that are found at once: each has one place, and leaves it to the next that belongs
there."""


class _Host:
    """Where the paths of a host begin."""

    def __init__(self, name: str, start: Start) -> None:
        self.name: Final = name
        self.start: Final = start


class _Stood:
    """Who stood where, with which method, and what may speak to them."""

    def __init__(self, position: Position, method: str, identity: Identity, candidates: Candidates) -> None:
        self.position: Final = position
        self.method: Final = method
        self.identity: Final = identity
        self.candidates: Final = candidates


class Recent:
    """Remembers where callers stood, for several threads: each place is one reference."""

    def __init__(self) -> None:
        self._hosts: Final[list[_Host | None]] = [None] * _HOSTS
        self._stood: Final[list[_Stood | None]] = [None] * _PLACES

    def __reduce__(self) -> tuple[object, ...]:
        """It travels as if nobody had been there."""
        return Recent, ()

    def candidates(self, http: HttpRequest, identity: Identity) -> Candidates | None:
        """The candidates of a request of this caller, `None` where that is not remembered."""
        host = http.host
        known = self._hosts[id(host) % _HOSTS]
        if known is None or known.name is not host:
            return None
        position = known.start.position(http.path, http.segments)
        stood = self._stood[(id(position) ^ id(identity)) % _PLACES]
        if stood is None or stood.position is not position or stood.identity is not identity:
            return None
        return stood.candidates if stood.method == http.method else None

    def remember(
        self, http: HttpRequest, identity: Identity, start: Start, position: Position, candidates: Candidates
    ) -> None:
        """Find again what may speak to this caller there, by the start of its host."""
        host = http.host
        self._hosts[id(host) % _HOSTS] = _Host(host, start)
        stood = _Stood(position, http.method, identity, candidates)
        self._stood[(id(position) ^ id(identity)) % _PLACES] = stood
