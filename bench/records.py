"""What records cost: the same decisions with records off, left in a queue, and kept in an audit file.

    python -m bench.records [--json FILE] [--check]

A decision is what `Checker.start` does, bytes to bytes: Checks of a mesh, each of another account, connection and
trace, by 50 rules, some 5,000 a second. Counted is the processor's time of the whole process, the thread that keeps
records and its writing included, until the last record is kept. The ways take turns, so that a drift of the machine
meets all alike, and stand beside the bare parse of one such Check.
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
from pathlib import Path
from statistics import median
from typing import Final

from bench.harness import traffic
from bench.harness.counted import checker
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.check.checker import Checker
from extauthz.record.audit_file import AuditFile
from extauthz.record.journal import Journal
from extauthz.record.keeping import Recorder
from extauthz.record.masking import Keep
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys

ROUNDS: Final = 15
CALLS: Final = 1_000
PORTION, PAUSE = 50, 0.01
"""Checks between two pauses, and seconds of a pause: some 5,000 a second."""
OFF, LEFT, AUDIT = "records off", "left in a queue", "audit"
MOST_OVER_OFF: Final[Mapping[str, float]] = {AUDIT: 4.0 / 1.3}
"""Times the bare parse that a way may cost over records off: 4 µs where a parse takes 1.3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to keep records: who decides, and how to wait until what was decided is kept."""

    checker: Checker
    settle: Callable[[], None]


def make(recorder: Recorder | None, base: Checker) -> Checker:
    """The same checker with another recorder."""
    return Checker(base.ruling, replace(base._around, recorder=recorder))


def settled(journal: Journal, audit: AuditFile) -> None:
    """Wait until nothing waits any more."""
    while journal.count().waiting or audit.count().waiting:
        time.sleep(0.005)
    time.sleep(0.02)  # the last batch is out of the queue and on its way


def measure(ways: Mapping[str, Way], checks: Sequence[bytes]) -> dict[str, float]:
    """Median microseconds of the processor for one decision each way, and for one bare parse."""
    gc.collect()
    gc.freeze()  # as a server does with its policies
    times: dict[str, list[float]] = {name: [] for name in ("bare parse", *ways)}
    one = checks[0]
    for _ in range(ROUNDS):
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
    checks = [traffic.varied(number) for number in range(1, CALLS + 1)]
    base = checker()
    answer = base.start(checks[0])
    assert isinstance(answer, bytes)
    assert CheckResponse.FromString(answer).status.code == 0
    with tempfile.TemporaryDirectory() as folder:
        keys = parse_keys(generate_key(os.urandom(SECRET_BYTES), created=int(time.time())))
        audit = AuditFile(Path(folder) / "audit.jsonl", Keep(), keys=keys)
        journal = Journal(audit=audit)
        ways = {
            OFF: Way(checker=make(None, base), settle=lambda: None),
            LEFT: Way(checker=base, settle=lambda: None),
            AUDIT: Way(checker=make(journal, base), settle=lambda: settled(journal, audit)),
        }
        figures = measure(ways, checks)
        journal.close()
        counts = audit.count()
        assert (counts.written, counts.lost, journal.count().dropped) == (ROUNDS * CALLS, 0, 0), counts
    return report(figures, options)


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
