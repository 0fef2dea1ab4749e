"""Twice as many calls as a server can decide: how many it still decides in time, and what the others are told.

The calls come at random moments, whether or not earlier ones were answered, and each gives up after a while. Their
caller is as an Envoy with the shipped configuration: its circuit breaker (`max_requests`) refuses by itself, at once,
with 503, what comes beyond. A refusal is that, or an answer of our own, a denial with UNAVAILABLE; an error of gRPC is
none. Beside it stands what becomes of calls that nobody holds back.
"""

from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Final

from bench.harness import h2load, openloop, traffic
from bench.harness.figures import AtLeast, AtMost, Report, measured, ratio
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
LATEST: Final = 0.05
"""Seconds that a call may be sent late by the generator before it is told."""


def _in_time(transport: str) -> str:
    return f"{transport}, decided in time over capacity"


def _silent(transport: str) -> str:
    return f"{transport}, neither decided nor refused in time"


def measure(setting: Setting) -> Report:
    """By turns of both transports: what they can do, then twice that, held back by a circuit breaker and not."""
    notes: list[str] = []
    with setting.yard() as yard:
        servers = {transport.name: yard.start_extauthz(transport) for transport in setting.transports}
        turns = setting.in_turn(servers, partial(_overload, setting=setting, notes=notes))
    figures = []
    for name, rounds in turns.items():
        capacities = [one.capacity for one, _ in rounds]
        decided = [one.decided for one, _ in rounds]
        open_decided = [one.decided for _, one in rounds]
        figures += [
            measured(f"{name}, capacity", "/s", capacities, better="more"),
            measured(f"{name}, decided in time", "/s", decided, better="more"),
            ratio(_in_time(name), decided, capacities, better="more", target=AtLeast(value=0.9)),
            measured(f"{name}, held back by the breaker", "%", [one.held_back for one, _ in rounds]),
            measured(f"{name}, refused in time", "%", [one.refused for one, _ in rounds]),
            measured(f"{name}, ended by an error of gRPC", "%", [one.failed for one, _ in rounds]),
            measured(_silent(name), "%", [one.silent for one, _ in rounds], target=AtMost(value=0.0)),
            ratio(f"{name} without a breaker, decided in time over capacity", open_decided, capacities, better="more"),
            measured(f"{name} without a breaker, refused in time", "%", [one.refused for _, one in rounds]),
        ]
    return Report(part=NAME, title=TITLE, figures=tuple(figures), notes=tuple(notes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """One round. `capacity` and `decided` (in time) are calls a second, the others per cent of the calls that came.

    `held_back` never reached the server. `silent` are those that were neither decided nor refused in time, among them
    `failed`.
    """

    capacity: float
    decided: float
    held_back: float
    refused: float
    failed: float
    silent: float


def tally(outcome: openloop.Outcome, *, capacity: float, seconds: float) -> Overload:
    """What became of the calls that came within `seconds`, `capacity` being what was answered without overload."""
    codes = [
        CheckResponse.FromString(one.message).status.code
        for one in outcome.answered
        if one.message is not None and one.seconds <= DEADLINE
    ]
    refused = codes.count(Code.UNAVAILABLE)
    failed = sum(one.message is None for one in outcome.answered)
    share = 100 / outcome.asked
    return Overload(
        capacity=capacity,
        decided=(len(codes) - refused) / seconds,
        held_back=outcome.held_back * share,
        refused=refused * share,
        failed=failed * share,
        silent=(outcome.asked - outcome.held_back - len(codes)) * share,
    )


def _overload(server: Server, *, setting: Setting, notes: list[str]) -> tuple[Overload, Overload]:
    """With a circuit breaker, and without."""
    seconds, core = setting.size.seconds, setting.cores.load
    capacity = h2load.rate_of(server.ask(), h2load.Load(seconds=seconds), core=core)
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": CHECK,
        ":authority": server.address,
        **h2load.GRPC,
        "grpc-timeout": f"{DEADLINE * 1000:.0f}m",
    }

    def offer(most: int | None) -> Overload:
        outcome = openloop.run(
            server.address,
            headers,
            repeat(framed(traffic.request())),
            rate=capacity * OVER,
            seconds=seconds,
            deadline=DEADLINE,
            connections=CONNECTIONS,
            core=core,
            most=most,
        )
        if outcome.late > LATEST:
            notes.append(
                f"{server.name}: the generator sent up to {outcome.late * 1000:.0f} ms late, a limit of its own"
            )
        return tally(outcome, capacity=capacity, seconds=seconds)

    return offer(AT_ONCE_DECIDED), offer(None)


PART: Final = Part(
    name=NAME,
    title=TITLE,
    targets=tuple(judged(transport.name) for judged in (_in_time, _silent) for transport in TRANSPORTS),
    measure=measure,
    missing=h2load.missing,
)
