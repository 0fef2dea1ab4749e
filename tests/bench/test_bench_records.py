"""The measurements of records, once, as small as they can be: they look themselves whether every record was kept."""

from pathlib import Path

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
    assert list(figures) == ["bare parse", records.OFF, records.LEFT, records.AUDIT, *_SPANS]
    assert 0 < figures["bare parse"] < figures[records.OFF]


_SPANS = (records.SAMPLED, records.OVER_GRPC, records.OVER_HTTP)


def test_a_server_that_is_asked_steadily_keeps_a_record_of_each_decision() -> None:
    setting = Setting(size=TINY, cores=Cores(server=None, load=None), peers={}, transports=(recorded.TRANSPORT,))
    figures = {one.name: one.value for one in recorded.steady(setting, [])}
    assert figures[recorded.DECIDED] > 0
    assert figures[recorded.UNWRITTEN] == figures[recorded.UNSENT] == 0
