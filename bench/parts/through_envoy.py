"""What a Check adds to a request through Envoy: over no ext_authz, and over what a no-op authorizer adds.

Envoy itself takes a while for what every answer of the product carries, an id in headers of both directions and dynamic
metadata. So beside the no-op that says OK and nothing else stands one that gives the product's own answer: what is more
than that is the decision.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from bench.harness import h2load
from bench.harness.envoys import PLAIN, start_front
from bench.harness.figures import AtMost, Figure, Report, measured, ratio_of_added
from bench.harness.h2load import Ask, Load
from bench.harness.servers import TRANSPORTS, Server, Transport, Yard, check
from bench.harness.setting import Part, Setting

NAME: Final = "envoy"
TITLE: Final = "Through Envoy: what the Check adds to a request"
CALLERS: Final = {1: "1 caller", 32: "32 callers"}
ROUND: Final = 0.3
"""Seconds, after a fifth of that to warm up."""
MOST_OF_NOOP: Final = {"p50": 1.15, "p99": 1.3}
"""Times what the transport's own no-op adds (issue 7)."""

SAME: Final = "no-op with its answer"
_Rounds = Mapping[str, Sequence[Mapping[str, float]]]


def _told(transport: str, callers: str, percentile: str, peer: str) -> str:
    return f"{callers}, {percentile} that {transport} extauthz adds, over {peer}"


def _judged(transport: str, callers: str, percentile: str) -> str:
    return _told(transport, callers, percentile, "its no-op")


def measure(setting: Setting) -> Report:
    """Percentiles of the whole request, what is added, and the ratios of what is added."""
    figures: list[Figure] = []
    core = setting.cores.load
    with setting.yard() as yard:
        servers = setting.servers(yard)
        servers += [_answering_the_same(yard, transport, servers) for transport in setting.transports]
        asks = start_front(Yard(processes=yard.processes, folder=yard.folder, core=core), servers)
        for count, callers in CALLERS.items():
            load = Load(connections=count, streams=1, seconds=ROUND)
            taken = setting.in_turn(asks, partial(_percentiles, load=load, core=core), seconds=ROUND)
            for percentile in MOST_OF_NOOP:
                figures += _figures(setting, taken, callers, percentile)
    notes = ("Envoy shares the core of the load, and answers by itself what is allowed",)
    return Report(part=NAME, title=TITLE, figures=tuple(figures), notes=notes)


def _answering_the_same(yard: Yard, transport: Transport, servers: Sequence[Server]) -> Server:
    (product,) = (one for one in servers if one.name == f"{transport.name} extauthz")
    return yard.start_noop(transport, kind=SAME, answer=check(product.address))


def _percentiles(ask: Ask, *, load: Load, core: int | None) -> dict[str, float]:
    return h2load.percentiles(h2load.latencies_of(ask, load, core=core)[1])


def _figures(setting: Setting, taken: _Rounds, callers: str, percentile: str) -> list[Figure]:
    rounds = {name: [one[percentile] for one in of_it] for name, of_it in taken.items()}
    plain = rounds.pop(PLAIN)
    figures = [measured(f"{callers}, {percentile} with {PLAIN}", "µs", plain)]
    figures += [
        measured(f"{callers}, {percentile} that {name} adds", "µs", [a - b for a, b in zip(of_it, plain, strict=True)])
        for name, of_it in rounds.items()
    ]
    target = AtMost(value=MOST_OF_NOOP[percentile])
    for transport in setting.transports:
        over = rounds[f"{transport.name} extauthz"]
        name = _judged(transport.name, callers, percentile)
        figures.append(ratio_of_added(name, over, rounds[f"{transport.name} no-op"], plain, target=target))
        same = _told(transport.name, callers, percentile, f"a {SAME}")
        figures.append(ratio_of_added(same, over, rounds[f"{transport.name} {SAME}"], plain))
        for peer in setting.peers:
            name = _told(transport.name, callers, percentile, peer)
            figures.append(ratio_of_added(name, over, rounds[peer], plain))
    return figures


PART: Final = Part(
    name=NAME,
    title=TITLE,
    targets=tuple(
        _judged(transport.name, callers, percentile)
        for transport in TRANSPORTS
        for callers in CALLERS.values()
        for percentile in MOST_OF_NOOP
    ),
    measure=measure,
    missing=h2load.missing,
)
