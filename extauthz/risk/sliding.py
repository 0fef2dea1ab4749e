"""How often something happened in the window that ends now, in memory that does not grow with how often.

The rule: never less than it was. Time is cut into STEPS steps a window, and what happened is counted by step; a step
that lies partly in the window counts whole. So the answer is how often it was in the window, and at most in a
STEPS-th of the window before it. What is of the future, by another machine's clock, counts, too.
"""

from collections.abc import Mapping
from math import floor
from typing import Final

STEPS: Final = 60
"""Steps of a window: more make the answer finer and the counts longer."""
LONGEST_WINDOW: Final = 366 * 86_400.0
"""Seconds of the longest window that can be counted in."""

Counts = Mapping[int, int]
"""How often it was, by the number of the step since the epoch."""
NEVER: Final[Counts] = {}


def step_of(at: float, window: float) -> int:
    """The number of the step in which `at` lies; both in seconds, `at` since the epoch."""
    return floor(at * STEPS / window)


def first_step(now: float, window: float) -> int:
    """The first step that may lie in the window that ends at `now`."""
    return step_of(now, window) - STEPS


def counted(counts: Counts, window: float, *, now: float) -> tuple[Counts, int]:
    """The counts with one more at `now`, and how often it was in the window, this time included.

    Counts are kept for a window longer than they are needed: a machine whose clock is ahead takes nothing from others.
    """
    step, first = step_of(now, window), first_step(now, window)
    kept = {number: times for number, times in counts.items() if number >= first - STEPS}
    kept[step] = kept.get(step, 0) + 1
    return kept, sum(times for number, times in kept.items() if number >= first)


def kept_for(window: float) -> float:
    """Seconds after which counts say nothing any more if nothing was added."""
    return 2 * window + window / STEPS


def to_text(counts: Counts) -> str:
    """The counts as a store keeps them; `from_text` reads it."""
    return " ".join(f"{step}:{times}" for step, times in counts.items())


def from_text(text: str) -> Counts:
    """What `to_text` wrote. Raises `ValueError` for anything else."""
    return {int(step): int(times) for step, _, times in (one.partition(":") for one in text.split())}
