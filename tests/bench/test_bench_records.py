"""The measurements of records, once, as small as they can be: they look themselves whether every record was kept."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from bench import records
from bench.harness.collector import start_collector
from bench.harness.cores import Cores
from bench.harness.servers import Yard
from bench.harness.setting import TINY, Setting
from bench.parts import recorded
from extauthz.cli.quickstart.processes import Processes


def test_each_way_of_keeping_records_keeps_them_all(tmp_path: Path) -> None:
    with Processes() as processes:
        collector = start_collector(Yard(processes=processes, folder=tmp_path, core=None))
        figures = records.measure_all(tmp_path, collector, rounds=1, calls=300)
    assert list(figures) == [records.FULL, records.STRANGERS, records.PACED]
    for of_pace in figures.values():
        assert list(of_pace) == [records.PARSE, *_KEPT, *_SPANS]
        assert {len(rounds) for rounds in of_pace.values()} == {1}
        assert 0 < of_pace[records.PARSE][0] < of_pace[records.OFF][0]


_KEPT = (records.OFF, records.LEFT, records.HANDED, records.BARE, records.AUDIT)
_SPANS = (records.SAMPLED, records.OVER_GRPC, records.OVER_HTTP)


def test_a_server_that_is_asked_steadily_keeps_a_record_of_each_decision() -> None:
    setting = Setting(size=TINY, cores=Cores(server=None, load=None), peers={}, transports=(recorded.TRANSPORT,))
    figures = {one.name: one.value for one in recorded.steady(setting, [])}
    assert figures[recorded.DECIDED] > 0
    assert figures[recorded.UNWRITTEN] == figures[recorded.UNSENT] == 0


def test_records_are_judged_at_full_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cheap = {records.PARSE: [1.0], records.OFF: [10.0], records.AUDIT: [13.0], records.OVER_GRPC: [14.6]}
    dear = {**cheap, records.AUDIT: [13.1]}
    written = tmp_path / "figures.json"
    options = Namespace(json=written, check=True)
    assert records.report({records.FULL: cheap, records.PACED: dear}, options) == 0
    assert records.report({records.FULL: dear, records.PACED: cheap}, options) == 1
    assert capsys.readouterr().out.count("missed: audit: 3.10 bare parses over records off, not ≤ 3.08") == 1
    told = json.loads(written.read_text())[records.FULL][records.AUDIT]
    assert told == {"us": 13.1, "more_us": pytest.approx(3.1), "more_over_parse": pytest.approx(3.1)}


def test_a_round_is_held_against_its_own_parse_and_what_varies_much_is_not_judged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = Namespace(json=None, check=True)
    slow_and_fast = {records.PARSE: [1.0, 2.0], records.OFF: [10.0, 20.0], records.AUDIT: [13.0, 26.0]}
    assert records.report({records.FULL: slow_and_fast}, options) == 0
    assert "judged" not in capsys.readouterr().out
    restless = {**slow_and_fast, records.AUDIT: [12.0, 29.0]}
    assert records.report({records.FULL: restless}, options) == 0
    assert "not judged: audit: 3.25, between 2.00 and 4.50" in capsys.readouterr().out
