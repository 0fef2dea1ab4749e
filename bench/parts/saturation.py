"""Twice as many calls as a server can decide: how many it still decides in time, and what the others are told.

The calls come at random moments, whether or not earlier ones were answered, and each gives up after a while. Their
caller is as an Envoy with the shipped configuration: its circuit breaker (`max_requests`) refuses by itself, at once,
with 503, what comes beyond. A refusal is that, or an answer of our own, a denial with UNAVAILABLE; an error of gRPC is
none. Beside it stands what becomes of calls that nobody holds back.
"""

from dataclasses import dataclass
from functools import partial
from itertools import repeat
from statistics import median
from typing import Final

from bench.harness import h2load, openloop, traffic
from bench.harness.figures import TIMES, AtLeast, AtMost, Report, measured, ratio
from bench.harness.rates import Asked, calls_in, rate_of, warmed_up
from bench.harness.servers import TRANSPORTS, Server
from bench.harness.setting import Part, Setting
from bench.noop import CHECK, framed
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.envoy.wanted import AT_ONCE_DECIDED
from extauthz.wire.grpc_status import Code

NAME: Final = "saturation"
TITLE: Final = "Twice the capacity, callers that wait 250 ms"
DEADLINE: Final = 0.25
"""Seconds, as envoy/gateway.yaml has it."""
OVER: Final = 2.0
CONNECTIONS: Final = 4
ROUND: Final = 0.5
"""Seconds. What is still under way at its end is little behind a breaker, and counts."""
OPEN_ROUND: Final = 1.5
"""Without a breaker it takes as long as callers wait until calls pile up."""
LATEST: Final = 0.05
"""Seconds that a call may be sent late by the generator before it is told."""


def _in_time(transport: str) -> str:
    return f"{transport}, decided in time over capacity, of one core"


def _silent(transport: str) -> str:
    return f"{transport}, neither decided nor refused in time"


def measure(setting: Setting) -> Report:
    """By turns of both transports: what they can do, then twice that behind a circuit breaker; later without one."""
    late: dict[str, float] = {}
    with setting.yard() as yard:
        servers = {transport.name: yard.start_extauthz(transport) for transport in setting.transports}
        asked = {name: _Asked(name=name, server=server, asked=Asked.of(server)) for name, server in servers.items()}
        pace = {name: warmed_up(one.asked.ask, core=setting.cores.load) for name, one in asked.items()}
        overload = partial(_able_and_overloaded, pace=pace, setting=setting, late=late)
        turns = setting.in_turn(asked, overload, seconds=ROUND)
        able = {name: median(one.rate for one, _ in rounds) for name, rounds in turns.items()}
        open_ = setting.in_turn(
            {name: (asked[name], rate * OVER) for name, rate in able.items()},
            lambda one: _overloaded(*one, seconds=OPEN_ROUND, most=None, setting=setting, late=late),
            seconds=OPEN_ROUND,
        )
    figures = []
    for name, rounds in turns.items():
        able_to, held = [one for one, _ in rounds], [one for _, one in rounds]
        of_core, clock = [one.of_core for one in able_to], [one.rate for one in able_to]
        target = AtLeast(value=0.9)
        figures += [
            measured(f"{name}, capacity", "/s", clock, better="more"),
            measured(f"{name}, decided in time", "/s", [one.decided for one in held], better="more"),
            ratio(_in_time(name), [one.of_core for one in held], of_core, better="more", target=target),
            ratio(f"{_in_time(name)}, by the clock", [one.decided for one in held], clock, better="more"),
            measured(f"{name}, held back by the breaker", "%", [one.held_back for one in held]),
            measured(f"{name}, refused in time", "%", [one.refused for one in held]),
            measured(f"{name}, ended by an error of gRPC", "%", [one.failed for one in held]),
            measured(_silent(name), "%", [one.silent for one in held], target=AtMost(value=0.0)),
        ]
        without, least = f"{name} without a breaker", median(of_core)
        figures += [
            measured(
                f"{without}, decided in time over capacity, of one core",
                TIMES,
                [one.of_core / least for one in open_[name]],
                better="more",
            ),
            measured(f"{without}, refused in time", "%", [one.refused for one in open_[name]]),
        ]
    notes = tuple(
        f"{name}: the generator sent up to {seconds * 1000:.0f} ms late, a limit of its own"
        for name, seconds in late.items()
        if seconds > LATEST
    )
    return Report(part=NAME, title=TITLE, figures=tuple(figures), notes=notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    name: str
    server: Server
    asked: Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Able:
    """What a server does when nothing is too much: calls a second, and for each second of the processor."""

    rate: float
    of_core: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """One round. `decided` (in time) are calls a second, `of_core` for each second of the processor; the others are per
    cent of the calls that came.

    `held_back` never reached the server. `silent` are those that were neither decided nor refused in time, among them
    `failed`.
    """

    decided: float
    of_core: float
    held_back: float
    refused: float
    failed: float
    silent: float


def tally(outcome: openloop.Outcome, *, seconds: float, used: float) -> Overload:
    """What became of the calls that came within `seconds`; `used` are those of the processor that the server used."""
    codes = [
        CheckResponse.FromString(one.message).status.code
        for one in outcome.answered
        if one.message is not None and one.seconds <= DEADLINE
    ]
    refused = codes.count(Code.UNAVAILABLE)
    failed = sum(one.message is None for one in outcome.answered)
    share = 100 / outcome.asked
    return Overload(
        decided=(len(codes) - refused) / seconds,
        of_core=(len(codes) - refused) / used,
        held_back=outcome.held_back * share,
        refused=refused * share,
        failed=failed * share,
        silent=(outcome.asked - outcome.held_back - len(codes)) * share,
    )


def _able_and_overloaded(
    one: _Asked, *, pace: dict[str, float], setting: Setting, late: dict[str, float]
) -> tuple[Able, Overload]:
    """One right after the other, the second behind a circuit breaker."""
    calls, used = calls_in(ROUND, pace=pace[one.name]), -one.asked.used()
    rate = pace[one.name] = rate_of(one.asked.ask, calls, core=setting.cores.load)
    used += one.asked.used()
    able = Able(rate=rate, of_core=calls / used)
    return able, _overloaded(one, rate * OVER, seconds=ROUND, most=AT_ONCE_DECIDED, setting=setting, late=late)


def _overloaded(
    one: _Asked, rate: float, *, seconds: float, most: int | None, setting: Setting, late: dict[str, float]
) -> Overload:
    server = one.server
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": CHECK,
        ":authority": server.address,
        **h2load.GRPC,
        "grpc-timeout": f"{DEADLINE * 1000:.0f}m",
    }
    used = -one.asked.used()
    outcome = openloop.run(
        server.address,
        headers,
        repeat(framed(traffic.request())),
        rate=rate,
        seconds=seconds,
        deadline=DEADLINE,
        connections=CONNECTIONS,
        core=setting.cores.load,
        most=most,
    )
    used += one.asked.used()
    late[server.name] = max(late.get(server.name, 0.0), outcome.late)
    return tally(outcome, seconds=seconds, used=used)


PART: Final = Part(
    name=NAME,
    title=TITLE,
    targets=tuple(judged(transport.name) for judged in (_in_time, _silent) for transport in TRANSPORTS),
    measure=measure,
    missing=h2load.missing,
)
