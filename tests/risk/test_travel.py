"""How far, and how fast: distances that an atlas knows, and what holds for any two places."""

from math import inf, isclose, isfinite, nan, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.risk.travel import EARTH_RADIUS_KM, SHORTEST, Place, Travel, distance_km, place_of, travel

LONDON = Place(latitude=51.5074, longitude=-0.1278)
SYDNEY = Place(latitude=-33.8688, longitude=151.2093)
HALF_ROUND = pi * EARTH_RADIUS_KM

places = st.builds(
    Place,
    latitude=st.floats(min_value=-90, max_value=90),
    longitude=st.floats(min_value=-180, max_value=180),
    accuracy_km=st.floats(min_value=0, max_value=1000),
)
spans = st.floats(min_value=-1e9, max_value=1e9)


@pytest.mark.parametrize(
    ("here", "kilometres"),
    [
        (SYDNEY, 16994),
        (Place(latitude=48.8566, longitude=2.3522), 344),  # Paris
        (Place(latitude=40.7128, longitude=-74.0060), 5570),  # New York
        (Place(latitude=-51.5074, longitude=179.8722), 20015),  # the other side of the earth
        (LONDON, 0),
    ],
)
def test_distances_are_those_of_an_atlas(here: Place, kilometres: float) -> None:
    assert distance_km(LONDON, here) == pytest.approx(kilometres, abs=1)


def test_the_line_where_the_date_changes_is_no_gap() -> None:
    fiji = Place(latitude=-17.0, longitude=179.9)
    samoa = Place(latitude=-17.0, longitude=-179.9)
    assert distance_km(fiji, samoa) == pytest.approx(21.3, abs=0.1)


def test_all_longitudes_meet_at_a_pole() -> None:
    assert distance_km(Place(latitude=90, longitude=0), Place(latitude=90, longitude=137)) == pytest.approx(0, abs=1e-6)


def test_a_journey_has_a_speed() -> None:
    flown = travel(LONDON, SYDNEY, elapsed=20 * 3600)
    assert flown == Travel(distance_km=flown.distance_km, speed_kmh=flown.distance_km / 20, since=72_000)
    assert flown.speed_kmh == pytest.approx(850, abs=1)


def test_what_both_may_be_off_by_is_no_distance() -> None:
    near = Place(latitude=51.75, longitude=-1.25, accuracy_km=60)
    far = Place(latitude=48.8566, longitude=2.3522, accuracy_km=20)
    assert travel(Place(latitude=51.5, longitude=-0.1, accuracy_km=50), near, elapsed=5).distance_km == 0
    assert travel(LONDON, far, elapsed=5).distance_km == pytest.approx(distance_km(LONDON, far) - 20)


@pytest.mark.parametrize("elapsed", [0.0, 0.25, -1.0, -86_400.0, -inf, nan])
def test_clocks_that_disagree_make_nobody_slow(elapsed: float) -> None:
    """Set back, or those of two replicas: the way takes as little time as any, and is seen."""
    assert travel(LONDON, SYDNEY, elapsed=elapsed) == Travel(
        distance_km=distance_km(LONDON, SYDNEY),
        speed_kmh=distance_km(LONDON, SYDNEY) * 3600 / SHORTEST,
        since=0.25 if elapsed == 0.25 else 0.0,
    )


@pytest.mark.parametrize("elapsed", [0.0, -300.0])
def test_clocks_that_disagree_send_nobody_anywhere(elapsed: float) -> None:
    assert travel(LONDON, LONDON, elapsed=elapsed) == Travel(distance_km=0, speed_kmh=0, since=0)


@pytest.mark.parametrize(
    ("latitude", "longitude", "accuracy_km"),
    [
        (90.1, 0, 0),
        (-91, 0, 0),
        (0, 180.5, 0),
        (nan, 0, 0),
        (0, nan, 0),
        (inf, 0, 0),
        (0, 0, -1),
        (0, 0, nan),
        (0, 0, inf),
    ],
)
def test_what_is_no_place_is_refused(latitude: float, longitude: float, accuracy_km: float) -> None:
    with pytest.raises(ValueError, match=r"^no (point of the earth|radius)$"):
        Place(latitude=latitude, longitude=longitude, accuracy_km=accuracy_km)


@pytest.mark.parametrize("fields", [None, {}, {"country": "GB"}, {"latitude": 51.5}, {"longitude": 0.0}])
def test_an_address_without_coordinates_is_nowhere(fields: dict[str, object] | None) -> None:
    assert place_of(fields) is None


def test_an_address_with_coordinates_is_a_place() -> None:
    fields = {"country": "GB", "latitude": 51.5, "longitude": -0.1}
    assert place_of(fields) == Place(latitude=51.5, longitude=-0.1)
    assert place_of({**fields, "accuracy_km": 20.0}) == Place(latitude=51.5, longitude=-0.1, accuracy_km=20.0)


@given(places, places)
def test_the_way_back_is_as_long_and_none_is_longer_than_half_round_the_earth(one: Place, other: Place) -> None:
    there = distance_km(one, other)
    assert 0 <= there <= HALF_ROUND * (1 + 1e-12)
    assert isclose(there, distance_km(other, one), abs_tol=1e-6)
    assert distance_km(one, one) == 0


@given(places, places, places)
def test_no_detour_is_shorter(one: Place, between: Place, other: Place) -> None:
    assert distance_km(one, other) <= distance_km(one, between) + distance_km(between, other) + 1e-3


@given(places, places, spans, spans)
def test_less_time_never_makes_anybody_slower(before: Place, here: Place, one: float, other: float) -> None:
    shorter, longer = sorted((one, other))
    fast, slow = travel(before, here, elapsed=shorter), travel(before, here, elapsed=longer)
    assert fast.speed_kmh >= slow.speed_kmh >= 0
    assert isfinite(fast.speed_kmh)
    assert fast.distance_km == slow.distance_km
    assert 0 <= fast.since <= slow.since


@given(places, places, spans, st.floats(min_value=0, max_value=1000))
def test_a_less_sure_place_never_makes_anybody_faster(before: Place, here: Place, elapsed: float, more: float) -> None:
    unsure = Place(latitude=here.latitude, longitude=here.longitude, accuracy_km=here.accuracy_km + more)
    known, guessed = travel(before, here, elapsed=elapsed), travel(before, unsure, elapsed=elapsed)
    assert guessed.speed_kmh <= known.speed_kmh
    assert guessed.distance_km <= known.distance_km
