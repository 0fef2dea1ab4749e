"""What others took of the cores is told from what the system counts."""

import sys
import time
from pathlib import Path

import pytest

from bench.harness.neighbours import Watch, parse_stat

STAT = """\
cpu  1000 200 300 9000 50 10 20 40 0 0
cpu0 600 100 200 4000 25 5 15 30 7 0
cpu1 400 100 100 5000 25 5 5 10 0 0
intr 12345 0 0
ctxt 99
"""


def test_busy_and_stolen_seconds_of_some_cores_are_read() -> None:
    assert parse_stat(STAT, frozenset({0})) == pytest.approx((9.2, 0.3))
    assert parse_stat(STAT, frozenset({0, 1})) == pytest.approx((15.3, 0.4))
    assert parse_stat(STAT, frozenset({7})) == (0, 0)


def test_what_is_its_own_is_not_of_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stat, own = tmp_path / "stat", 4.0
    monkeypatch.setattr("bench.harness.neighbours.STAT", stat)
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    stat.write_text("cpu0 5000 0 0 0 0 0 0 100 0 0\ncpu1 9999 0 0 0 0 0 0 9999 0 0\ncpu2 0 0 0 0 0 0 0 0 0 0\n")
    watch = Watch.start(0, 2, own=lambda: own)
    assert watch is not None
    own = 10.0
    monkeypatch.setattr("time.monotonic", lambda: 120.0)
    stat.write_text("cpu0 6200 0 0 0 0 0 0 150 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0\ncpu2 600 0 0 0 0 0 0 50 0 0\n")
    told = watch.end()
    assert (told.others, told.stolen) == pytest.approx((0.3, 0.025))
    assert str(told) == "meanwhile others on this machine took 30% of the cores' time, the hypervisor 2.5%"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_this_machine_tells() -> None:
    watch = Watch.start(None, None)
    assert watch is not None
    until = time.monotonic() + 0.1
    while time.monotonic() < until:
        pass
    told = watch.end()
    assert 0 <= told.others <= 1
    assert 0 <= told.stolen <= 1


def test_where_nothing_is_told_nothing_is_watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bench.harness.neighbours.STAT", tmp_path / "none")
    assert Watch.start(1, 0) is None
