"""The queue of records: first in, first out, within its bounds, whatever comes and goes."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from extauthz.record.bounded_queue import BoundedQueue

ROOM, ROOM_BYTES, BATCH = 20, 100, 4
STEPS = st.lists(st.one_of(st.integers(0, 30), st.sampled_from(["take", "take all"])), max_size=120)
"""Bytes of what is put in, and what is taken out."""


@given(STEPS)
def test_it_is_a_plain_list_with_bounds(steps: list[int | str]) -> None:
    queue: BoundedQueue[tuple[int, int]] = BoundedQueue(room=ROOM, room_bytes=ROOM_BYTES, batch=BATCH)
    plain: list[tuple[int, int]] = []
    for number, step in enumerate(steps):
        held = sum(size for _, size in plain)
        if isinstance(step, int):
            fits = len(plain) < ROOM and held < ROOM_BYTES
            assert queue.put((number, step), step) == fits
            plain += [(number, step)] if fits else []
        else:
            most = BATCH if step == "take" else len(plain)
            assert (queue.take() if step == "take" else queue.take_all()) == plain[:most]
            plain = plain[most:]
        held = sum(size for _, size in plain)
        assert len(queue) == len(plain)
        assert queue.is_half_full == (len(plain) > ROOM // 2 or held > ROOM_BYTES // 2)


def test_nothing_is_lost_or_counted_twice_among_threads() -> None:
    queue: BoundedQueue[tuple[int, int]] = BoundedQueue(room=500, room_bytes=5_000, batch=64)
    put, over = list[tuple[int, int]](), threading.Event()

    def fill(name: int) -> None:
        for number in range(5_000):
            if queue.put((name, number), 7):
                put.append((name, number))

    taken: list[tuple[int, int]] = []

    def empty() -> None:
        while not over.is_set():
            taken.extend(queue.take())

    emptying, filling = threading.Thread(target=empty), [threading.Thread(target=fill, args=(n,)) for n in range(4)]
    for one in (emptying, *filling):
        one.start()
    for one in filling:
        one.join()
    over.set()
    emptying.join()
    taken += queue.take_all()
    assert sorted(taken) == sorted(put)
    assert all(
        [one for one in taken if one[0] == name] == sorted(one for one in put if one[0] == name) for name in range(4)
    )
    assert (len(queue), queue.is_half_full) == (0, False)
    assert [queue.put((0, number), 5_000 // 10) for number in range(11)] == [True] * 10 + [False], (
        "all room is there again"
    )
