"""What a risk model makes of a request: the score, and what each signal has to do with it."""

from typing import Literal

import msgspec

State = Literal["raised", "fading", "quiet", "error"]
"""`raised`: its condition is true. `fading`: it was before, and still counts. `error`: nobody knows."""


class Heard(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one signal came to: `counted` of its `weight`, and for how many seconds it has faded (`age`).

    `remember` are the seconds for which the store is to remember that it is raised now; `None` if it needs not.
    """

    name: str
    state: State
    weight: float
    counted: float
    reason: str
    age: float | None = None
    error: str | None = None
    remember: float | None = None


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """What a risk model makes of a request. `signals` are the names of those that count, in the order of names.

    Conditions see `score`, `level` and `signals` of it under the name `risk`.
    """

    model: str
    score: float
    level: str
    signals: tuple[str, ...]
    heard: tuple[Heard, ...]
