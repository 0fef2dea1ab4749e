"""How far apart two requests of one subject came from, and how fast somebody would have had to travel.

Pure: places and moments are arguments. The rule kept here: what is unsure of a place shortens the way, for a distance
that nobody went must not look like one; what is unsure of the time makes it faster, never slower.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import asin, cos, isfinite, radians, sin, sqrt
from typing import Any, Final

import msgspec

EARTH_RADIUS_KM: Final = 6371.0088
"""The mean radius (2a + b)/3 of the WGS 84 ellipsoid."""
SHORTEST: Final = 1.0
"""Seconds that any journey takes at least: clocks of replicas differ, are set back, and two requests come at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A point in degrees, north and east positive, and the kilometres around it within which a caller may be.

    Raises `ValueError` for what is no point of the earth.
    """

    latitude: float
    longitude: float
    accuracy_km: float = 0.0

    def __post_init__(self) -> None:
        """A point that is none would be near to everything or to nothing."""
        # Written so that what is not a number is refused.
        if not (abs(self.latitude) <= 90.0 and abs(self.longitude) <= 180.0):
            raise ValueError("no point of the earth")
        if not (isfinite(self.accuracy_km) and self.accuracy_km >= 0.0):
            raise ValueError("no radius")


class Travel(msgspec.Struct, frozen=True, kw_only=True):
    """From one place to another: `distance_km` at least, at `speed_kmh`, in `since` seconds, which are never less than
    none."""

    distance_km: float
    speed_kmh: float
    since: float


def place_of(fields: Mapping[str, Any] | None) -> Place | None:
    """The place in the fields of `geo` of an address; `None` if they tell none, or nobody knows them."""
    if not fields or "latitude" not in fields or "longitude" not in fields:
        return None
    return Place(latitude=fields["latitude"], longitude=fields["longitude"], accuracy_km=fields.get("accuracy_km", 0.0))


def distance_km(one: Place, other: Place) -> float:
    """The kilometres between two points along the great circle, by the haversine formula.

    On a sphere, which is at most 0.6 % off the ellipsoid: less than any database of addresses.
    """
    north, south = radians(one.latitude), radians(other.latitude)
    across = sin((south - north) / 2.0)
    along = sin(radians(other.longitude - one.longitude) / 2.0)
    chord = across * across + cos(north) * cos(south) * along * along
    return 2.0 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(chord)))  # rounding may leave a little more than 1


def travel(before: Place, here: Place, *, elapsed: float) -> Travel:
    """The journey from the place where a subject was `elapsed` seconds ago.

    The distance is what is left of the great circle when both may be off by the accuracy of their places. A journey
    takes `SHORTEST` at least; so does one that took no time or less, by clocks that do not agree.
    """
    distance = max(0.0, distance_km(before, here) - before.accuracy_km - here.accuracy_km)
    # In this order: of two that do not compare, because one is not a number, `max` gives the first.
    hours = max(SHORTEST, elapsed) / 3600.0
    return Travel(distance_km=distance, speed_kmh=distance / hours, since=max(0.0, elapsed))
