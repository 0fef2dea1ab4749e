"""Ratios, targets, and what changed between two runs."""

import json
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.harness import compare, openloop
from bench.harness.compare import changes, read_parts
from bench.harness.figures import (
    AtLeast,
    AtMost,
    Better,
    Figure,
    Report,
    Verdict,
    among_others,
    as_json,
    measured,
    misses,
    ratio,
    ratio_of_added,
    unjudged,
)
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


def test_a_ratio_is_the_median_of_those_of_rounds() -> None:
    figure = ratio("r", [90.0, 80.0, 40.0], [100.0, 100.0, 50.0], better="more")
    assert (figure.low, figure.value, figure.high) == pytest.approx((0.8, 0.8, 0.9))


@pytest.mark.parametrize("under", [0.0, -3.0])
def test_a_ratio_to_what_is_lost_in_noise_is_not_judged(under: float) -> None:
    for over in (1.0, -1.0):
        assert ratio("r", [over, 1.0], [under, 1.0], target=AtMost(value=1.15)).verdict() == "unclear"
        assert ratio_of_added("r", [over], [under], [0.0], target=AtMost(value=1.15)).verdict() == "unclear"


def test_what_is_added_is_compared_by_medians_of_differences() -> None:
    base = [100.0, 300.0, 200.0, 100.0, 500.0]
    noop = [one + 50 for one in base]
    product = [one + 60 for one in base]
    product[1] += 7_000  # one round that somebody else disturbed
    figure = ratio_of_added("r", product, noop, base)
    assert figure.value == pytest.approx(1.2)
    assert (figure.low, figure.rounds[1]) == pytest.approx((1.2, 141.2))


def test_where_a_few_rounds_could_have_lost_it_in_noise_what_is_added_has_no_upper_bound() -> None:
    base = [0.0] * 7
    figure = ratio_of_added("r", [12.0] * 7, [10.0, 10, 10, 10, -1, -1, -1], base, target=AtMost(value=1.3))
    assert (figure.low, figure.value, figure.high) == pytest.approx((1.2, 1.2, inf))
    assert figure.verdict() == "unclear"


@given(ROUNDS, st.floats(0.1, 10))
def test_a_drift_that_meets_both_leaves_the_rounds_of_a_ratio_alone(rounds: list[float], factor: float) -> None:
    drifted = [value * (place + 1) for place, value in enumerate(rounds)]
    figure = ratio("r", [value * factor for value in drifted], drifted)
    assert figure.rounds == pytest.approx((factor,) * len(rounds))


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (AtLeast(value=0.88), 0.88, "met"),
        (AtLeast(value=0.88), 0.879, "missed"),
        (AtMost(value=1.15), 1.15, "met"),
        (AtMost(value=1.15), 1.151, "missed"),
        (AtMost(value=1.15), nan, "unclear"),
        (AtLeast(value=1.15), nan, "unclear"),
        (None, 0.0, "met"),
    ],
)
def test_a_target_is_met_from_its_bound_on(target: AtLeast | AtMost | None, value: float, verdict: Verdict) -> None:
    assert measured("f", "s", [value], target=target).verdict() == verdict


@pytest.mark.parametrize(
    ("low", "value", "high", "verdict"),
    [
        (0.81, 0.90, 1.30, "met"),  # however wide: all of it is
        (0.30, 0.60, 0.79, "missed"),
        (0.78, 0.81, 0.825, "met"),  # as narrow as it gets: the value says it
        (0.78, 0.79, 0.825, "missed"),
        (0.75, 0.81, 0.85, "unclear"),
        (0.75, 0.79, 0.85, "unclear"),
    ],
)
def test_what_noise_could_have_done_is_neither_met_nor_missed(
    low: float, value: float, high: float, verdict: Verdict
) -> None:
    figure = measured("f", "s", [value], better="more", target=AtLeast(value=0.80))
    assert replace(figure, low=low, high=high).verdict() == verdict


def test_a_missed_target_and_what_nobody_could_judge_are_told() -> None:
    part = Part(name="q", title="Q", targets=("start of grpcio",), measure=lambda _: _report())
    reports = [
        _report(
            measured("start", "s", [2.0], target=AtMost(value=1.5)),
            measured("size", "MB", [1.0]),
            measured("rate", "/s", [1.0, 9.0, 5.0], target=AtLeast(value=4.0)),
        ),
        replace(_report(), missed=("cel: too slow",)),
        part.skipped("no h2load"),
    ]
    assert misses(reports) == ["p: start: 2 s, not ≤ 1.5", "p: cel: too slow"]
    assert unjudged(reports) == [
        "p: rate: 5 /s, between 1 and 9: whether it is ≥ 4 can't be judged here",
        "q: start of grpcio: it was skipped",
    ]


def test_where_others_took_much_no_ratio_is_judged_and_no_miss_of_a_script() -> None:
    report = replace(
        _report(
            ratio("r", [1.0], [2.0], target=AtMost(value=0.6)),
            ratio_of_added("a", [3.0], [2.0], [1.0], target=AtMost(value=1.3)),
            ratio("shown", [1.0], [2.0]),
            measured("memory", "MB", [150.0], target=AtMost(value=140)),
            measured("start", "s", [2.0], target=AtMost(value=1.5)),
            measured("decided", "/s", [5_000.0], target=AtLeast(value=4_900)),
        ),
        missed=("check: 16 µs, not 15",),
    )
    assert len(misses([report])) == 4
    assert unjudged([report]) == []
    shared = among_others(report)
    assert misses([shared]) == ["p: memory: 150 MB, not ≤ 140"]
    why = "can't be judged here, as others took much of the cores"
    assert unjudged([shared]) == [
        f"p: r: 0.5 ×, between 0.5 and 0.5: whether it is ≤ 0.6 {why}",  # noqa: RUF001
        f"p: a: 2 ×, between 2 and 2: whether it is ≤ 1.3 {why}",  # noqa: RUF001
        f"p: start: 2 s, between 2 and 2: whether it is ≤ 1.5 {why}",
        "p: check: 16 µs, not 15: missed, but others took much of the cores",
    ]
    verdicts = [one["verdict"] for one in as_json(shared)["figures"].values()]
    assert verdicts == ["unclear", "unclear", "met", "missed", "unclear", "met"]


@pytest.mark.parametrize(
    ("before", "after", "better", "verdict"),
    [
        ([10.0, 11.0], [12.0, 13.0], "less", "worse"),
        ([10.0, 11.0], [12.0, 13.0], "more", "better"),
        ([12.0, 13.0], [10.0, 11.0], "less", "better"),
        ([12.0, 13.0], [10.0, 11.0], "more", "worse"),
        ([10.0, 14.0], [12.0, 20.0], "less", "noise"),
        ([10.0, *[11.0] * 13, 90.0], [12.0, *[13.0] * 13, 5.0], "less", "worse"),  # whatever the two last rounds were
        ([522_090.0], [522_091.0], "less", "noise"),
        ([522_090.0], [600_000.0], "less", "worse"),
    ],
)
def test_a_change_is_more_than_noise_where_the_bounds_of_both_lie_apart(
    before: list[float], after: list[float], better: Better, verdict: compare.Verdict
) -> None:
    was = _written(_report(measured("f", "µs", before, better=better)))
    (change,) = changes(was, [_report(measured("f", "µs", after, better=better), measured("new", "µs", [1.0]))])
    assert (change.part, change.name, change.verdict) == ("p", "f", verdict)
    assert change.share == pytest.approx(change.after / change.before - 1)


def test_a_run_of_before_there_were_bounds_is_compared_by_its_rounds() -> None:
    was = {"p": {"figures": {"f": {"value": 10.5, "unit": "µs", "least": 10.0, "most": 11.0}}}}
    for value, verdict in ((12.0, "worse"), (10.9, "noise"), (9.0, "better")):
        assert [one.verdict for one in changes(was, [_report(measured("f", "µs", [value]))])] == [verdict]


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
    told = saturation.tally(outcome, seconds=0.5, used=0.25)
    assert told == saturation.Overload(
        decided=4.0, of_core=8.0, held_back=50.0, refused=6.25, failed=6.25, silent=31.25
    )
