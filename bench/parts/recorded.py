"""Servers that keep records, beside the transport's own no-op: an audit, and spans of all decisions to a collector.

Also whether anything is lost at a rate that goes on, and what becomes of decisions, of memory and of spans where the
collector is away, or takes everything and never answers.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import Final
from urllib.request import urlopen

from bench.harness import h2load, openloop, traffic
from bench.harness.collector import Collector, start_collector
from bench.harness.figures import AtLeast, AtMost, Figure, Report, measured, ratio
from bench.harness.neighbours import Watch
from bench.harness.proc import memory, processor_seconds
from bench.harness.rates import Asked, Rates, by_turns
from bench.harness.servers import TRANSPORTS, Server, Yard, free_address
from bench.harness.setting import Part, Setting
from bench.noop import CHECK, framed
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.wire.grpc_status import Code

NAME: Final = "recorded"
TITLE: Final = "Servers that keep records, on one core; the collector shares that of the load"
TRANSPORT: Final = next(one for one in TRANSPORTS if one.name == "pyvoy")
NOOP: Final = "no-op"
OFF: Final = "without records"
AUDIT: Final = "with audit"
ALL: Final = "with audit and all spans"
AWAY: Final = "with all spans, no collector"
SILENT: Final = "with all spans, a silent collector"
LEAST_OF_NOOP: Final[Mapping[str, float]] = {AUDIT: 0.75, ALL: 0.68}
"""Of the transport's own no-op (issue 10)."""
RATE: Final = 5_000.0
"""Decisions a second at which no record is to be lost (issue 10)."""
KEPT: Final = 0.98
"""Of it: beneath, something else is measured."""
UNHARMED: Final = AtLeast(value=0.9)
NO_DEARER: Final = AtMost(value=1.05)
"""Of what is decided with a collector, and of the processor's time for it; what differs less may be chance."""
MOST_MORE_MB: Final = 10.0
"""That a server may take more without a collector: what waits for it is bounded."""
CONNECTIONS: Final = 4
AT_A_TIME: Final = 256
"""Calls under way, as the circuit breaker of envoy/ has it."""
DEADLINE: Final = 10.0
PATIENCE: Final = 30.0
"""Seconds within which what waits must have gone."""
DIFFERENT: Final = 20_000
"""Checks that take turns."""
BATCHES: Final[Mapping[str, str]] = {"OTEL_BSP_SCHEDULE_DELAY": "500"}
"""Milliseconds after which the last spans go, which fill no batch."""
FEW: Final[Mapping[str, str]] = {"OTEL_BSP_MAX_QUEUE_SIZE": "2048"}
"""Spans that may wait: a short run is to see what becomes of more."""
STILL: Final = 1.0
"""Seconds without a change after which nothing waits that is ever sent."""


def _of_noop(kind: str) -> str:
    return f"{kind} over {NOOP}, of one core"


def _of_all(kind: str) -> str:
    return f"{kind}, over a collector that is there"


def _dearer(kind: str) -> str:
    return f"{_of_all(kind)}, processor"


DECIDED: Final = f"at {RATE:,.0f}/s, decided"
UNDECIDED: Final = f"at {RATE:,.0f}/s, calls without a decision"
UNWRITTEN: Final = f"at {RATE:,.0f}/s, decisions that are not in the audit"
UNSENT: Final = f"at {RATE:,.0f}/s, decisions whose span did not arrive"
_DECISIONS: Final = "extauthz_decisions_total"
_RECORDS_WAITING: Final = "extauthz_records_waiting"
_AUDIT_WAITING: Final = "extauthz_audit_waiting"
_SPANS_WAITING: Final = "extauthz_spans_waiting"
_SPANS_EXPORTED: Final = 'extauthz_spans_total{result="exported"}'
_SPANS_DROPPED: Final = 'extauthz_spans_total{result="dropped"}'
_COUNTED: Final = (_DECISIONS, _SPANS_EXPORTED, _SPANS_DROPPED)


def _dropped(kind: str) -> str:
    return f"{kind}: spans dropped"


def _more(kind: str) -> str:
    return f"{kind}: more memory than with a collector"


def _uncounted(kind: str) -> str:
    return f"{kind}: spans neither exported, nor waiting, nor counted as dropped"


def measure(setting: Setting) -> Report:
    """All ways of a server by turns, what they hold then, and the rate that goes on."""
    if TRANSPORT not in setting.transports:
        return PART.skipped(f"judged by {TRANSPORT.name} alone")
    with setting.yard() as yard:
        beside = Yard(processes=yard.processes, folder=yard.folder, core=setting.cores.load)
        collector, silent = start_collector(beside), start_collector(beside, silent=True)
        away = Collector(grpc=free_address(), http=free_address())
        start = partial(yard.start_extauthz, TRANSPORT)
        servers = {
            NOOP: yard.start_noop(TRANSPORT),
            OFF: start(kind=OFF),
            AUDIT: start(kind=AUDIT, audit=True),
            ALL: start(kind=ALL, audit=True, variables=_spans_to(collector)),
            AWAY: start(kind=AWAY, audit=True, variables={**_spans_to(away), **FEW}),
            SILENT: start(kind=SILENT, audit=True, variables={**_spans_to(silent), **FEW}),
        }
        figures = _costs(by_turns({name: Asked.of(server) for name, server in servers.items()}, setting))
        for kind in (AWAY, SILENT):
            figures += _without_collector(kind, servers[kind], servers[ALL])
    notes = ["rates: one Check over and over; what goes on: Checks of which each 20,000th is the same"]
    figures += steady(setting, notes)
    return Report(part=NAME, title=TITLE, figures=tuple(figures), notes=tuple(notes))


def _spans_to(collector: Collector) -> dict[str, str]:
    return {**collector.over_grpc(), **BATCHES}


def _costs(rates: Mapping[str, Rates]) -> list[Figure]:
    """By the second of the processor; without a collector by the clock, too: to wait for one would take none."""
    figures = [figure for name, of_it in rates.items() for figure in of_it.figures(name)]
    noop, beside = rates[NOOP], rates[ALL]
    for kind in (OFF, AUDIT, ALL):
        one, least = rates[kind], LEAST_OF_NOOP.get(kind)
        target = None if least is None else AtLeast(value=least)
        figures += [
            ratio(_of_noop(kind), one.of_core, noop.of_core, better="more", target=target),
            ratio(f"{kind} over {NOOP}, by the clock", one.by_clock, noop.by_clock, better="more"),
        ]
    for kind in (AWAY, SILENT):
        one = rates[kind]
        figures += [
            ratio(_of_all(kind), one.by_clock, beside.by_clock, better="more", target=UNHARMED),
            ratio(_dearer(kind), one.processor, beside.processor, target=NO_DEARER),
        ]
    return figures


def _without_collector(kind: str, server: Server, beside: Server) -> list[Figure]:
    """What it holds, and whether each span is accounted for: it has made one for each decision."""
    told = _settled(server)
    known = told[_SPANS_DROPPED] + told[_SPANS_EXPORTED] + told[_SPANS_WAITING]
    return [
        measured(_dropped(kind), "", [told[_SPANS_DROPPED]], target=AtLeast(value=1)),
        measured(_uncounted(kind), "", [abs(told[_DECISIONS] - known)], target=AtMost(value=0)),
        measured(_more(kind), "MB", [_largest(server) - _largest(beside)], target=AtMost(value=MOST_MORE_MB)),
    ]


def steady(setting: Setting, notes: list[str]) -> list[Figure]:
    """Ask a server at one rate, and count what was decided, written and sent."""
    with setting.yard() as yard:
        collector = start_collector(Yard(processes=yard.processes, folder=yard.folder, core=setting.cores.load))
        variables = _spans_to(collector)
        server = yard.start_extauthz(TRANSPORT, kind="steady", audit=True, variables=variables)
        return _asked_steadily(server, collector, setting, notes)


def _asked_steadily(server: Server, collector: Collector, setting: Setting, notes: list[str]) -> list[Figure]:
    bodies = [framed(traffic.varied(number)) for number in range(DIFFERENT)]
    headers = {":method": "POST", ":scheme": "http", ":path": CHECK, ":authority": server.address, **h2load.GRPC}
    seconds, before = setting.size.steady, _settled(server)
    came_before, written_before = collector.spans(), _written(server)
    used = partial(_used, server)
    spent, watch = -used(), Watch.start(setting.cores.server, own=used)
    outcome = openloop.run(
        server.address,
        headers,
        cycle(bodies),
        rate=RATE,
        seconds=seconds,
        deadline=DEADLINE,
        connections=CONNECTIONS,
        core=setting.cores.load,
        most=AT_A_TIME,
    )
    others = 0.0 if watch is None else watch.end().others
    after = _settled(server)
    spent += used()
    recorded = after[_DECISIONS] - before[_DECISIONS]  # those among them that were refused as too many
    codes = Counter(CheckResponse.FromString(one.message).status.code for one in outcome.answered if one.message)
    notes.append(
        f"{outcome.asked:,} calls in {seconds:g} s, {codes[Code.OK]:,} allowed; {outcome.held_back:,} held back while"
        f" {AT_A_TIME} were under way, up to {outcome.late * 1000:.0f} ms late"
    )
    said = codes[Code.OK] + codes[Code.PERMISSION_DENIED]
    decided = measured(DECIDED, "/s", [said / seconds], better="more", target=AtLeast(value=RATE * KEPT))
    return [
        # What it would have been with what others took of its core, at most: that is no reason to say it missed.
        replace(decided, high=decided.value / max(1 - others, 0.01)),
        measured(f"at {RATE:,.0f}/s, processor", "µs a Check", [spent / max(said, 1) * 1e6]),
        measured(UNDECIDED, "", [outcome.asked - outcome.held_back - said], target=AtMost(value=0)),
        measured(UNWRITTEN, "", [recorded - (_written(server) - written_before)], target=AtMost(value=0)),
        measured(UNSENT, "", [recorded - (collector.spans() - came_before)], target=AtMost(value=0)),
    ]


def _used(server: Server) -> float:
    return sum(map(processor_seconds, server.pids()))


def _largest(server: Server) -> float:
    return max(memory(pid).resident for pid in server.pids())


def _settled(server: Server) -> dict[str, float]:
    """Its samples once no record waits, and no span that somebody takes: when nothing changes any more."""
    until = time.monotonic() + PATIENCE
    told, before = _told(server), list[float]()
    while told[_RECORDS_WAITING] or told[_AUDIT_WAITING] or [told[name] for name in _COUNTED] != before:
        if time.monotonic() > until:
            break
        before = [told[name] for name in _COUNTED]
        time.sleep(STILL)
        told = _told(server)
    return told


def _told(server: Server) -> dict[str, float]:
    """The samples of its metrics by their names, decisions of all kinds together."""
    with urlopen(f"http://{server.admin}/metrics", timeout=DEADLINE) as answer:
        lines = answer.read().decode().splitlines()
    samples = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}
    return samples | {_DECISIONS: sum(value for name, value in samples.items() if name.startswith(f"{_DECISIONS}{{"))}


def _written(server: Server) -> int:
    """Decisions in its audit."""
    assert server.audit is not None
    with server.audit.open("rb") as lines:
        return sum(not line.startswith(b'{"v":1,"event":') for line in lines)


PART: Final = Part(
    name=NAME,
    title=TITLE,
    targets=(
        *map(_of_noop, LEAST_OF_NOOP),
        *(judged(kind) for kind in (AWAY, SILENT) for judged in (_of_all, _dearer, _dropped, _uncounted, _more)),
        *(DECIDED, UNDECIDED, UNWRITTEN, UNSENT),
    ),
    measure=measure,
    missing=h2load.missing,
)
