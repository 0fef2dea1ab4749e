"""Ratios, targets, and what changed between two runs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.harness import openloop
from bench.harness.compare import Verdict, changes, read_parts
from bench.harness.figures import AtLeast, AtMost, Better, Figure, Report, as_json, measured, misses, ratio
from bench.harness.setting import Part
from bench.parts import saturation
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.errors import ConfigurationError

ROUNDS = st.lists(st.floats(1, 1e6), min_size=1, max_size=9)


def _report(*figures: Figure) -> Report:
    return Report(part="p", title="P", figures=figures)


def _written(*reports: Report) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(json.dumps({report.part: as_json(report) for report in reports}))
    return written


def test_a_ratio_is_of_medians_and_its_range_of_rounds() -> None:
    figure = ratio("r", [90.0, 80.0, 40.0], [100.0, 100.0, 50.0], better="more")
    assert figure.value == pytest.approx(0.8)
    assert (figure.least, figure.most) == pytest.approx((0.8, 0.9))


@pytest.mark.parametrize("under", [0.0, -3.0])
def test_a_ratio_to_what_is_lost_in_noise_meets_no_target(under: float) -> None:
    assert not ratio("r", [1.0], [under], target=AtMost(value=1.15)).met()
    assert not ratio("r", [-1.0], [under], target=AtMost(value=1.15)).met()


@given(ROUNDS, st.floats(0.1, 10))
def test_a_drift_that_meets_both_leaves_the_rounds_of_a_ratio_alone(rounds: list[float], factor: float) -> None:
    drifted = [value * (place + 1) for place, value in enumerate(rounds)]
    figure = ratio("r", [value * factor for value in drifted], drifted)
    assert figure.rounds == pytest.approx((factor,) * len(rounds))


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [
        (AtLeast(value=0.88), 0.88, True),
        (AtLeast(value=0.88), 0.879, False),
        (AtMost(value=1.15), 1.15, True),
        (AtMost(value=1.15), 1.151, False),
        (AtMost(value=1.15), float("nan"), False),
        (AtLeast(value=1.15), float("nan"), False),
        (None, 0.0, True),
    ],
)
def test_a_target_is_met_from_its_bound_on(target: AtLeast | AtMost | None, value: float, met: bool) -> None:
    assert measured("f", "s", [value], target=target).met() is met


def test_a_missed_target_and_what_nobody_could_judge_are_misses() -> None:
    part = Part(name="q", title="Q", targets=("start of grpcio",), measure=lambda _: _report())
    reports = [
        _report(measured("start", "s", [2.0], target=AtMost(value=1.5)), measured("size", "MB", [1.0])),
        replace(_report(), missed=("cel: too slow",)),
        part.skipped("no h2load"),
    ]
    assert misses(reports) == [
        "p: start: 2 s, not ≤ 1.5",
        "p: cel: too slow",
        "q: not judged, as it was skipped: start of grpcio",
    ]


@pytest.mark.parametrize(
    ("before", "after", "better", "verdict"),
    [
        ([10.0, 11.0], [12.0, 13.0], "less", "worse"),
        ([10.0, 11.0], [12.0, 13.0], "more", "better"),
        ([12.0, 13.0], [10.0, 11.0], "less", "better"),
        ([12.0, 13.0], [10.0, 11.0], "more", "worse"),
        ([10.0, 14.0], [12.0, 20.0], "less", "noise"),
        ([522_090.0], [522_091.0], "less", "noise"),
        ([522_090.0], [600_000.0], "less", "worse"),
    ],
)
def test_a_change_is_more_than_noise_where_no_round_of_one_is_among_those_of_the_other(
    before: list[float], after: list[float], better: Better, verdict: Verdict
) -> None:
    was = _written(_report(measured("f", "µs", before, better=better)))
    (change,) = changes(was, [_report(measured("f", "µs", after, better=better), measured("new", "µs", [1.0]))])
    assert (change.part, change.name, change.verdict) == ("p", "f", verdict)
    assert change.share == pytest.approx(change.after / change.before - 1)


@given(ROUNDS)
def test_a_run_compared_with_itself_has_not_changed(rounds: list[float]) -> None:
    report = _report(measured("f", "µs", rounds))
    assert [change.verdict for change in changes(_written(report), [report])] == ["noise"]


def test_what_is_no_earlier_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't read"):
        read_parts(tmp_path / "none.json")
    for text in ("", "[]", "{}"):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(ConfigurationError, match="no file that `make bench` has written"):
            read_parts(tmp_path / "other.json")


def test_a_call_that_is_answered_too_late_or_by_an_error_was_neither_decided_nor_refused() -> None:
    def answer(code: int) -> bytes:
        said = CheckResponse()
        said.status.code = code
        return said.SerializeToString()

    answered = [
        openloop.Answered(seconds=seconds, message=message)
        for seconds, message in [
            (0.1, answer(0)),
            (0.1, answer(7)),
            (0.1, answer(14)),
            (0.3, answer(0)),
            (0.3, answer(14)),
            (0.1, None),
        ]
    ]
    outcome = openloop.Outcome(asked=16, answered=answered, late=0.0, held_back=8)
    told = saturation.tally(outcome, capacity=10.0, seconds=0.5)
    assert told == saturation.Overload(
        capacity=10.0, decided=4.0, held_back=50.0, refused=6.25, failed=6.25, silent=31.25
    )
