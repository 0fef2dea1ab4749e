"""Checks a second over each transport, beside its own no-op and what Envoy answers by itself.

Also the processor's time for one Check, which others on the machine take little from: where it is busy, trust this one.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final

from bench.harness import h2load
from bench.harness.envoys import start_direct
from bench.harness.figures import AtLeast, Report, measured, ratio
from bench.harness.h2load import Load
from bench.harness.rates import Asked, one_round
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
    """Rates, the processor's time, and the ratios of both."""
    size, core = setting.size, setting.cores.load
    with setting.yard() as yard:
        asked = {LIMIT: Asked(ask=start_direct(yard))}
        asked |= {server.name: Asked.of(server) for server in setting.servers(yard)}
        for one in asked.values():
            h2load.rate_of(one.ask, Load(seconds=size.seconds / 5), core=core)
        load = Load(seconds=size.seconds, warm_up=False)
        rounds = setting.in_turn(asked, partial(one_round, load=load, core=core))
    rates = {name: [one.rate for one in of_it] for name, of_it in rounds.items()}
    processor = {name: [one.processor for one in of_it] for name, of_it in rounds.items() if asked[name].pids}
    figures = [measured(name, "/s", of_it, better="more") for name, of_it in rates.items()]
    for transport in setting.transports:
        product, noop = f"{transport.name} extauthz", f"{transport.name} no-op"
        target = AtLeast(value=LEAST_OF_NOOP[transport.name])
        figures.append(ratio(_of_noop(transport.name), rates[product], rates[noop], better="more", target=target))
        figures += [
            ratio(f"{product} over {peer}", rates[product], rates[peer], better="more") for peer in setting.peers
        ]
    figures += [measured(f"{name}, processor", "µs a Check", of_it) for name, of_it in processor.items()]
    for transport in setting.transports:
        spent, least = processor[f"{transport.name} extauthz"], processor[f"{transport.name} no-op"]
        figures.append(ratio(f"{transport.name} no-op over extauthz, processor", least, spent, better="more"))
    notes = (f"{LIMIT} is the limit of h2load and of this HTTP/2 stack here: nothing above it can be measured",)
    return Report(part=NAME, title=TITLE, figures=tuple(figures), notes=notes)


PART: Final = Part(
    name=NAME,
    title=TITLE,
    targets=tuple(_of_noop(transport.name) for transport in TRANSPORTS),
    measure=measure,
    missing=h2load.missing,
)
