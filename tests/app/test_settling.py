"""That the garbage collector leaves the calls under way alone, and still finds what is garbage."""

import gc
from collections.abc import Iterator

import pytest

from extauthz.app.pace import NEW, settle


@pytest.fixture
def settled() -> Iterator[None]:
    before = gc.get_threshold()
    gc.collect()
    settle()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())


@pytest.mark.usefixtures("settled")
def test_what_a_hundred_calls_hold_is_not_searched_for_garbage() -> None:
    before = collections()
    held: list[list[object]] = []
    for _ in range(100):
        held.append([[] for _ in range(NEW // 200)])
        held.pop()
    held = [[] for _ in range(NEW // 2)]
    assert collections() == before
    assert held


@pytest.mark.usefixtures("settled")
def test_garbage_is_found_after_all() -> None:
    before = collections()
    for _ in range(2 * NEW):
        circle: list[object] = []
        circle.append(circle)
    assert collections() > before
    left = [one for one in gc.get_objects() if type(one) is list and len(one) == 1 and one[0] is one]
    assert len(left) < 2 * NEW
