"""The measurements of records, once, as small as they can be: they look themselves whether every record was kept."""

import json
import os
from pathlib import Path

import pytest

from bench import records
from bench.__main__ import main
from bench.harness import h2load
from bench.harness.collector import start_collector
from bench.harness.servers import Yard
from bench.parts import recorded
from extauthz.cli.quickstart.processes import Processes


def test_each_way_of_keeping_records_keeps_them_all(tmp_path: Path) -> None:
    with Processes() as processes:
        collector = start_collector(Yard(processes=processes, folder=tmp_path, core=None))
        figures = records.measure_all(tmp_path, collector, rounds=1, calls=300)
    assert list(figures) == ["bare parse", records.OFF, records.LEFT, records.AUDIT, *_SPANS]
    assert 0 < figures["bare parse"] < figures[records.OFF]


_SPANS = (records.SAMPLED, records.OVER_GRPC, records.OVER_HTTP)


@pytest.mark.timeout(300)
def test_servers_that_keep_records_are_measured_and_nothing_of_them_is_lost_unseen(tmp_path: Path) -> None:
    if missing := h2load.missing():
        pytest.fail(missing) if os.environ.get("REQUIRE_ALL") else pytest.skip(missing)
    assert main(["--tiny", "--only", recorded.NAME, "--out", str(tmp_path)]) == 0
    written = json.loads((tmp_path / "bench.json").read_text())["parts"][recorded.NAME]
    assert not written["skipped"]
    figures = {name: one["value"] for name, one in written["figures"].items()}
    assert all(figures[kind] > 0 for kind in (recorded.NOOP, recorded.AUDIT, recorded.ALL, recorded.AWAY))
    accounted = [one for one in written["figures"] if "nor counted" in one or "are not in the audit" in one]
    assert len(accounted) == 3
    assert not any(figures[one] for one in accounted)
