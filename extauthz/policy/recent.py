"""Where callers stood lately: found again by the very objects that the requests of a caller have in common.

The rule: what is found here is what a look-up finds. It is bounded, and stays in its process.
"""

from typing import Final

from extauthz.policy.candidates import Candidates
from extauthz.policy.plan import Plan
from extauthz.policy.position import Position, Start
from extauthz.policy.standing import Standing
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
    """Who stood where, with which method, and what follows."""

    def __init__(self, position: Position, method: str, plan: Plan, standing: Standing, identity: Identity) -> None:
        self.position: Final = position
        self.method: Final = method
        self.plan: Final = plan
        self.standing: Final = standing
        self.identity: Final = identity


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
        host, segments = http.host, http.segments
        known = self._hosts[id(host) % _HOSTS]
        if known is None or known.name is not host:
            return None
        position = known.start.position(http.path, segments)
        stood = self._stood[(id(position) ^ id(identity)) % _PLACES]
        if stood is None or stood.position is not position or stood.identity is not identity:
            return None
        if stood.method != http.method:
            return None
        return Candidates(stood.plan, segments, stood.standing)

    def remember(self, http: HttpRequest, start: Start, position: Position, plan: Plan, standing: Standing) -> None:
        """Find again what follows from where the caller of this standing stood, by the start of its host."""
        host = http.host
        self._hosts[id(host) % _HOSTS] = _Host(host, start)
        identity = standing.identity
        stood = _Stood(position, http.method, plan, standing, identity)
        self._stood[(id(position) ^ id(identity)) % _PLACES] = stood
