"""Names in the order in which they need each other.

The rule kept here: the order of what comes in means nothing.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet


def in_order(needs: Mapping[str, AbstractSet[str]]) -> Iterator[tuple[str, ...]]:
    """The names, each after those that it needs, alone; those that need each other together, as one circle.

    A name that needs itself is a circle of one. Needs that are no names here don't count.
    """
    waiting = dict(needs)
    while waiting:
        ready = sorted(name for name, wanted in waiting.items() if not wanted & waiting.keys())
        groups: list[tuple[str, ...]] = [(name,) for name in ready] or [_circle(waiting)]
        yield from groups
        for group in groups:
            for name in group:
                del waiting[name]


def _circle(waiting: Mapping[str, AbstractSet[str]]) -> tuple[str, ...]:
    """Names that need each other and nothing else that waits, where each waits for another."""
    users: dict[str, set[str]] = {name: set() for name in waiting}
    for name, wanted in waiting.items():
        for other in wanted & waiting.keys():
            users[other].add(name)
    name = min(waiting)
    # Each step leads to what needs less: where all that is needed needs the name too, the circle is closed.
    while not (needed := _reached(name, waiting)) <= (using := _reached(name, users)):
        name = min(needed - using)
    return tuple(sorted(needed))


def _reached(name: str, steps: Mapping[str, AbstractSet[str]]) -> set[str]:
    reached: set[str] = set()
    pending = [name]
    while pending:
        for other in steps[pending.pop()] & steps.keys():
            if other not in reached:
                reached.add(other)
                pending.append(other)
    return reached
