"""Checks a second over each transport, beside its own no-op and what Envoy answers by itself.

What is judged is what one core can do: Checks for each second of the processor that the server used, over those of the
no-op in the round beside it. Rates by the clock stand beside it; see bench/harness/rates.py.
"""

from collections.abc import Mapping
from typing import Final

from bench.harness import h2load
from bench.harness.envoys import start_direct
from bench.harness.figures import AtLeast, Report, ratio
from bench.harness.rates import Asked, by_turns
from bench.harness.servers import TRANSPORTS
from bench.harness.setting import Part, Setting

NAME: Final = "throughput"
TITLE: Final = "Checks a second, server on one core, 4 connections of 20 calls"
LIMIT: Final = "envoy direct_response"
LEAST_OF_NOOP: Final[Mapping[str, float]] = {"grpcio": 0.88, "pyvoy": 0.80}
"""Of the transport's own no-op (issue 7)."""


def _of_noop(transport: str) -> str:
    return f"{transport} extauthz over its no-op, of one core"


def measure(setting: Setting) -> Report:
    """Rates, the processor's time, and the ratios of both."""
    with setting.yard() as yard:
        asked = {LIMIT: Asked(ask=start_direct(yard))}
        asked |= {server.name: Asked.of(server) for server in setting.servers(yard)}
        rates = by_turns(asked, setting)
    figures = [figure for name, of_it in rates.items() for figure in of_it.figures(name)]
    for transport in setting.transports:
        name = f"{transport.name} extauthz"
        product, noop = rates[name], rates[f"{transport.name} no-op"]
        target = AtLeast(value=LEAST_OF_NOOP[transport.name])
        figures += [
            ratio(_of_noop(transport.name), product.of_core, noop.of_core, better="more", target=target),
            ratio(f"{_of_noop(transport.name)}, by the clock", product.by_clock, noop.by_clock, better="more"),
        ]
        figures += [
            ratio(f"{name} over {peer}", product.by_clock, rates[peer].by_clock, better="more")
            for peer in setting.peers
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
