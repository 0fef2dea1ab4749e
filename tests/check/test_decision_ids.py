"""Ids of decisions: counted up in hex behind a prefix, and never given twice."""

import sys
from concurrent.futures import ThreadPoolExecutor

from extauthz.check.decision_ids import DecisionIds


def test_ids_are_counted_up_in_hex() -> None:
    ids = DecisionIds("0f")
    assert [ids.new() for _ in range(70_000)] == [f"0f-{number:x}" for number in range(256, 70_256)]


def test_no_two_threads_get_the_same() -> None:
    ids = DecisionIds("0f")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            given = [*threads.map(lambda _: [ids.new() for _ in range(10_000)], range(4))]
    finally:
        sys.setswitchinterval(interval)
    assert {one for some in given for one in some} == {f"0f-{number:x}" for number in range(256, 40_256)}
