"""What reading a Check and writing its answer cost, beside the bare parse of the same bytes.

python bench/wire.py [--json FILE] [--check]
"""

import argparse
import json
import sys
import time
import timeit
from collections.abc import Callable, Iterable
from itertools import cycle
from pathlib import Path
from statistics import median

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from extauthz.values.decisions import Allow, Challenge, ChallengeDemand, ChallengeOffer, Decision, Deny, Mutations
from extauthz.values.request import Peer, RequestView
from extauthz.wire.caller import reader
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode
from extauthz.wire.encode import encode

ROUNDS = 45
CALLS = 1_000
TARGETS_US = {"decode": 8.0}


def payload(number: int = 0, *, raw_headers: bool = False, port: int = 40_312) -> bytes:
    """About 1 KB, as Envoy sends it for a call between two workloads, without and with `encode_raw_headers`.

    Those with another `number` are of another request, those with another `port` of another connection.
    """
    return check_request(
        raw_headers=raw_headers,
        id=f"{9_713_526_382_617_712_390 + number}",
        method="POST",
        host="payments.example.com",
        path=f"/v1/accounts/a{number % 32}/transfers?amount={5_000 + number}",
        headers={
            "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
            "accept": "application/json",
            "content-type": "application/json",
            "content-length": "12",
            "x-forwarded-proto": "https",
            "x-forwarded-for": "203.0.113.9",
            "x-request-id": f"{number:08x}-6f2b-4a55-9c3e-2f6f5d7f6c11",
            "traceparent": f"00-0af7651916cd43dd8448eb21{number:08x}-b7ad6b7169203331-01",
            "x-forwarded-client-cert": "By=spiffe://prod.example.org/ns/pay/sa/api;"
            "Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;"
            "URI=spiffe://prod.example.org/ns/shop/sa/web",
        },
        body=b'{"a": "bcd"}',
        source_ip="10.1.2.3",
        source_port=port,
        principal="spiffe://prod.example.org/ns/shop/sa/web",
        destination=Peer(ip="10.1.2.4", port=8443, principal="spiffe://prod.example.org/ns/pay/sa/api"),
        time=(1_790_000_000, 123_456_789),
    )


PAYLOAD, RAW_PAYLOAD = payload(), payload(raw_headers=True)
REQUESTS = 64
CONNECTIONS = 1_024
"""More than are remembered."""


def decoding(payloads: Iterable[bytes]) -> Callable[[], RequestView]:
    """Decodes one after the other, over and over."""
    again = cycle(payloads)
    return lambda: decode(next(again))


REQUEST = decode(PAYLOAD)
DEMAND = ChallengeDemand(rule="payments/large", factors=("totp",), max_age=300.0, binding="b", acr="gold")
DECISIONS: dict[str, Decision] = {
    "allow": Allow(rule="payments/transfer", mutations=Mutations(headers={"x-authz-subject": "u1"})),
    "deny": Deny(rule="payments/frozen", reason="account-frozen"),
    "challenge": Challenge(rule="payments/large", demands=(DEMAND,)),
}
SETTABLE = frozenset({"x-authz-subject", "x-authz-tenant"})
OFFER = ChallengeOffer(location="/.extauthz/challenge?ticket=abc", cookies=("__Host-nonce=a; Path=/; Secure",))


def from_caller(headers: dict[str, str | list[str]]) -> RequestView:
    """The request as this caller would have sent it."""
    return decode(check_request(host="payments.example.com", method="POST", headers=headers, body=b'{"a": "bcd"}'))


CALLERS = {
    "gRPC": from_caller({"content-type": "application/grpc"}),
    "navigation": decode(check_request(host="payments.example.com", headers={"sec-fetch-mode": "navigate"})),
}


def answer(word: str, request: RequestView = REQUEST) -> bytes:
    """The bytes that `encode` makes of one decision; of a refusal, in the form that the caller reads."""
    return encode(
        DECISIONS[word],
        request=request,
        decision_id="01-0123456789",
        revision="sha256:0123456789abcdef",
        settable=SETTABLE,
        offer=OFFER,
    )


ALLOWED = answer("allow")

STEPS: dict[str, Callable[[], object]] = {
    "bare parse": lambda: CheckRequest.FromString(PAYLOAD),
    "decode": decoding(map(payload, range(REQUESTS))),
    "decode, new connections": decoding(payload(number, port=number) for number in range(CONNECTIONS)),
    "bare parse, raw headers": lambda: CheckRequest.FromString(RAW_PAYLOAD),
    "decode, raw headers": decoding(payload(number, raw_headers=True) for number in range(REQUESTS)),
    "decode, raw, new connections": decoding(
        payload(number, raw_headers=True, port=number) for number in range(CONNECTIONS)
    ),
    "reader": lambda: reader(REQUEST),
    "bare parse of an answer": lambda: CheckResponse.FromString(ALLOWED),
    "encode allow": lambda: answer("allow"),
    "encode deny, API": lambda: answer("deny"),
    "encode deny, gRPC": lambda: answer("deny", CALLERS["gRPC"]),
    "encode challenge, navigation": lambda: answer("challenge", CALLERS["navigation"]),
    "encode challenge, API": lambda: answer("challenge"),
}


def measure() -> dict[str, float]:
    """Median microseconds of each step on one core.

    The steps take turns, so that a slow moment slows them all; what is counted is the time of this process, so that
    what else runs on the machine counts as little as it can.
    """
    rounds: dict[str, list[float]] = {name: [] for name in STEPS}
    for _ in range(ROUNDS):
        for name, step in STEPS.items():
            rounds[name].append(timeit.timeit(step, timer=time.process_time, number=CALLS) / CALLS * 1e6)
    return {name: median(times) for name, times in rounds.items()}


def main() -> int:
    """Measure, print, and with --check hold the targets."""
    parser = argparse.ArgumentParser(description="the cost of reading Checks and writing answers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the medians and ratios here")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    options = parser.parse_args()
    medians = measure()
    base = medians["bare parse"]
    print(f"a CheckRequest of {len(PAYLOAD):,} bytes; medians of {ROUNDS} rounds of {CALLS:,} calls\n")
    print(f"{'step':<32}{'µs':>8}{'of bare parse':>16}{'target µs':>12}")
    for name, cost in medians.items():
        target = f"{TARGETS_US[name]:.1f}" if name in TARGETS_US else ""
        print(f"{name:<32}{cost:>8.2f}{cost / base:>15.1f}x{target:>12}")
    if options.json is not None:
        table = {
            name: {"median_us": cost, "of_bare_parse": cost / base, "target_us": TARGETS_US.get(name)}
            for name, cost in medians.items()
        }
        options.json.write_text(json.dumps({"bytes": len(PAYLOAD), "steps": table}, indent=2) + "\n")
    missed = [name for name, target in TARGETS_US.items() if medians[name] > target]
    for name in missed:
        print(f"missed: {name} takes {medians[name]:.2f} µs, the target is {TARGETS_US[name]:.1f}", file=sys.stderr)
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
