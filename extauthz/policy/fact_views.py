"""What stands behind the names of facts: `geo`, `travel`, `device`, `attributes`.

The rule kept here: what is not known because nobody could ask is an error, also to who only asks whether it is there.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from extauthz import cel
from extauthz.policy.functions import answer
from extauthz.policy.views import Entries, span
from extauthz.risk.travel import Place, Travel, place_of, travel
from extauthz.values.facts import LastPlace, Question
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

PLACE = Question("place")


class Unknown:
    """A structure of which nobody knows whether anything is behind it."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> NoReturn:
        raise cel.EvalError(f"`{self._name}.{name}` could not be looked up")


def geo_view(facts: Facts, address: str) -> object:
    """The fields of `geo`: those that were given, or else those that the database has of a client's address."""
    fields = geo_of(facts, address)
    return Unknown("geo") if fields is None else Entries(fields)


def geo_of(facts: Facts, address: str) -> Mapping[str, Any] | None:
    """What is known of where an address is; `None` where nobody knows whether anything is."""
    find = facts.local.geo
    return facts.geo if facts.geo or find is None else find(address)


class TravelFields:
    """The fields of `travel`: from the subject's last place to where the request comes from, at `now`."""

    __slots__ = ("_address", "_facts", "_now")

    def __init__(self, facts: Facts, address: str, now: float) -> None:
        self._facts = facts
        self._address = address
        self._now = now

    @property
    def distance_km(self) -> object:
        journey = self._journey()
        return cel.UNSET if journey is None else journey.distance_km

    @property
    def speed_kmh(self) -> object:
        journey = self._journey()
        return cel.UNSET if journey is None else journey.speed_kmh

    @property
    def since(self) -> object:
        before = self._before()
        return cel.UNSET if before is None else span(max(0.0, self._now - before.at))

    def _before(self) -> LastPlace | None:
        found: LastPlace | None = answer(self._facts, PLACE)
        return found

    def _journey(self) -> Travel | None:
        before, fields = self._before(), geo_of(self._facts, self._address)
        if fields is None:
            raise cel.EvalError("`travel` needs `geo`, which could not be looked up")
        here = place_of(fields)
        if before is None or here is None:
            return None
        there = Place(latitude=before.latitude, longitude=before.longitude, accuracy_km=before.accuracy_km)
        return travel(there, here, elapsed=self._now - before.at)


def device_view(facts: Facts, request: RequestView, identity: Identity, now: float) -> object:
    """The fields of `device`."""
    fields = device_of(facts, request, identity, now)
    return Entries({**fields, "age": span(fields["age"])} if "age" in fields else fields)


def device_of(facts: Facts, request: RequestView, identity: Identity, now: float) -> Mapping[str, Any]:
    """What is known of the device: what was given, or else what the request proves of it; its age in seconds."""
    look = facts.local.device
    return facts.device if facts.device or look is None else look(request, identity, now)


class Attributes(Mapping[str, Mapping[str, Any]]):
    """What attribute sources have told, by their names; of one that told nothing, nobody knows what it would have."""

    __slots__ = ("_fetched",)

    def __init__(self, fetched: Mapping[str, Mapping[str, Any]]) -> None:
        self._fetched = fetched

    def __getitem__(self, name: str) -> Mapping[str, Any]:
        return self._fetched[name] if name in self._fetched else _not_fetched(name)

    def __contains__(self, name: object) -> bool:
        return name in self._fetched or _not_fetched(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fetched)

    def __len__(self) -> int:
        return len(self._fetched)


def _not_fetched(name: object) -> NoReturn:
    raise cel.EvalError(f"`attributes.{name}` could not be looked up")
