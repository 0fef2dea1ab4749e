"""Who calls: every kind of request that the policy of the site tells apart, each with what must become of it.

The rule: what is right is said here, beside the request, in words of the policy; extauthz is not asked about it.
"""

import asyncio
import contextlib
import itertools
import json
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import grpc
import httpx

from bench.noop import CHECK
from bench.soaking.site import HOLD, USERS, WORKERS, Site, signed
from bench.soaking.verdict import ALLOWED, Asked, Verdict
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.cli.quickstart.tokens import TokenIssuer
from extauthz.stepup.totp import code_at, step_at
from extauthz.wire.compose import check_request, tcp_check_request

HOST: Final = "soak.example.com"
DIRECT, FRONT, HELD, CODES = 4, 4, 6, 3
"""How many ask at a time: Checks over gRPC, requests through Envoy, those of them that wait for an approval, and those
with a code."""
PAUSE: Final = 0.05
REFUSED: Final = 2
"""Codes of somebody that may be refused: after some more they are locked out, as they should be."""
SHOP: Final = "spiffe://prod.example.org/ns/shop/sa/web"
OTHER: Final = "spiffe://prod.example.org/ns/other/sa/job"
_PATIENCE: Final = 20.0
_OPTIONS: Final = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]


Kind = Callable[[], Awaitable[None]]
Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"


@dataclass
class Load:
    """All callers of a site."""

    site: Site
    verdict: Verdict
    stranger: TokenIssuer = field(default_factory=TokenIssuer.create)
    blocked: str | None = None
    over: bool = False
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    _tokens: dict[str, tuple[TokenIssuer, float, str]] = field(default_factory=dict)
    _steps: dict[str, int] = field(default_factory=dict)
    _voted: dict[int, float] = field(default_factory=dict)
    _refused: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Ask until it is `over`."""
        channels = [
            grpc.aio.insecure_channel(f"unix:{self.site.socket('grpc', worker)}", options=_OPTIONS)
            for worker in range(WORKERS)
        ]
        calls: list[Call] = [channel.unary_unary(CHECK) for channel in channels]
        self._calls: Iterator[Call] = itertools.cycle(calls)
        async with httpx.AsyncClient(
            base_url=f"http://{self.site.front}", headers={"host": HOST}, timeout=_PATIENCE, trust_env=False
        ) as self._front:
            direct: list[Kind] = [self._mesh, self._other_workload, self._tcp, self._tcp_other, self._malformed]
            direct += [self._bytes, self._generation, self._last_generation, self._certificate_words]
            front: list[Kind] = [self._open, self._people, self._nobody, self._frozen, self._expired, self._forged]
            front += [self._challenged, self._small, self._large, self._truncated, self._blocked]
            await asyncio.gather(
                *(self._go_on(direct) for _ in range(DIRECT)),
                *(self._go_on(front) for _ in range(FRONT)),
                *(self._go_on([self._held]) for _ in range(HELD)),
                *(self._go_on([self._code]) for _ in range(CODES)),
                self._approve(),
            )
        for channel in channels:
            await channel.close(None)

    async def _go_on(self, kinds: Sequence[Kind]) -> None:
        while not self.over:
            await random.choice(kinds)()
            await asyncio.sleep(PAUSE)

    # Checks over gRPC

    async def _mesh(self) -> None:
        await self._check("workload", self._request("/mesh", xfcc=f"Hash={'4' * 64};URI={SHOP}"), ALLOWED)

    async def _other_workload(self) -> None:
        await self._check("other workload", self._request("/mesh", xfcc=f"URI={OTHER}"), "no-rule-allows")

    async def _certificate_words(self) -> None:
        """A subject that a client has chosen so that it looks like one more field."""
        await self._check(
            "words in a certificate",
            self._request("/mesh", xfcc=f'Subject="CN=x,URI={SHOP}";URI={OTHER}'),
            "no-rule-allows",
        )

    async def _tcp(self) -> None:
        await self._check("TCP", tcp_check_request(source_ip="203.0.113.9", principal=SHOP), ALLOWED)

    async def _tcp_other(self) -> None:
        await self._check("other TCP", tcp_check_request(source_ip="203.0.113.9", principal=OTHER), "no-rule-allows")

    async def _malformed(self) -> None:
        path = random.choice(("/open//x", "/open/%2e%2e/x", "/open;a", "/a%2fb", "/%zz", "open"))
        await self._check("malformed", self._request(path), "malformed-path")

    async def _bytes(self) -> None:
        # 15 is a field 1 of a wire type that there is not.
        await self._check("no Check at all", b"\x0f" + random.randbytes(40), "malformed-check")

    async def _generation(self) -> None:
        await self._check("policy in force", self._request(f"/gen/{self.site.generation}"), ALLOWED)

    async def _last_generation(self) -> None:
        await self._check("policy of before", self._request(f"/gen/{self.site.generation - 1}"), "no-rule-allows")

    def _request(self, path: str, *, xfcc: str | None = None) -> bytes:
        number = next(self._numbers)
        headers = {} if xfcc is None else {"x-forwarded-client-cert": xfcc}
        return check_request(
            host=HOST,
            path=path,
            headers=headers,
            body=b"",
            source_ip=f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
            source_port=1024 + number % 60_000,
            time=(int(time.time()), number),
            id=f"r-{number}",
        )

    async def _check(self, kind: str, request: bytes, *right: str) -> None:
        began = time.monotonic()
        try:
            answer = await next(self._calls)(request, timeout=_PATIENCE)
        except grpc.aio.AioRpcError as error:
            reason = f"grpc-{error.code().name.lower()}"
        else:
            told = CheckResponse.FromString(answer)
            reason = told.dynamic_metadata.fields["extauthz"].struct_value.fields["reason"].string_value
            if (told.status.code == 0) != (reason == ALLOWED):
                reason = f"status {told.status.code} with {reason}"
        self._take(kind, began, reason, *right)

    # Requests through Envoy

    async def _open(self) -> None:
        await self.ask("open", "/open", {}, ALLOWED)

    async def _people(self) -> None:
        await self.ask("people", "/people", self._bearer(self._somebody()), ALLOWED)

    async def _nobody(self) -> None:
        await self.ask("nobody", "/people", {}, "no-rule-allows")

    async def _frozen(self) -> None:
        await self.ask("frozen", "/frozen", self._bearer(self._somebody()), "account-frozen")

    async def _expired(self) -> None:
        token = self.site.token(self._somebody(), lifetime=-300)
        await self.ask("expired token", "/people", {"authorization": f"Bearer {token}"}, "invalid-token")

    async def _forged(self) -> None:
        forged = signed(self.stranger, self._somebody(), {}, lifetime=600)
        await self.ask("forged token", "/people", {"authorization": f"Bearer {forged}"}, "invalid-token")

    async def _challenged(self) -> None:
        path = f"/once/{next(self._numbers)}"
        await self.ask("challenge", path, self._bearer(self._somebody()), "proof-required")

    async def _small(self) -> None:
        await self.ask("small body", "/json", {}, ALLOWED, body={"amount": random.randrange(1000)})

    async def _large(self) -> None:
        await self.ask("large amount", "/json", {}, "no-rule-allows", body={"amount": random.randrange(1001, 9999)})

    async def _truncated(self) -> None:
        """Its end is more than Envoy tells."""
        body = {"amount": 1, "note": "x" * random.choice((9_000, 60_000))}
        await self.ask("big body", "/json", {}, "no-rule-allows", body=body)

    async def _blocked(self) -> None:
        sub = self.blocked
        right = (ALLOWED,) if sub is None else ("subject-blocked",)
        await self.ask("somebody who is blocked now and then", "/people", self._bearer("mallory"), *right)

    async def _code(self) -> None:
        """A code of an app is good once, whatever it is used for."""
        sub, step = self._somebody(), step_at(time.time())
        if self._steps.get(sub, -1) >= step or self._refused[sub] >= REFUSED:
            await asyncio.sleep(PAUSE)
            return
        self._steps[sub] = step
        headers = {**self._bearer(sub), "x-extauthz-otp": code_at(self.site.secrets[sub], step)}
        told = await self.ask("code", f"/once/{next(self._numbers)}", headers, ALLOWED)
        if told == ALLOWED and random.random() < 0.1:
            told = await self.ask("code again", f"/once/{next(self._numbers)}", headers, "code-used")
        if told != ALLOWED:
            self._refused[sub] += 1

    async def _held(self) -> None:
        """A third of them is approved, a third denied, and a third waits in vain."""
        number, sub = next(self._numbers), self._somebody()
        kind, right = _ANSWERS[number % 3]
        began = time.monotonic()
        reason = await self._sent(f"/held/pay/{number}", self._bearer(sub))
        # Our approver may be too late for the call: on a busy machine, or while somebody else is away.
        voted = self._voted.pop(number, math.inf)
        late = ("approval-required",) if voted > began + HOLD - 1 else ()
        self._take(f"held, {kind}", began, reason, right, *late)

    async def ask(
        self, kind: str, path: str, headers: Mapping[str, str], *right: str, body: object | None = None
    ) -> str:
        began = time.monotonic()
        reason = await self._sent(path, headers, body)
        self._take(kind, began, reason, *right)
        return reason

    async def _sent(self, path: str, headers: Mapping[str, str], body: object | None = None) -> str:
        try:
            if body is None:
                answer = await self._front.get(path, headers=headers)
            else:
                answer = await self._front.post(path, headers=headers, json=body)
        except httpx.HTTPError as error:
            return f"http-{type(error).__name__}"
        return ALLOWED if answer.status_code == 200 else _reason(answer)

    def _take(self, kind: str, began: float, reason: str, *right: str) -> None:
        self.verdict.take(Asked(kind=kind, began=began, ended=time.monotonic(), reason=reason, right=frozenset(right)))

    # People

    def _somebody(self) -> str:
        return f"user-{random.randrange(USERS)}"

    def _bearer(self, sub: str) -> Mapping[str, str]:
        issuer, until, token = self._tokens.get(sub, (None, 0.0, ""))
        if issuer is not self.site.issuer or time.monotonic() > until:
            token = self.site.token(sub)
            self._tokens[sub] = (self.site.issuer, time.monotonic() + 60, token)
        return {"authorization": f"Bearer {token}"}

    async def _approve(self) -> None:
        """Somebody of the treasury, who looks at one worker after the other."""
        answered: set[str] = set()
        async with contextlib.AsyncExitStack() as stack:
            doors = []
            for worker in range(WORKERS):
                transport = httpx.AsyncHTTPTransport(uds=str(self.site.socket("approvals", worker)))
                door = httpx.AsyncClient(transport=transport, base_url="http://approvals", timeout=5)
                doors.append(await stack.enter_async_context(door))
            for door in itertools.cycle(doors):
                if self.over:
                    return
                await asyncio.sleep(0.2)
                with contextlib.suppress(httpx.HTTPError):
                    await self._look(door, answered)

    async def _look(self, door: httpx.AsyncClient, answered: set[str]) -> None:
        token = signed(self.site.approvers, "anna", {"aud": "approvals", "groups": ["treasury"]}, lifetime=600)
        door.headers["authorization"] = f"Bearer {token}"
        listed = await door.get("/v1/approvals", params={"status": "pending", "limit": 100})
        for one in listed.json().get("approvals", ()):
            if one["id"] not in answered and await self._vote(door, one):
                answered.add(one["id"])

    async def _vote(self, door: httpx.AsyncClient, approval: Mapping[str, object]) -> bool:
        said = json.dumps(approval).partition("/held/pay/")[2].partition('"')[0]
        if not said.isdigit() or int(said) % 3 == 2:
            return True
        number = int(said)
        verb = ("approve", "deny")[number % 3]
        voted = await door.post(f"/v1/approvals/{approval['id']}/{verb}", json={"reason": "seen"})
        if voted.status_code == 200:
            self._voted[number] = time.monotonic()
        return voted.status_code != 503


_ANSWERS: Final = (("approved", ALLOWED), ("denied", "approval-denied"), ("in vain", "approval-required"))


def _reason(answer: httpx.Response) -> str:
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        return str(answer.json()["reason"])
    return f"envoy-{answer.status_code}"
