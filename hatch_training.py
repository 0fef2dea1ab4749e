"""Decides what servers are usually asked, so that a compiler learns which ways through the compiled modules are usual.

    python hatch_training.py

`hatch_build.py` runs it on what it has compiled, to count how often each step is taken
(docs/adr/024-the-hot-path-is-compiled.md). Checks come by both transports, and each decision becomes a line of the
audit and a span. No port is opened, and nothing depends on a clock or on chance, so that the same is counted each time.
An answer that is not the expected one ends it: something else would be made quick.
"""

import asyncio
import json
import tempfile
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.check.checker import Checker
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.check.surroundings import Ruling, Surroundings
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.resolver import Resolver
from extauthz.policy.load import load_text
from extauthz.record.audit_file import AuditFile
from extauthz.record.bounded_queue import BoundedQueue
from extauthz.record.decision import DecisionRecord
from extauthz.record.keeping import Keeper, Record, Recorder
from extauthz.record.masking import Keep
from extauthz.record.otel_sdk import limits
from extauthz.record.outlet import Batching, Outlet, Taken
from extauthz.record.sampling import Sampling
from extauthz.record.span_forms import OtlpForm
from extauthz.record.spans import Spans
from extauthz.record.tallies import Tallies
from extauthz.record.trace_context import Propagation
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys
from extauthz.store.memory import MemoryStore
from extauthz.transport.admission import Pace
from extauthz.transport.asgi import AsgiTransport
from extauthz.transport.framing import framed
from extauthz.transport.grpc_calls import CallerWaits, OneMessage
from extauthz.transport.grpcio import AuthorizationServicer
from extauthz.transport.methods import ARRIVED, CHECK
from extauthz.wire.compose import check_request

NOW: Final = 1_790_000_000
"""Seconds since the epoch. It stays so."""
LATER: Final = 4_102_444_800_000_000
"""Microseconds since the epoch: when calls come, by the clock of whoever sends them. So none is late, ever."""
ROUNDS: Final = 150
"""More of them change nothing of what comes out."""
CONNECTIONS: Final = 8
TOGETHER: Final = 32
"""Records that are kept in one go."""
HOST: Final = "payments.example.com"
WORKLOAD: Final = "spiffe://prod.example.org/ns/shop/sa/web"
HASH: Final = "468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688"
ISSUER: Final = "https://idp.example.com"
POLICY: Final = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: payments}
spec:
  hosts: [payments.example.com]
  variables: {amount: double(request.query.amount)}
  rules:
    - name: services
      methods: [GET, POST]
      paths: ["/v1/accounts/{account}"]
      workloads: ["spiffe://prod.example.org/ns/shop/sa/*"]
      when: request.headers["x-tenant"] == "t1"
      effect: allow
    - name: frozen
      paths: ["/v1/accounts/{account}"]
      when: request.params.account in ["frozen", "closed"]
      effect: deny
    - name: users
      paths: ["/v1/users/{user}/**"]
      when: has(user.sub) && user.claims.tenant == "t1" && variables.amount < 1000.0
      effect: allow
      allow: {headers: {x-authz-subject: user.sub}}
    - {name: public, paths: ["/public/**"], effect: allow}
    - {name: admin, paths: ["/admin/**"], effect: deny}
"""
HEADERS: Final[Mapping[str, str]] = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36",
    "accept": "application/json, text/plain;q=0.9, */*;q=0.8",
    "accept-language": "en-GB,en;q=0.9,de;q=0.7",
    "accept-encoding": "gzip, deflate, br",
    "x-forwarded-proto": "https",
    "x-forwarded-for": "203.0.113.9",
    "x-tenant": "t1",
    "referer": "https://payments.example.com/accounts",
    "cookie": "theme=dark; consent=all",
}
FORMS: Final[Sequence[Mapping[str, str]]] = (
    {},
    {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "accept": "text/html,application/xhtml+xml,*/*;q=0.8"},
    {"content-type": "application/grpc"},
)
"""What tells in which form a denial is: to a program, a browser and a caller of gRPC."""

Case = tuple[bytes, bool]
"""A Check, and whether it is allowed."""


def by_xfcc(place: int) -> dict[str, str]:
    """How a proxy names a workload, another one at each place."""
    return {"x-forwarded-client-cert": f"Hash={HASH};URI={WORKLOAD}-{place}"}


class Cases:
    """The Checks of one round after the other."""

    def __init__(self) -> None:
        key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        jwk = {**OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k1", "alg": "EdDSA", "use": "sig"}
        self.jwks = json.dumps({"keys": [jwk]})
        self._key = key
        self._number = 0

    def of_round(self, number: int) -> Iterator[Case]:
        """Mostly what is allowed, of callers that were there before; and some of all else, in one form a round."""
        for place in range(CONNECTIONS):
            yield self._check(f"/v1/accounts/a{number}?amount=5", place, by_xfcc(place)), True
            yield self._check(f"/v1/users/u{place}/a{number}?amount={number}", place + 100, self._bearer(place)), True
        form, place = FORMS[number % len(FORMS)], number % CONNECTIONS
        known = {**by_xfcc(place), **form}
        yield self._check(f"/admin/a{number}", place, known), False
        yield self._check(f"/nowhere/a{number}", place, known), False
        yield self._check("/v1/accounts/frozen", place, known), False
        yield self._check(f"/nowhere/a{number}", place + 200, form), False
        yield self._check(f"/v1/%zz/a{number}", place, known), False
        yield self._check("/public/page", place + 200, form), True
        # A connection that is new, and a caller that is.
        yield self._check("/v1/accounts/a1", number + 1_000, by_xfcc(place)), True
        yield self._check("/v1/accounts/a1", number + 2_000, by_xfcc(number + 1_000)), True

    def _bearer(self, place: int) -> dict[str, str]:
        claims = {"iss": ISSUER, "aud": "shop", "sub": f"alice-{place}", "iat": NOW, "exp": NOW + 3600, "tenant": "t1"}
        return {"authorization": f"Bearer {jwt.encode(claims, self._key, 'EdDSA', {'kid': 'k1'})}"}

    def _check(self, path: str, connection: int, headers: Mapping[str, str]) -> bytes:
        self._number += 1
        trace = f"{self._number:032x}"
        return check_request(
            id=str(9_713_526_382_617_712_390 + self._number),
            method="GET",
            host=HOST,
            path=path,
            headers={**HEADERS, "x-request-id": trace, "traceparent": f"00-{trace}-b7ad6b7169203331-01", **headers},
            source_ip=f"10.1.{connection >> 8}.{connection & 255}",
            source_port=40_000 + connection,
            context={"route": "service"},
            raw_headers=True,
            time=(NOW, 123_456_789),
        )


class InTurn(Recorder):
    """Keeps records on the one thread that there is."""

    def __init__(self, keepers: Sequence[Keeper]) -> None:
        self._keepers = keepers
        self._queue: BoundedQueue[Record] = BoundedQueue(room=2 * TOGETHER, room_bytes=1 << 30, batch=TOGETHER)

    @property
    def blocks(self) -> bool:
        """Never."""
        return False

    @property
    def blocked(self) -> bool:
        """Never."""
        return False

    def record(self, record: Record) -> None:
        """Take one record."""
        self._queue.put(record, record.size)
        if self._queue.is_half_full:
            batch = self._queue.take()
            for keeper in self._keepers:
                keeper.keep(batch)

    def commit(self, record: DecisionRecord) -> Future[None]:
        """No rule here asks for it."""
        raise NotImplementedError


class LetGo:
    """Takes spans that nobody reads."""

    def carry(self, parcels: Sequence[bytes], seconds: float) -> Taken:  # noqa: ARG002 - what a carrier is given
        """Take them."""
        return Taken()

    def close(self) -> None:
        """Nothing is open."""


def spans() -> Spans:
    """Makes spans as they are sent."""
    outlet = Outlet(LetGo(), Batching(queue=4_096, most=512, delay=60.0, patience=1.0, size=1 << 24), name="nobody")
    return Spans(
        [OtlpForm(outlet, limits(), most=512)],
        propagation=Propagation(),
        sampling=Sampling({}),
        generator=RandomIdGenerator(),
        counts=lambda: outlet.counts,
        close=outlet.close,
    )


class Context:
    """What gRPC tells of a call by `grpcio`."""

    def time_remaining(self) -> float:
        """Seconds, as many as Envoy waits by default."""
        return 0.2

    def invocation_metadata(self) -> Sequence[tuple[str, str | bytes]]:
        """The headers of the call, as Envoy sends them."""
        return ("user-agent", "grpc-c++"), ("x-envoy-internal", "true"), ("traceparent", f"00-{1:032x}-{1:016x}-01")

    def cancel(self) -> None:
        """Nobody has to wait."""


class ByGrpcio:
    """Calls as they come by `grpcio`, from the thread that has their turn on."""

    def __init__(self, checker: Checker, loop: asyncio.AbstractEventLoop) -> None:
        waits = CallerWaits(begun=lambda: None, came_late=lambda _: None)
        self._call = OneMessage(CHECK, AuthorizationServicer(checker, loop).Check, waits).call
        self._pace = Pace()

    def answer(self, check: bytes) -> bytes:
        """The answer to one."""
        self._pace = self._pace.after(0.0001, 0)
        assert self._pace.admits(0)
        answer = self._call(iter([check]), Context())  # type: ignore[arg-type]  # it has what is asked for
        assert isinstance(answer, bytes)
        return answer


class Nowhere:
    """What listens for `pyvoy`, and hears of no calls."""

    async def open(self) -> str:
        """Where."""
        return ""

    async def close(self) -> None:
        """Nothing is open."""


class ByPyvoy:
    """Calls as they come by `pyvoy`, which are events of ASGI."""

    def __init__(self, checker: Checker) -> None:
        self._transport = AsgiTransport(checker, Nowhere())

    async def answer(self, check: bytes) -> bytes:
        """The answer to one."""
        body = framed(check)
        heard: list[MutableMapping[str, Any]] = []

        def receive() -> asyncio.Future[MutableMapping[str, Any]]:
            event = asyncio.get_running_loop().create_future()
            event.set_result({"type": "http.request", "body": body, "more_body": False})
            return event

        async def send(event: MutableMapping[str, Any]) -> None:
            heard.append(event)

        headers = [
            (b"content-type", b"application/grpc"),
            (b"grpc-timeout", b"10S"),
            (b"user-agent", b"grpc-c++"),
            (b"x-envoy-internal", b"true"),
            (ARRIVED.encode(), b"%d" % LATER),
        ]
        await self._transport({"type": "http", "raw_path": CHECK.encode(), "headers": headers}, receive, send)
        answer: bytes = heard[1]["body"][len(framed(b"")) :]
        return answer


def checker(jwks: str, keepers: Sequence[Keeper], revocations: RevocationFeed) -> Checker:
    """Decides by `POLICY`, and counts and records what it decides."""
    workload = {
        "trust_domains": ["prod.example.org"],
        "sources": ["xfcc"],
        "xfcc": {"accept": "last", "without_principal": True},
    }
    users = [{"name": "idp", "issuer": ISSUER, "audiences": ["shop"], "algorithms": ["EdDSA"], "jwks": "-"}]
    identity = IdentitySettings.model_validate({"workload": workload, "users": users})
    return Checker(
        Ruling(policies=load_text(POLICY), resolver=Resolver(identity, ClientSettings(), {"idp": jwks})),
        Surroundings(
            clock=lambda: NOW * 1_000_000_000,
            monotonic=lambda: 0.0,
            entropy=bytes,
            store=MemoryStore(),
            keys=parse_keys(generate_key(bytes(range(SECRET_BYTES)), created=NOW)),
            tallies=Tallies(Propagation().parent),
            recorder=InTurn(keepers),
            revocations=revocations,
        ),
    )


async def train(folder: Path) -> None:
    """Have all rounds decided, half of them by each transport; the audit is written to the folder."""
    cases = Cases()
    keepers = (AuditFile(folder / "audit.jsonl", Keep()), spans())
    revocations = RevocationFeed(MemoryStore(), max_staleness=float("inf"))
    await revocations.load()
    deciding = checker(cases.jwks, keepers, revocations)
    by_grpcio, by_pyvoy = ByGrpcio(deciding, asyncio.get_running_loop()), ByPyvoy(deciding)
    for number in range(ROUNDS):
        for check, allowed in cases.of_round(number):
            answer = by_grpcio.answer(check) if number % 2 else await by_pyvoy.answer(check)
            said = CheckResponse.FromString(answer)
            assert (said.status.code == 0) == allowed, said
    for keeper in keepers:
        keeper.close()
    counts = keepers[0].count(), keepers[1].counts
    assert (counts[0].lost, counts[1].dropped) == (0, 0), counts


def main() -> None:
    """Train."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(train(Path(folder)))


if __name__ == "__main__":
    main()
