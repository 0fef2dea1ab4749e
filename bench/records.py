"""What records cost: the same decisions with records off, left in a queue, in an audit file, and as spans.

    python -m bench.records [--json FILE] [--check]

A decision is what `Checker.start` does, bytes to bytes: Checks of a mesh, each of another account, connection and
trace, by 50 rules, some 5,000 a second. Counted is the processor's time of the whole process, the threads that keep
records, write and export included, until the last record is in the file or at the collector: a process on another core,
where there is one, which reads each span. The ways take turns, so that a drift of the machine meets all alike, and
stand beside the bare parse of one such Check. What a whole server takes more is the part `recorded` of
`python -m bench`.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Final
from unittest.mock import patch

from bench.harness import traffic
from bench.harness.collector import Collector, start_collector
from bench.harness.cores import find_cores, pinned
from bench.harness.counted import checker
from bench.harness.servers import Yard
from extauthz import __version__
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.app.pace import NEW
from extauthz.check.checker import Checker
from extauthz.cli.quickstart.processes import Processes
from extauthz.record.audit_file import AuditFile
from extauthz.record.journal import Journal
from extauthz.record.keeping import Recorder
from extauthz.record.masking import Keep
from extauthz.record.tracing import Tracing, open_tracing
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys

ROUNDS: Final = 15
CALLS: Final = 1_000
PORTION, PAUSE = 50, 0.01
"""Checks between two pauses, and seconds of a pause: some 5,000 a second."""
OFF, LEFT, AUDIT = "records off", "left in a queue", "audit"
SAMPLED, OVER_GRPC, OVER_HTTP = "spans, 1 %, gRPC", "spans, all, gRPC", "spans, all, HTTP"
MOST_OVER_OFF: Final[Mapping[str, float]] = {AUDIT: 4.0 / 1.3, OVER_GRPC: 6.0 / 1.3, OVER_HTTP: 6.0 / 1.3}
"""Times the bare parse that a way may cost over records off: 4 and 6 µs where a parse takes 1.3."""
ONE_PER_CENT: Final[Mapping[str, str]] = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
BATCHES: Final[Mapping[str, str]] = {"OTEL_BSP_SCHEDULE_DELAY": "200"}
"""Milliseconds after which the last spans of a turn go, which fill no batch."""
LOOK: Final = 0.02
"""Seconds between two looks whether anything waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to keep records: who decides, and how to wait until what was decided is kept."""

    checker: Checker
    settle: Callable[[], None]


def make(recorder: Recorder | None, base: Checker) -> Checker:
    """The same checker with another recorder."""
    return Checker(base.ruling, replace(base._around, recorder=recorder))


def allowed(checker: Checker, check: bytes) -> bool:
    """Whether it is."""
    answer = checker.start(check)
    return isinstance(answer, bytes) and CheckResponse.FromString(answer).status.code == 0


def settled(journal: Journal, kept: Callable[[], int]) -> None:
    """Wait until nothing waits any more; `kept` tells how much waits behind the journal."""
    while journal.count().waiting or kept():
        time.sleep(LOOK)
    time.sleep(LOOK)  # the last batch is out of the queue and on its way
    while kept():
        time.sleep(LOOK)


class Exporting:
    """Decisions whose spans go to a collector."""

    def __init__(self, base: Checker, variables: Mapping[str, str]) -> None:
        with patch.dict(os.environ, {**variables, **BATCHES}):  # the SDK's sampler looks there
            spans = open_tracing(os.environ, version=__version__)
        assert spans is not None
        self._spans: Tracing = spans
        self._journal = Journal((spans,))
        self.way = Way(
            checker=make(self._journal, base), settle=lambda: settled(self._journal, lambda: spans.counts.waiting)
        )

    def close(self) -> int:
        """End; how many spans have arrived.

        None is lost on the way, or what was measured is nothing.
        """
        self._journal.close()
        dropped = self._spans.counts.dropped + self._journal.count().dropped
        assert not dropped, f"{dropped} spans were dropped: is the machine busy?"
        return self._spans.counts.exported


def measure(ways: Mapping[str, Way], checks: Sequence[bytes], rounds: int) -> dict[str, float]:
    """Median microseconds of the processor for one decision each way, and for one bare parse."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()  # as a server does with its policies
    gc.set_threshold(NEW)
    try:
        return _in_turn(ways, checks, rounds)
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _in_turn(ways: Mapping[str, Way], checks: Sequence[bytes], rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in ("bare parse", *ways)}
    one = checks[0]
    for _ in range(rounds):
        taken = timeit.timeit(lambda: CheckRequest.FromString(one), timer=time.process_time, number=CALLS)
        times["bare parse"].append(taken / CALLS * 1e6)
        for name, way in ways.items():
            began = time.process_time()
            for start in range(0, len(checks), PORTION):
                for check in checks[start : start + PORTION]:
                    way.checker.start(check)
                time.sleep(PAUSE)
            way.settle()
            times[name].append((time.process_time() - began) / len(checks) * 1e6)
    return {name: median(taken) for name, taken in times.items()}


def main() -> int:
    """Print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args()
    cores = find_cores()
    with (
        tempfile.TemporaryDirectory() as folder,
        Processes() as processes,
        pinned(cores.server),
    ):
        collector = start_collector(Yard(processes=processes, folder=Path(folder), core=cores.load))
        figures = measure_all(Path(folder), collector)
    return report(figures, options)


def measure_all(folder: Path, collector: Collector, *, rounds: int = ROUNDS, calls: int = CALLS) -> dict[str, float]:
    """Microseconds each way; that every record was kept is looked at."""
    base = checker()
    # Allowed, for denials are exported whatever the sampler wants.
    checks = list(islice((one for one in map(traffic.varied, count(1)) if allowed(base, one)), calls))
    keys = parse_keys(generate_key(os.urandom(SECRET_BYTES), created=int(time.time())))
    audit = AuditFile(folder / "audit.jsonl", Keep(), keys=keys)
    journal = Journal(audit=audit)
    exporting = {
        SAMPLED: Exporting(base, {**collector.over_grpc(), **ONE_PER_CENT}),
        OVER_GRPC: Exporting(base, collector.over_grpc()),
        OVER_HTTP: Exporting(base, collector.over_http()),
    }
    ways = {
        OFF: Way(checker=make(None, base), settle=lambda: None),
        LEFT: Way(checker=base, settle=lambda: None),
        AUDIT: Way(checker=make(journal, base), settle=lambda: settled(journal, lambda: audit.count().waiting)),
        **{name: one.way for name, one in exporting.items()},
    }
    figures = measure(ways, checks, rounds)
    journal.close()
    kept = rounds * calls
    counts, exported = audit.count(), {name: one.close() for name, one in exporting.items()}
    assert (counts.written, counts.lost, journal.count().dropped) == (kept, 0, 0), counts
    assert exported[OVER_GRPC] == exported[OVER_HTTP] == kept, exported
    assert 0 < exported[SAMPLED] < kept / 20, exported
    assert collector.spans() == sum(exported.values()), exported
    return figures


def report(figures: Mapping[str, float], options: argparse.Namespace) -> int:
    """Print, write and judge."""
    parse = figures["bare parse"]
    print(f"{'a decision':>20} {'µs':>8} {'more':>8} {'/ parse':>8} {'target':>8}")
    written, missed = {}, []
    for name, taken in figures.items():
        more = taken - figures[OFF]
        most = MOST_OVER_OFF.get(name)
        print(f"{name:>20} {taken:8.1f} {more:8.1f} {more / parse:8.2f} {'' if most is None else f'{most:8.2f}'}")
        written[name] = {"us": taken, "more_us": more, "more_over_parse": more / parse}
        if most is not None and more / parse > most:
            missed.append(f"{name}: {more / parse:.2f} times the bare parse over records off, not {most:.2f}")
    if options.json is not None:
        options.json.write_text(json.dumps(written, indent=2) + "\n")
    for line in missed:
        print(f"missed: {line}")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
