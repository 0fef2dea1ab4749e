"""python -m bench [--check] [--long] [--real-time] [--only PART,…] [--transport NAME] [--peer …] [--compare FILE]

Measures the server as a whole, part by part, and prints tables. The figures go to build/bench/bench.json with every
round, and to a PNG for each part. With --check it ends with 1 and names each target that is missed or that could not
be judged.
"""

import argparse
import json
import os
import platform
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from bench.harness import compare, tables
from bench.harness.cores import find_cores, go_first
from bench.harness.figures import Report, among_others, as_json, misses, unjudged
from bench.harness.interpreter import running
from bench.harness.neighbours import MUCH, Watch
from bench.harness.servers import TRANSPORTS
from bench.harness.setting import LONG, QUICK, TINY, Part, Setting, Size
from bench.parts import (
    drain,
    instructions,
    latency,
    recorded,
    resources,
    saturation,
    scripts,
    through_envoy,
    throughput,
)
from extauthz import __version__
from extauthz.cli.quickstart.processes import ProcessFailed
from extauthz.errors import ConfigurationError, ExtauthzError

PARTS: Final[Sequence[Part]] = (
    scripts.DECIDE,
    instructions.PART,
    throughput.PART,
    through_envoy.PART,
    latency.PART,
    saturation.PART,
    drain.PART,
    resources.PART,
    scripts.RECORDS,
    recorded.PART,
    scripts.PIECES,
)
LONG_ONLY: Final = frozenset({scripts.PIECES.name})
"""Measured with --long, or when asked for by name: they take many minutes."""
SIZES: Final[Mapping[str, Size]] = {"quick": QUICK, "long": LONG, "tiny": TINY}
WIDTH: Final = 120
_NAMES: Final = tuple(transport.name for transport in TRANSPORTS)


def main(arguments: Sequence[str]) -> int:
    """Measure, show, write; the exit code."""
    options = _options(arguments)
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    try:
        before = compare.read_parts(options.compare) if options.compare else None
        peers = dict(_peer(word) for word in options.peer)
        parts = _chosen(options.only, size=options.size)
        if options.real_time:
            go_first()
    except ConfigurationError as error:
        console.print(Text(str(error)))
        return 2
    transports = tuple(one for one in TRANSPORTS if one.name in (options.transport or _NAMES))
    setting = Setting(size=SIZES[options.size], cores=find_cores(), peers=peers, transports=transports)
    first = ", before all else on this machine" if options.real_time else ""
    console.print(Text(f"{setting.cores}{first}; the machine's load is {os.getloadavg()[0]:.1f}"))
    console.print(Text(f"{running()}\n"))
    reports = []
    for part in parts:
        reports.append(_measured(part, setting, real_time=options.real_time))
        tables.show(console, reports[-1])
        _write(options.out, reports, setting, options)
    if before is not None:
        tables.show_changes(console, compare.changes(before, reports))
    missed, unclear = misses(reports), unjudged(reports)
    for line in missed:
        console.print(Text(f"missed: {line}", style="red"))
    for line in unclear:
        console.print(Text(f"not judged: {line}", style="yellow"))
    if any(figure.crowded for report in reports for figure in report.figures):
        console.print(Text("others took much of the cores: --real-time goes before them, where the system allows it"))
    console.print(Text(f"written: {options.out}/bench.json and plots beside it"))
    return 1 if options.check and (missed or unclear) else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    names = ", ".join(part.name for part in PARTS)
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[2] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="end with 1 if a target is missed or not judged")
    parser.add_argument(
        "--long", action="store_const", dest="size", const="long", help="every part, for an hour and more"
    )
    parser.add_argument("--tiny", action="store_const", dest="size", const="tiny", help="to see whether it runs at all")
    parser.add_argument("--only", metavar="PART,…", help=f"only these of {names}")
    parser.add_argument(
        "--real-time", action="store_true", help="before all else on this machine, which has next to nothing meanwhile"
    )
    parser.add_argument("--transport", action="append", choices=_NAMES, help="only this one; may be repeated")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=HOST:PORT",
        help="another ext_authz server, measured beside",
    )
    parser.add_argument("--compare", type=Path, metavar="FILE", help="tell what changed since the run that wrote FILE")
    parser.add_argument("--out", type=Path, metavar="FOLDER", default=Path("build/bench"), help="where results go")
    parser.set_defaults(size="quick")
    return parser.parse_args(arguments)


def _peer(word: str) -> tuple[str, str]:
    """The name and the address of a peer; the address by number, as Envoy takes it.

    Raises:
        ConfigurationError: it is something else, or nobody knows the host.
    """
    name, _, address = word.partition("=")
    host, _, port = address.rpartition(":")
    if not name or not host or not port.isdigit():
        raise ConfigurationError(f"--peer: `{word}` is not of the form NAME=HOST:PORT")
    try:
        return name, f"{socket.gethostbyname(host)}:{port}"
    except OSError:
        raise ConfigurationError(f"--peer: nobody knows the host `{host}`") from None


def _chosen(only: str | None, *, size: str) -> list[Part]:
    """The parts to measure.

    Raises:
        ConfigurationError: there is no such part.
    """
    if only is None:
        return [part for part in PARTS if size == "long" or part.name not in LONG_ONLY]
    by_name = {part.name: part for part in PARTS}
    unknown = [name for name in only.split(",") if name not in by_name]
    if unknown:
        raise ConfigurationError(f"--only: no part `{unknown[0]}`; there are {', '.join(by_name)}")
    return [by_name[name] for name in only.split(",")]


def _measured(part: Part, setting: Setting, *, real_time: bool) -> Report:
    if missing := part.missing():
        return part.skipped(missing)
    watch = Watch.start(setting.cores.server, setting.cores.load)
    report = _measured_or_skipped(part, setting)
    if watch is None:
        return report
    report = replace(report, neighbours=(neighbours := watch.end()))
    return among_others(report) if neighbours.others > MUCH and not real_time else report


def _measured_or_skipped(part: Part, setting: Setting) -> Report:
    try:
        return part.measure(setting)
    except ProcessFailed as error:
        return part.skipped(f"{error}\n{error.tail}")
    except ExtauthzError as error:
        return part.skipped(str(error))


def _write(folder: Path, reports: Sequence[Report], setting: Setting, options: argparse.Namespace) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, Any] = {
        "version": __version__,
        "machine": {"python": asdict(running()), "system": platform.platform(), "cores": os.cpu_count()},
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "size": options.size,
        "real_time": options.real_time,
        "pinned": asdict(setting.cores),
        "peers": dict(setting.peers),
        "parts": {report.part: as_json(report) for report in reports},
    }
    (folder / "bench.json").write_text(json.dumps(written, indent=2) + "\n")

    from bench.harness import plots  # here: what draws takes most of a second to import

    plots.draw(reports[-1], folder)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
