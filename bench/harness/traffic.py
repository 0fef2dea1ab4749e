"""What is asked, and by which rules it is decided: one workload, known by its X-Forwarded-Client-Cert, and 50 rules."""

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final

from extauthz.wire.compose import check_request

HOST: Final = "payments.example.com"
PATH: Final = "/v1/accounts7/a1?amount=5"
WORKLOAD: Final = "spiffe://prod.example.org/ns/shop/sa/web"
ROUTES: Final = 20
WORKLOADS: Final = 5_000
"""That take turns where Checks vary."""
CALLERS_TIMEOUT: Final = 10.0
"""Seconds: above anything that is measured, so that every call is one with a deadline, as Envoy's are."""
XFCC: Final = f"Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;URI={WORKLOAD}"
HEADERS: Final[Mapping[str, str]] = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36",
    "accept": "application/json, text/plain;q=0.9, */*;q=0.8",
    "accept-language": "en-GB,en;q=0.9,de;q=0.7",
    "accept-encoding": "gzip, deflate, br",
    "x-forwarded-proto": "https",
    "x-forwarded-for": "203.0.113.9",
    "x-forwarded-client-cert": XFCC,
    "x-request-id": "0c7c9d1e-6f2b-4a55-9c3e-2f6f5d7f6c11",
    "x-tenant": "t1",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "referer": "https://payments.example.com/accounts",
    "sec-fetch-dest": "empty",
    "sec-fetch-mode": "cors",
    "sec-fetch-site": "same-origin",
    "priority": "u=1, i",
    "x-client": "web-7",
    "cookie": "theme=dark; consent=all",
}
CONFIG: Final = """
listen: {{grpc: "{grpc}", web: "127.0.0.1:0", admin: "{admin}"}}
policies: [policies/]
reload: {{watch: false}}
store: "{store}"
identity:
  workload: {{trust_domains: [prod.example.org], sources: [xfcc], xfcc: {{accept: last, without_principal: true}}}}
"""
AUDIT_FILE: Final = "audit.jsonl"
AUDIT: Final = f"audit: {{path: {AUDIT_FILE}}}\n"


def request() -> bytes:
    """The Check: some 1,071 bytes, as the shipped gateway sends them."""
    return check_request(
        id="9713526382617712390",
        method="GET",
        host=HOST,
        path=PATH,
        headers=HEADERS,
        source_ip="10.1.2.3",
        source_port=41_812,
        context={"route": "service"},
        raw_headers=True,
        time=(1_790_000_000, 123_456_789),
    )


def varied(number: int, *, connections: int | None = None) -> bytes:
    """The Check with this number: another account and trace in each, on all routes, of many workloads. Each is of
    another connection, or of one of so many, one of a workload each."""
    trace = blake2b(number.to_bytes(8), digest_size=16).hexdigest()  # samplers look at parts of it
    place = number if connections is None else number % connections
    workload = f"{WORKLOAD}-{place % WORKLOADS}"
    return check_request(
        id=str(number),
        method="GET",
        host=HOST,
        path=f"/v1/accounts{number % ROUTES}/a{number}?amount={number % 97}",
        headers={
            **HEADERS,
            "x-forwarded-client-cert": XFCC.replace(WORKLOAD, workload),
            "x-request-id": trace,
            "traceparent": f"00-{trace}-b7ad6b7169203331-01",
            "x-tenant": "t1" if number % 10 else "t2",
        },
        source_ip=f"10.{place >> 16 & 255}.{place >> 8 & 255}.{place & 255}",
        source_port=1024 + place % 60_000,
        context={"route": "service"},
        raw_headers=True,
        time=(1_790_000_000 + number, 123_456_789),
    )


def policy(rules: int) -> str:
    """A policy with so many rules on `ROUTES` routes: allows for one workload, and guards; the request is allowed."""
    lines = [
        "apiVersion: extauthz/v1",
        "kind: Policy",
        "metadata: {name: payments}",
        "spec:",
        f"  hosts: [{HOST}]",
        "  rules:",
    ]
    for number in range(rules):
        turn, route = divmod(number, ROUTES)
        start = f'    - {{name: r{number}, paths: ["/v1/accounts{route}/{{account}}"]'
        if turn % 2:
            lines.append(f"""{start}, when: 'request.params.account in ["b{turn}", "c{turn}"]', effect: deny}}""")
        else:
            lines.append(
                f'{start}, methods: [GET, POST], workloads: ["spiffe://prod.example.org/ns/shop/sa/*"],'
                f""" when: 'request.headers["x-tenant"] == "t{turn + 1}"', effect: allow}}"""
            )
    return "\n".join(lines) + "\n"


def write_site(
    folder: Path,
    *,
    grpc: str,
    admin: str = "127.0.0.1:0",
    rules: int = 50,
    store: str = "memory:",
    audit: bool = False,
) -> Path:
    """The files of a server that listens on `grpc`, and writes `audit.jsonl` beside them if it is to; the path of its
    configuration."""
    (folder / "policies").mkdir(parents=True)
    (folder / "policies" / "payments.yaml").write_text(policy(rules))
    config = folder / "extauthz.yaml"
    config.write_text(CONFIG.format(grpc=grpc, admin=admin, store=store) + (AUDIT if audit else ""))
    return config
