"""Ten conditions over one request, from small to large: as CEL, and in Python as its author would write it by hand.

A library that lacks a function is lent it in Python, or has a form of the condition that it knows.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from extauthz import cel


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
_NETWORKS = {"10.0.0.0/8": TENS, "192.168.0.0/16": NINETY_TWO}
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
    """Lent to libraries without networks."""
    return ipaddress.ip_address(address) in _NETWORKS[network]


def hours(moment: datetime, zone: str) -> int:
    """Lent to libraries whose `getHours` takes no zone."""
    return moment.astimezone(ZoneInfo(zone)).hour
