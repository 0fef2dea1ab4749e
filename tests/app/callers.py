"""Who asks servers that share a store: an Envoy that has all of them behind it, and browsers that go through it.

The rule: what was not decided, because a server was killed, busy or cut off from its store, is asked again of the next
one, as an Envoy with a retry policy does: as the same Check. So every answer that a test counts is a decision.
"""

import asyncio
import itertools
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs, urlencode, urlsplit

import grpc
from app.replicas import Site
from checking import told
from listening import close

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.stepup.challenge import CHALLENGE_PATH
from extauthz.stepup.cookies import COOKIE_SECRET_BYTES, make_secret
from extauthz.transport.methods import SERVICE
from extauthz.values.identity import HOLDER_COOKIE
from extauthz.wire.compose import check_request

HOST = "payments.example.com"
CHECKS, FORMS = 48, 16
"""How many are on their way at the same time; each server lets as many Checks wait for its store."""
_UNDECIDED = frozenset({"overloaded", "state-unavailable", "revocations-stale", "locked-out"})
_BUSY = frozenset({429, 503})  # locked out, and out of reach of the store
_PATIENCE = 10.0
_PAUSE = 0.02
_NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-site": "none", "accept": "text/html"}
_numbers = itertools.count(1)


def new_request(path: str, *, address: str = "203.0.113.9", **headers: str) -> bytes:
    """A request to `path` that no other is the same as."""
    number = next(_numbers)
    return check_request(
        host=HOST,
        path=path,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=b"",
        source_ip=address,
        source_port=1024 + number % 50_000,
        time=(int(time.time()), number),
        id=f"r-{number}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the challenge page has said: a status, and the cookies that it sets."""

    status: int
    cookies: Mapping[str, str]


class Gateway:
    """Asks the servers of `site` in turns. `decided` counts the Checks that each has decided, by its address, `put_off`
    those that were denied for now and asked again."""

    def __init__(self, site: Site) -> None:
        self.decided: Counter[str] = Counter()
        self.put_off = 0
        self._turns = itertools.cycle(site.replicas)
        self._checks, self._forms = asyncio.Semaphore(CHECKS), asyncio.Semaphore(FORMS)
        self._open = AsyncExitStack()
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def check(self, request: bytes) -> CheckResponse:
        """How this request is decided."""
        while True:
            async with self._checks:
                address = next(self._turns).said["grpc"]
                response = await self.ask(address, request)
            if response is not None and told(response)["reason"] not in _UNDECIDED:
                self.decided[address] += 1
                return response
            self.put_off += response is not None
            await asyncio.sleep(_PAUSE)

    async def reason(self, request: bytes) -> str:
        """Why it is decided so."""
        return told(await self.check(request))["reason"]

    async def ask(self, address: str, request: bytes) -> CheckResponse | None:
        """What the server at this address says to a Check; `None` if it is gone."""
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = grpc.aio.insecure_channel(address)
            self._open.push_async_callback(channel.close)
        check: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Check")
        try:
            answer = await check(request, timeout=_PATIENCE)
        except grpc.aio.AioRpcError:
            return None
        return CheckResponse.FromString(answer)

    async def post(self, form: Mapping[str, str], cookies: Mapping[str, str]) -> Page:
        """What the challenge page says to this form."""
        body = urlencode(form)
        head = (
            f"POST {CHALLENGE_PATH} HTTP/1.1",
            f"host: {HOST}",
            "sec-fetch-site: same-origin",
            "content-type: application/x-www-form-urlencoded",
            f"content-length: {len(body)}",
            f"cookie: {_field(cookies)}",
            "connection: close",
        )
        request = "\r\n".join((*head, "", body)).encode()
        while True:
            async with self._forms:
                page = await _exchange(next(self._turns).said["web"], request)
            if page is not None and page.status not in _BUSY:
                return page
            await asyncio.sleep(_PAUSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """One that somebody is logged in with, and the cookies that it has."""

    gateway: Gateway
    cookies: dict[str, str]

    @classmethod
    def of(cls, sub: str, gateway: Gateway, site: Site) -> Self:
        """One that `sub` has proven something with before: it holds something already."""
        holder = make_secret(os.urandom(COOKIE_SECRET_BYTES))
        return cls(gateway=gateway, cookies={"session": site.token(sub), HOLDER_COOKIE: holder})

    def request(self, path: str) -> bytes:
        """A navigation; each is another request."""
        return new_request(path, **_NAVIGATION, cookie=_field(self.cookies))

    async def challenged(self, path: str) -> str:
        """The ticket of the challenge that `path` asks for."""
        denied = (await self.gateway.check(self.request(path))).denied_response
        headers = [(one.header.key.lower(), one.header.value) for one in denied.headers]
        self.cookies.update(_set(value for name, value in headers if name == "set-cookie"))
        location = next(value for name, value in headers if name == "location")
        return parse_qs(urlsplit(location).query)["ticket"][0]

    async def prove(self, ticket: str, factor: str, code: str) -> int:
        """The status of the page's answer to this code."""
        page = await self.gateway.post({"ticket": ticket, "factor": factor, "code": code}, self.cookies)
        self.cookies.update(page.cookies)
        return page.status


def _field(cookies: Mapping[str, str]) -> str:
    """The `Cookie` field."""
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def _set(fields: Iterable[str]) -> dict[str, str]:
    """The cookies that these `Set-Cookie` fields set."""
    pairs = (field.partition(";")[0].partition("=") for field in fields)
    return {name: value for name, _, value in pairs}


async def _exchange(address: str, request: bytes) -> Page | None:
    """The page at `address`; `None` if who was to answer is gone."""
    try:
        reader, writer = await asyncio.open_connection(*address.rsplit(":", 1))
    except OSError:
        return None
    try:
        writer.write(request)
        answer = await reader.read()
    except OSError:
        return None
    finally:
        await close(writer)
    head, ended, _ = answer.decode().partition("\r\n\r\n")
    if not ended:
        return None
    status, *lines = head.split("\r\n")
    headers = [line.partition(": ") for line in lines]
    cookies = _set(value for name, _, value in headers if name == "set-cookie")
    return Page(status=int(status.split(" ")[1]), cookies=cookies)
