"""What records cost: the same decisions with records off, left in a queue, in an audit file, and as spans.

    python -m bench.records [--json FILE] [--check]

Beside the audit stands what its parts cost that no encoding can spare: records that are handed over and let go of, and
the same with a ready line for each, hashed after the one before and written.

A decision is what `Checker.start` does, bytes to bytes: Checks of a mesh, each of another account and trace, by 50
rules. They come at full rate, one right after the other, and the threads that keep records, write and export take their
turns on the same core; and at some 5,000 a second, with pauses, as a server has them that is hardly busy: there nothing
is at hand. These are of the connections of 16 workloads, which stay open as those of a mesh do; beside them stand, at
full rate, Checks each of which is of another connection and workload. Counted is the processor's time of the whole
process, all threads included, until the last record is in the file or at the collector: a process on another core,
where there is one, which reads each span. Ways and paces take turns, so that a drift of the machine meets all alike,
and stand beside the bare parse of one such Check: what is judged is the median of what rounds take more than without
records, each in times the bare parse of the same round, where its bounds leave no doubt. What a whole server takes more
is the part `recorded` of `python -m bench`.
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
from hashlib import sha256
from itertools import count, islice
from pathlib import Path
from statistics import median
from typing import Final
from unittest.mock import patch

from bench.harness import pages, traffic
from bench.harness.collector import Collector, start_collector
from bench.harness.cores import find_cores, pinned
from bench.harness.counted import checker
from bench.harness.figures import AtMost, Figure, measured
from bench.harness.servers import Yard
from extauthz import __version__
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.app.pace import NEW
from extauthz.check.checker import Checker
from extauthz.cli.quickstart.processes import Processes
from extauthz.record.audit_file import AuditFile
from extauthz.record.journal import Journal
from extauthz.record.keeping import Record, Recorder
from extauthz.record.masking import Keep
from extauthz.record.tracing import Tracing, open_tracing
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys

ROUNDS: Final = 11
CALLS: Final = 4_000
"""Decisions of a turn. All of their records may wait at once, and all of their spans. Fewer would pay for the turn:
that threads wake up after a pause, and that the last batch goes, takes some 2 ms of it."""
PARSE: Final = "bare parse"
FULL, PACED = "at full rate", "some 5,000/s, with pauses"
STRANGERS: Final = "at full rate, new connections"
CONNECTIONS: Final = 16
OFF, LEFT, AUDIT = "records off", "left in a queue", "audit"
HANDED, BARE = "handed over", "handed over, hashed, written"
SAMPLED, OVER_GRPC, OVER_HTTP = "spans, 1 %, gRPC", "spans, all, gRPC", "spans, all, HTTP"
MOST_OVER_OFF: Final[Mapping[str, float]] = {AUDIT: 4.0 / 1.3, OVER_GRPC: 6.0 / 1.3, OVER_HTTP: 6.0 / 1.3}
"""Times the bare parse that a way may cost over records off at full rate: 4 and 6 µs where a parse takes 1.3."""
ONE_PER_CENT: Final[Mapping[str, str]] = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
BATCHES: Final[Mapping[str, str]] = {"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_BSP_MAX_QUEUE_SIZE": str(2 * CALLS)}
"""Milliseconds after which the last spans of a turn go, which fill no batch; and how many may wait."""
LINE: Final = 1_645
"""Bytes that are written for a record, without its hash: as many as of the audit for these Checks."""
LOOK: Final = 0.02
"""Seconds between two looks whether anything waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How Checks come: so many one right after the other, then a pause of so many seconds; of how many connections."""

    portion: int
    pause: float
    connections: int | None


PACES: Final[Mapping[str, Pace]] = {
    FULL: Pace(portion=CALLS, pause=0, connections=CONNECTIONS),
    STRANGERS: Pace(portion=CALLS, pause=0, connections=None),
    PACED: Pace(portion=50, pause=0.01, connections=CONNECTIONS),
}
Figures = dict[str, dict[str, list[float]]]
"""Microseconds of the processor for one decision in each round, by pace and way; a bare parse is a way of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to keep records: who decides, how to wait until what was decided is kept, and the file that it is in."""

    checker: Checker
    settle: Callable[[], None]
    file: Path | None = None


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


class LetGo:
    """A keeper that keeps nothing."""

    def keep(self, batch: Sequence[Record]) -> None:
        """Let go of these."""

    def close(self) -> None:
        """Nothing waits."""


class BareLines(LetGo):
    """Writes a ready line for each record, as long as one of the audit, with a hash of it and of the one before."""

    def __init__(self, path: Path, line: bytes) -> None:
        self._file = path.open("wb", buffering=0)
        self._line = line
        self._hash = sha256()

    def keep(self, batch: Sequence[Record]) -> None:
        """Write as many lines."""
        lines = []
        for _ in batch:
            self._hash = sha256(self._hash.digest() + self._line)
            lines.append(self._line + self._hash.hexdigest().encode())
        self._file.write(b"".join(lines))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


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


def measure(ways: Mapping[str, Way], checks: Mapping[str, Sequence[bytes]], rounds: int) -> Figures:
    """Each round; `checks` are those of each pace."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()  # as a server does with its policies
    gc.set_threshold(NEW)
    try:
        return _in_turn(ways, checks, rounds)
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _in_turn(ways: Mapping[str, Way], checks: Mapping[str, Sequence[bytes]], rounds: int) -> Figures:
    times: Figures = {pace: {name: [] for name in (PARSE, *ways)} for pace in PACES}
    one = checks[FULL][0]
    for _ in range(rounds):
        taken = timeit.timeit(lambda: CheckRequest.FromString(one), timer=time.process_time, number=CALLS)
        for pace, of_pace in times.items():
            of_pace[PARSE].append(taken / CALLS * 1e6)
            for name, way in ways.items():
                of_pace[name].append(_spent(way, PACES[pace], checks[pace]) / len(checks[pace]) * 1e6)
    return times


def _spent(way: Way, pace: Pace, checks: Sequence[bytes]) -> float:
    """Seconds of the processor until all is decided and kept."""
    decide = way.checker.start
    began = time.process_time()
    for start in range(0, len(checks), pace.portion):
        for check in checks[start : start + pace.portion]:
            decide(check)
        if pace.pause:
            time.sleep(pace.pause)
    way.settle()
    spent = time.process_time() - began
    if way.file is not None:
        pages.reuse(way.file)
    return spent


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


def measure_all(folder: Path, collector: Collector, *, rounds: int = ROUNDS, calls: int = CALLS) -> Figures:
    """What each way costs; that every record was kept is looked at."""
    base = checker()
    checks = {name: _checks(base, pace, calls) for name, pace in PACES.items()}
    keys = parse_keys(generate_key(os.urandom(SECRET_BYTES), created=int(time.time())))
    audit = AuditFile(folder / "audit.jsonl", Keep(), keys=keys)
    journal = Journal(audit=audit)
    ready = folder / "bare"
    handed, bare = Journal((LetGo(),)), Journal((BareLines(ready, b"-" * LINE),))
    exporting = {
        SAMPLED: Exporting(base, {**collector.over_grpc(), **ONE_PER_CENT}),
        OVER_GRPC: Exporting(base, collector.over_grpc()),
        OVER_HTTP: Exporting(base, collector.over_http()),
    }
    ways = {
        OFF: Way(checker=make(None, base), settle=lambda: None),
        LEFT: Way(checker=base, settle=lambda: None),
        HANDED: Way(checker=make(handed, base), settle=lambda: settled(handed, lambda: 0)),
        BARE: Way(checker=make(bare, base), settle=lambda: settled(bare, lambda: 0), file=ready),
        AUDIT: Way(
            checker=make(journal, base), settle=lambda: settled(journal, lambda: audit.count().waiting), file=audit.path
        ),
        **{name: one.way for name, one in exporting.items()},
    }
    figures = measure(ways, checks, rounds)
    for one in (journal, handed, bare):
        one.close()
    kept = rounds * calls * len(PACES)
    counts, exported = audit.count(), {name: one.close() for name, one in exporting.items()}
    assert (counts.written, counts.lost, journal.count().dropped) == (kept, 0, 0), counts
    assert ready.stat().st_size == kept * (LINE + 2 * sha256().digest_size)
    assert exported[OVER_GRPC] == exported[OVER_HTTP] == kept, exported
    assert 0 < exported[SAMPLED] < kept / 20, exported
    assert collector.spans() == sum(exported.values()), exported
    return figures


def _checks(base: Checker, pace: Pace, calls: int) -> list[bytes]:
    """So many that are allowed, for denials are exported whatever the sampler wants."""
    numbered = (traffic.varied(number, connections=pace.connections) for number in count(1))
    return list(islice((one for one in numbered if allowed(base, one)), calls))


def report(figures: Figures, options: argparse.Namespace) -> int:
    """Print, write and judge; the exit code."""
    written: dict[str, dict[str, dict[str, float]]] = {}
    judged: list[Figure] = []
    for pace, of_pace in figures.items():
        parses, offs = of_pace[PARSE], of_pace[OFF]
        print(f"{pace:>30} {'µs':>8} {'a second':>10} {'more':>8} {'/ parse':>8} {'from':>8} {'to':>8} {'target':>8}")
        print(f"{PARSE:>30} {median(parses):8.1f}")
        written[pace] = {PARSE: {"us": median(parses)}}
        for name, taken in of_pace.items():
            if name == PARSE:
                continue
            rounds = [(one - off) / parse for one, off, parse in zip(taken, offs, parses, strict=True)]
            most = MOST_OVER_OFF.get(name) if pace == FULL else None
            figure = measured(
                name, "bare parses", rounds, target=None if most is None else AtMost(value=round(most, 2))
            )
            judged.append(figure)
            us, more = median(taken), median(one - off for one, off in zip(taken, offs, strict=True))
            bounds = f"{figure.value:8.2f} {figure.low:8.2f} {figure.high:8.2f} {figure.target or ''!s:>8}"
            print(f"{name:>30} {us:8.1f} {1e6 / us:10,.0f} {more:8.1f} {bounds}".rstrip())
            written[pace][name] = {"us": us, "more_us": more, "more_over_parse": figure.value}
    if options.json is not None:
        options.json.write_text(json.dumps(written, indent=2) + "\n")
    for figure in judged:
        if figure.verdict() == "unclear":
            print(f"not judged: {figure.name}: {figure.value:.2f}, between {figure.low:.2f} and {figure.high:.2f}")
    missed = [figure for figure in judged if figure.verdict() == "missed"]
    for figure in missed:
        print(f"missed: {figure.name}: {figure.value:.2f} bare parses over records off, not {figure.target}")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
