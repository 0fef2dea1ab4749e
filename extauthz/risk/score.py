"""From signals to a score and a level: arithmetic, and what is told of it.

A signal that is raised counts with its weight; one with a half-life counts with half of it a half-life after its
moment, a quarter after two, and nothing after `FORGOTTEN`. One that can't be evaluated counts with its whole weight
and is marked: what is not known is friction, never ease. The rules kept here: the order of signals never matters, and
a further one never lowers the score.
"""

from collections.abc import Iterable, Sequence
from math import fsum
from typing import Final

import msgspec

from extauthz.values.assessment import Assessment, Heard

FORGOTTEN: Final = 10.0
"""Half-lives after which a signal counts for nothing: a thousandth of its weight is left then."""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """A level and the score that it begins at."""

    name: str
    begins_at: float


def counted(weight: float, *, half_life: float | None, age: float) -> float:
    """What is left of a weight when its moment is `age` seconds ago; one that is still to come is now."""
    if half_life is None or age <= 0.0:
        return weight
    halvings = age / half_life
    return 0.0 if halvings >= FORGOTTEN else weight * 2.0**-halvings


def assess(model: str, heard: Iterable[Heard], levels: Sequence[Level]) -> Assessment:
    """The score: the sum of what counts. The level: the highest that begins at the score or below.

    `levels` ascend, and the first begins at 0.
    """
    listed = tuple(sorted(heard, key=_name))
    counting = [one for one in listed if one.counted]
    score = fsum([one.counted for one in counting])  # correctly rounded: the same in any order
    level = levels[0].name
    for one in levels:
        if one.begins_at > score:
            break
        level = one.name
    return Assessment(
        model=model, score=score, level=level, signals=tuple([one.name for one in counting]), heard=listed
    )


def _name(heard: Heard) -> str:
    return heard.name
