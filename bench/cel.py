"""extauthz.cel beside cel-python, the Rust binding common-expression-language and Python written by hand.

Ten conditions over one request, from small to large, in one run; every competitor evaluates a prepared program on
the values of a request that it has not seen before, so what a library must convert of them counts. A library that
lacks a function gets it in Python, or a form of the condition that it knows; where there is none, the cell is empty.

Prints medians and ratios; `--json FILE` writes them; `--check` exits 1 and names every target that was missed.
"""

import argparse
import importlib
import ipaddress
import json
import math
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

# The folder of this script holds a module of the name of a competitor's package: this one.
sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

import celpy  # noqa: E402  # after the search path is right
from celpy import celtypes  # noqa: E402  # as above
from celpy.adapter import json_to_cel  # noqa: E402  # as above

from extauthz import cel  # noqa: E402  # as above

rust = importlib.import_module("cel")

TARGETS = {
    "hand-written": ("at most", 3.0),
    "cel-python": ("at least", 200.0),
    "rust binding": ("at least", 30.0),
    "compile, ms": ("at most", 2.0),
}


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    host: str
    path: str
    size: int
    headers: dict[str, str]
    query: dict[str, str]
    params: dict[str, str]


@dataclass(frozen=True, slots=True)
class User:
    sub: str
    groups: list[str]
    claims: dict[str, Any]
    auth_time: cel.Timestamp


@dataclass(frozen=True, slots=True)
class Source:
    ip: str


HEADERS = {
    ":authority": "pay.example.com",
    ":method": "POST",
    ":path": "/v1/accounts/acc-17/transfers?amount=5000",
    "accept": "application/json",
    "accept-encoding": "gzip, br",
    "authorization": "Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl",
    "content-length": "219",
    "content-type": "application/json",
    "user-agent": "shop/4.2",
    "x-envoy-internal": "true",
    "x-forwarded-for": "203.0.113.9",
    "x-forwarded-proto": "https",
    "x-request-id": "6f1c0c3e-8a3d-4f7e-9f0e-0d6f3f1f0a11",
    "x-tenant": "t1",
    "x-tier": "gold",
}
CLAIMS = {"tenant": "t1", "roles": ["reader", "clerk", "payer"], "limits": {"daily": 10000, "single": 6000}}
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
LOGIN = NOW - timedelta(minutes=3)


def stamp(moment: datetime) -> cel.Timestamp:
    return cel.Timestamp(int(moment.timestamp()))


OURS: dict[str, Any] = {
    "request": Request(
        "POST",
        "pay.example.com",
        "/v1/accounts/acc-17/transfers",
        219,
        HEADERS,
        {"amount": "5000"},
        {"account": "acc-17"},
    ),
    "user": User("u1", ["staff", "treasury-emea", "approvers"], CLAIMS, stamp(LOGIN)),
    "source": Source("10.4.7.19"),
    "now": stamp(NOW),
}
HAND: dict[str, Any] = OURS | {"now": NOW, "login": LOGIN}
PLAIN: dict[str, Any] = {
    "request": {name: getattr(OURS["request"], name) for name in Request.__slots__},
    "user": {"sub": "u1", "groups": OURS["user"].groups, "claims": CLAIMS, "auth_time": LOGIN},
    "source": {"ip": "10.4.7.19"},
    "now": NOW,
}

STRINGS = cel.map_of(cel.STRING, cel.STRING)
VARIABLES: dict[str, cel.CelType] = {
    "request": cel.StructType(
        "Request",
        {
            "method": cel.STRING,
            "host": cel.STRING,
            "path": cel.STRING,
            "size": cel.INT,
            "headers": STRINGS,
            "query": STRINGS,
            "params": STRINGS,
        },
    ),
    "user": cel.StructType(
        "User",
        {
            "sub": cel.Field(cel.STRING, optional=True),
            "groups": cel.list_of(cel.STRING),
            "claims": cel.map_of(cel.STRING, cel.DYN),
            "auth_time": cel.TIMESTAMP,
        },
    ),
    "source": cel.StructType("Source", {"ip": cel.STRING}),
    "now": cel.TIMESTAMP,
}

# Python written by hand, as its author would write it who knows the values' types.

TRANSFERS = re.compile(r"^/v1/accounts/[a-z0-9-]+/transfers$")
TENS = ipaddress.ip_network("10.0.0.0/8")
NINETY_TWO = ipaddress.ip_network("192.168.0.0/16")
BERLIN = ZoneInfo("Europe/Berlin")


def by_method(b: Mapping[str, Any]) -> object:
    return b["request"].method == "POST"


def by_strings(b: Mapping[str, Any]) -> object:
    r = b["request"]
    return r.method in ("POST", "PUT") and r.path.startswith("/v1/accounts/") and r.host.endswith(".example.com")


def by_headers(b: Mapping[str, Any]) -> object:
    headers = b["request"].headers
    return headers["x-tenant"] == b["user"].claims["tenant"] and "authorization" in headers


def by_groups(b: Mapping[str, Any]) -> object:
    groups = b["user"].groups
    return any(group.startswith("treasury-") for group in groups) and "frozen" not in groups


def by_regex(b: Mapping[str, Any]) -> object:
    r = b["request"]
    return TRANSFERS.search(r.path) is not None and r.method == "POST"


def by_time(b: Mapping[str, Any]) -> object:
    now = b["now"]
    return now - b["login"] < timedelta(minutes=5) and 8 <= now.astimezone(BERLIN).hour < 18


def by_claims(b: Mapping[str, Any]) -> object:
    claims = b["user"].claims
    return "payer" in claims["roles"] and claims["tenant"] == "t1" and claims["limits"]["daily"] >= 5000


def by_numbers(b: Mapping[str, Any]) -> object:
    r = b["request"]
    return r.size * 8 + 1024 < 1_000_000 and r.size % 7 != 3 and float(r.query["amount"]) * 1.05 <= 6000.0


def by_network(b: Mapping[str, Any]) -> object:
    address = ipaddress.ip_address(b["source"].ip)
    return address in TENS or address in NINETY_TWO


def by_all(b: Mapping[str, Any]) -> object:
    r, u = b["request"], b["user"]
    headers = r.headers
    return (
        r.method == "POST"
        and r.path.startswith("/v1/accounts/")
        and "account" in r.params
        and r.params["account"] not in ("acc-13", "acc-14")
        and headers["content-type"] == "application/json"
        and "x-tenant" in headers
        and headers["x-tenant"] == u.claims["tenant"]
        and float(r.query["amount"]) <= (10000.0 if headers["x-tier"] == "gold" else 1000.0)
        and any(group.startswith("treasury-") or group == "payments" for group in u.groups)
        and all(role != "suspended" for role in u.claims["roles"])
        and u.sub != ""
        and len(r.host) < 100
    )


@dataclass(frozen=True, slots=True)
class Condition:
    name: str
    source: str
    hand: Callable[[Mapping[str, Any]], object]
    rust: str | None = None
    """The condition for the Rust binding, where it needs another form."""


CONDITIONS = [
    Condition("one field", "request.method == 'POST'", by_method),
    Condition(
        "strings",
        "request.method in ['POST', 'PUT'] && request.path.startsWith('/v1/accounts/')"
        " && request.host.endsWith('.example.com')",
        by_strings,
    ),
    Condition(
        "header look-up",
        "request.headers['x-tenant'] == user.claims.tenant && 'authorization' in request.headers",
        by_headers,
    ),
    Condition(
        "list macro",
        "user.groups.exists(g, g.startsWith('treasury-')) && !('frozen' in user.groups)",
        by_groups,
    ),
    Condition(
        "regex",
        "request.path.matches('^/v1/accounts/[a-z0-9-]+/transfers$') && request.method == 'POST'",
        by_regex,
    ),
    Condition(
        "timestamp",
        "now - user.auth_time < duration('5m') && now.getHours('Europe/Berlin') >= 8"
        " && now.getHours('Europe/Berlin') < 18",
        by_time,
        "now - user.auth_time < duration('5m') && hours(now, 'Europe/Berlin') >= 8 && hours(now, 'Europe/Berlin') < 18",
    ),
    Condition(
        "dynamic map",
        "'payer' in user.claims.roles && user.claims.tenant == 't1' && user.claims.limits.daily >= 5000",
        by_claims,
    ),
    Condition(
        "arithmetic",
        "request.size * 8 + 1024 < 1000000 && request.size % 7 != 3 && double(request.query.amount) * 1.05 <= 6000.0",
        by_numbers,
    ),
    Condition(
        "CIDR",
        "cidr('10.0.0.0/8').containsIP(source.ip) || cidr('192.168.0.0/16').containsIP(source.ip)",
        by_network,
        "inside('10.0.0.0/8', source.ip) || inside('192.168.0.0/16', source.ip)",
    ),
    Condition(
        "twelve terms",
        "request.method == 'POST' && request.path.startsWith('/v1/accounts/') && has(request.params.account)"
        " && !(request.params.account in ['acc-13', 'acc-14'])"
        " && request.headers['content-type'] == 'application/json' && 'x-tenant' in request.headers"
        " && request.headers['x-tenant'] == user.claims.tenant"
        " && double(request.query.amount) <= (request.headers['x-tier'] == 'gold' ? 10000.0 : 1000.0)"
        " && user.groups.exists(g, g.startsWith('treasury-') || g == 'payments')"
        " && user.claims.roles.all(r, r != 'suspended') && user.sub != '' && size(request.host) < 100",
        by_all,
    ),
]


def inside(network: str, address: str) -> bool:
    return ipaddress.ip_address(address) in _network(network)


_NETWORKS = {"10.0.0.0/8": TENS, "192.168.0.0/16": NINETY_TWO}


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return _NETWORKS[text]


def hours(moment: datetime, zone: str) -> int:
    return moment.astimezone(ZoneInfo(zone)).hour


def with_us(condition: Condition) -> Callable[[], object]:
    program = cel.compile(condition.source, variables=VARIABLES)
    return lambda: program(OURS)


def with_hand(condition: Condition) -> Callable[[], object]:
    return lambda: condition.hand(HAND)


def with_celpy(condition: Condition) -> Callable[[], object]:
    environment = celpy.Environment()
    program = environment.program(
        environment.compile(condition.rust if "cidr" in condition.source and condition.rust else condition.source),
        functions={"inside": lambda network, address: celtypes.BoolType(inside(network, address))},
    )

    def run() -> object:
        return program.evaluate({name: _to_celpy(value) for name, value in PLAIN.items()})

    return run


def _to_celpy(value: Any) -> Any:  # noqa: ANN401  # any value of a request
    if isinstance(value, datetime):
        return celtypes.TimestampType(value)
    if isinstance(value, dict):
        return celtypes.MapType({celtypes.StringType(key): _to_celpy(item) for key, item in value.items()})
    return json_to_cel(value)


def with_rust(condition: Condition) -> Callable[[], object]:
    program = rust.compile(condition.rust or condition.source)

    def run() -> object:
        return program.execute(rust.Context(PLAIN, {"inside": inside, "hours": hours}))

    def run_plain() -> object:
        return program.execute(PLAIN)

    return run if condition.rust else run_plain


COMPETITORS = {"extauthz": with_us, "hand-written": with_hand, "cel-python": with_celpy, "rust binding": with_rust}


ROUNDS = 25


def medians(runs: Mapping[str, Callable[[], object]], budget: float) -> dict[str, float]:
    """The median seconds of a call of each, over rounds in which they take turns, `budget` seconds for each."""
    calls: dict[str, int] = {}
    for name, run in runs.items():
        run()
        began = time.perf_counter()
        run()
        calls[name] = max(1, round(budget / ROUNDS / max(time.perf_counter() - began, 1e-7)))
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            began = time.perf_counter()
            for _ in range(calls[name]):
                run()
            samples[name].append((time.perf_counter() - began) / calls[name])
    return {name: statistics.median(times) for name, times in samples.items()}


def measured(budget: float) -> dict[str, dict[str, float]]:
    """Median seconds by condition and competitor; every competitor must find the condition true."""
    table: dict[str, dict[str, float]] = {}
    for condition in CONDITIONS:
        runs = {name: prepare(condition) for name, prepare in COMPETITORS.items()}
        for name, run in runs.items():
            if not run():
                raise SystemExit(f"{name} finds `{condition.name}` false")
        table[condition.name] = medians(runs, budget)
    return table


def compile_seconds(budget: float) -> float:
    """The median time to compile a condition of some 200 characters."""
    source = CONDITIONS[-1].source
    source = source[: source.index(" && ", 200)]  # 209 of them, to the end of a term
    return medians({"compile": lambda: cel.compile(source, variables=VARIABLES)}, budget)["compile"]


def geometric_mean(values: list[float]) -> float:
    return math.exp(statistics.fmean(map(math.log, values)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--budget", type=float, default=0.25, help="seconds for each cell")
    options = parser.parse_args()
    table = measured(options.budget)
    others = [name for name in COMPETITORS if name != "extauthz"]
    print(f"{'median, µs':16}" + "".join(f"{name:>14}" for name in COMPETITORS))
    for name, row in table.items():
        print(f"{name:16}" + "".join(f"{row[other] * 1e6:14.2f}" for other in COMPETITORS))
    figures = {
        "hand-written": geometric_mean([row["extauthz"] / row["hand-written"] for row in table.values()]),
        "cel-python": geometric_mean([row["cel-python"] / row["extauthz"] for row in table.values()]),
        "rust binding": geometric_mean([row["rust binding"] / row["extauthz"] for row in table.values()]),
        "compile, ms": compile_seconds(options.budget) * 1e3,
    }
    print("\nratios            " + "".join(f"{name:>14}" for name in others))
    for name, row in table.items():
        ratios = [row["extauthz"] / row["hand-written"], *(row[other] / row["extauthz"] for other in others[1:])]
        print(f"{name:18}" + "".join(f"{ratio:14.1f}" for ratio in ratios))
    missed = []
    print("\ngeometric means, and the targets")
    for name, (bound, target) in TARGETS.items():
        met = figures[name] <= target if bound == "at most" else figures[name] >= target
        if not met:
            missed.append(name)
        print(f"{name:14}{figures[name]:10.2f}   {bound} {target:g}{'' if met else '   MISSED'}")
    if options.json:
        result = {"unit": "s", "medians": table, "figures": figures, "missed": missed}
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if options.check and missed:
        print("missed: " + ", ".join(missed), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
