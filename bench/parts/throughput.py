"""Checks a second over each transport, beside its own no-op and what Envoy answers by itself."""

from collections.abc import Mapping
from typing import Final

from bench.harness import h2load
from bench.harness.envoys import start_direct
from bench.harness.figures import AtLeast, Report, measured, ratio
from bench.harness.servers import TRANSPORTS
from bench.harness.setting import Part, Setting

NAME: Final = "throughput"
TITLE: Final = "Checks a second, server on one core, 4 connections of 20 calls"
LIMIT: Final = "envoy direct_response"
LEAST_OF_NOOP: Final[Mapping[str, float]] = {"grpcio": 0.88, "pyvoy": 0.80}
"""Of the transport's own no-op (issue 7)."""


def _of_noop(transport: str) -> str:
    return f"{transport} extauthz over its no-op"


def measure(setting: Setting) -> Report:
    """Rates and their ratios."""
    core, load = setting.cores.load, h2load.Load(seconds=setting.size.seconds)
    with setting.yard() as yard:
        asks = {LIMIT: start_direct(yard), **{server.name: server.ask() for server in setting.servers(yard)}}
        rates = setting.in_turn(asks, lambda ask: h2load.rate_of(ask, load, core=core))
    figures = [measured(name, "/s", rounds, better="more") for name, rounds in rates.items()]
    for transport in setting.transports:
        over, under = rates[f"{transport.name} extauthz"], rates[f"{transport.name} no-op"]
        target = AtLeast(value=LEAST_OF_NOOP[transport.name])
        figures.append(ratio(_of_noop(transport.name), over, under, better="more", target=target))
        figures += [
            ratio(f"{transport.name} extauthz over {peer}", over, rates[peer], better="more") for peer in setting.peers
        ]
    notes = (f"{LIMIT} is the limit of h2load and of this HTTP/2 stack here: nothing above it can be measured",)
    return Report(part=NAME, title=TITLE, figures=tuple(figures), notes=notes)


PART: Final = Part(
    name=NAME,
    title=TITLE,
    targets=tuple(_of_noop(transport.name) for transport in TRANSPORTS),
    measure=measure,
    missing=h2load.missing,
)
