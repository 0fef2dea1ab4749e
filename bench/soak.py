"""Hours of everything at once: whether anything leaks, is decided wrongly, or fails without a reason.

python -m bench.soak [--minutes N] [--transport NAME] [--store redis|sqlite] [--rest S] [--json FILE] [--check]

Requests of every kind come through Envoy and over gRPC, each with what the policy must make of it, while policies are
reloaded, keys rotated, the Redis restarted, the collector taken away, the server's clock set wrong, workers killed,
and slow clients hang on. At the end a table tells what came and what was answered, what each fault has caused, how the
processes grew, and whether the audit still verifies. With --check it ends with 1 and names what must not be.
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

from bench.harness.servers import TRANSPORTS, Yard
from bench.soaking.faults import Faults
from bench.soaking.load import Load
from bench.soaking.site import Site, make_site
from bench.soaking.verdict import LATE, Verdict
from bench.soaking.watch import BOUNDS, Growth, Watch
from extauthz.cli.quickstart.processes import Processes, ProcessFailed
from extauthz.errors import ConfigurationError

WARM_UP: Final = (0.4, 1_500.0)
"""What of its life is passed over of a process, a share of the run, but no more seconds than these: until what is
remembered of tokens, callers and paths is as much as it may be.
"""
POINTS: Final = 60
"""Looks at a process that are told to programs."""
MOST_TOLD: Final = 10
_BROKEN: Final = frozenset({"check-failed", "answer-failed"})


async def live(site: Site, minutes: float, rest: float) -> tuple[Verdict, Watch, Faults]:
    """All of it at the same time."""
    verdict = Verdict()
    load, watch = Load(site, verdict), Watch(site, verdict)
    faults = Faults(site, load, verdict)
    await watch.begin()
    until = time.monotonic() + minutes * 60
    asking = asyncio.create_task(load.run())
    await asyncio.gather(watch.run(until), faults.run(until, rest), faults.dawdle(until))
    load.over = True  # not before: the last fault asks, too
    await asking
    return verdict, watch, faults


def errors_in(log: Path, verdict: Verdict) -> tuple[int, list[str]]:
    """How many errors of the server's log fell into a fault; and the lines that did not, or that no fault excuses."""
    explained, odd = 0, list[str]()
    wall = time.time() - time.monotonic()
    in_traceback = False
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("Traceback"):
            odd.append(line)
            in_traceback = True
        elif in_traceback and not line.startswith(" "):  # its last line says what it is
            odd[-1] += f" … {line}"
            in_traceback = False
        if not line.startswith("{"):
            continue
        said = json.loads(line)
        if said.get("level") != "error":
            continue
        at = datetime.fromisoformat(said["timestamp"]).timestamp() - wall
        excused = any(fault.began - 1 <= at <= fault.ended + LATE for fault in verdict.faults)
        if said["event"] in _BROKEN or not excused:
            odd.append(line)
        else:
            explained += 1
    return explained, odd


def audited(site: Site) -> tuple[bool, str]:
    """Whether the audit verifies, and what `extauthz audit verify` says."""
    ended = site.command("audit", "verify", "--format", "json")
    if not ended.stdout.startswith("{"):
        return False, (ended.stdout + ended.stderr).strip()
    told = json.loads(ended.stdout)
    counts = {name: value for name, value in told.items() if isinstance(value, (int, bool, str))}
    return ended.returncode == 0, ", ".join(f"{name} {value}" for name, value in counts.items())


def report(site: Site, verdict: Verdict, watch: Watch, faults: Faults, minutes: float) -> dict[str, Any]:
    """Print it; what is for programs, with the misses."""
    by_fault, unexplained, wrong = verdict.explained()
    growth, unjudged = watch.growth(min(WARM_UP[0] * minutes * 60, WARM_UP[1]))
    logged, odd_lines = errors_in(site.folder / "extauthz.log", verdict)
    verifies, said = audited(site)
    total = sum(counts.total() for counts in verdict.counts.values())
    _print_requests(verdict)
    _print_faults(verdict, by_fault)
    _print_growth(growth)
    print(
        f"\n{total:,} requests in {minutes:g} minutes;"
        f" {len(unexplained)} errors without a reason, {len(wrong)} let through wrongly"
    )
    print(f"log: {logged} errors within faults, {len(odd_lines)} without a reason")
    print(f"audit: {'verifies' if verifies else 'DOES NOT VERIFY'}: {said}")
    print(f"{unjudged} processes lived for too short a time to be judged by what they hold")
    misses = [f"let through wrongly: {one.kind} at {verdict.minute(one):.2f}" for one in wrong]
    misses += [
        f"no reason for: {one.kind}: {one.reason} at {verdict.minute(one):.2f}"
        for one in unexplained
        if one not in wrong
    ]
    misses += [f"log: {line}" for line in odd_lines]
    misses += [f"not followed: {problem}" for problem in faults.problems]
    misses += [_told(one) for one in growth if one.leaks]
    if not verifies:
        misses.append(f"audit: {said}")
    for line in misses[:MOST_TOLD]:
        print(f"missed: {line}")
    if len(misses) > MOST_TOLD:
        print(f"missed: {len(misses) - MOST_TOLD} more")
    return {
        "minutes": minutes,
        "requests": {kind: dict(counts) for kind, counts in verdict.counts.items()},
        "faults": dict(verdict.happened),
        "caused": {name: dict(counts) for name, counts in by_fault.items()},
        "growth": [
            {
                "process": one.process,
                "figure": one.figure,
                "middle": one.middle,
                "grown": one.grown,
                "seconds": one.seconds,
            }
            for one in growth
        ],
        "looks": {f"{watch.names[pid]} ({pid})": _thinned(looks) for pid, looks in watch.looks.items()},
        "audit": said,
        "misses": misses,
    }


def _thinned(looks: Sequence[tuple[float, Mapping[str, float]]]) -> list[Mapping[str, float]]:
    """Some of these looks, with seconds since the first one."""
    return [{"seconds": round(at - looks[0][0], 1), **figures} for at, figures in looks[:: len(looks) // POINTS + 1]]


def _print_requests(verdict: Verdict) -> None:
    print(f"{'requests':40} {'number':>8} {'p50 ms':>8} {'p99 ms':>8}  answered")
    for kind, counts in sorted(verdict.counts.items()):
        taken = verdict.seconds[kind]
        p50, p99 = (quantiles(taken, n=100)[place] * 1e3 if len(taken) > 1 else taken[0] * 1e3 for place in (49, 98))
        answers = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
        print(f"{kind:40} {counts.total():8} {p50:8.1f} {p99:8.1f}  {answers}")


def _print_faults(verdict: Verdict, by_fault: Mapping[str, Mapping[str, int]]) -> None:
    print(f"\n{'faults':40} {'times':>8}  caused")
    for name, times in sorted(verdict.happened.items()):
        caused = ", ".join(f"{what} {count}" for what, count in sorted(by_fault.get(name, {}).items())) or "nothing"
        print(f"{name:40} {times:8}  {caused}")


def _print_growth(growth: Sequence[Growth]) -> None:
    print(f"\n{'what processes hold':62} {'middle':>10} {'grown':>8} {'may':>8} {'minutes':>8}")
    for one in growth:
        most = BOUNDS[one.figure].most(one.middle)
        flag = "  LEAKS" if one.leaks else ""
        numbers = f"{one.middle:10.1f} {one.grown:8.1f} {most:8.1f} {one.seconds / 60:8.1f}"
        print(f"{one.process:48} {one.figure:13} {numbers}{flag}")


def _told(one: Growth) -> str:
    bound = BOUNDS[one.figure]
    return (
        f"leak: {one.process}: {one.figure} grew by {one.grown:.1f} {bound.unit} in {one.seconds / 60:.1f} minutes,"
        f" {one.an_hour:.0f} an hour, and may by {bound.most(one.middle):.1f}"
    )


def main() -> None:
    """Run, and say it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--transport", choices=[one.name for one in TRANSPORTS], default=TRANSPORTS[0].name)
    parser.add_argument("--store", choices=["redis", "sqlite"], default="redis")
    parser.add_argument("--rest", type=float, default=8.0, metavar="S", help="seconds between two faults")
    parser.add_argument("--seed", type=int, default=None, help="of what is left to chance")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--check", action="store_true", help="exit 1 if anything is missed, and name it")
    options = parser.parse_args()
    random.seed(options.seed)
    # Not under a long path: the name of a socket has at most 107 bytes.
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        processes = stack.enter_context(Processes())
        try:
            yard = Yard(processes=processes, folder=folder, core=None)
            site = make_site(yard, transport=options.transport, store=options.store)
        except ProcessFailed as error:
            sys.exit(f"soak: {error}\n{error.tail}")
        except ConfigurationError as error:
            sys.exit(f"soak: {error}")
        verdict, watch, faults = asyncio.run(live(site, options.minutes, options.rest))
        told = report(site, verdict, watch, faults, options.minutes)
    if options.json is not None:
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    if options.check and told["misses"]:
        sys.exit(f"soak: missed: {len(told['misses'])}")


if __name__ == "__main__":
    main()
