"""A receiver of security event tokens, asked over HTTP as transmitters do, without a socket."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
from signals.transmitting import ISSUER, NOW, SECRET, claims, keys_of, signed, transmitter
from starlette.applications import Starlette

from extauthz.check.reception import Reception
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import Answer, Done, Lookup, Unreachable
from extauthz.identity.signals.facts import Signal
from extauthz.store.protocol import Store
from extauthz.values.identity import Subject
from extauthz.web.signals import signal_routes

_T = TypeVar("_T")

ALICE = Subject(ISSUER, "alice")
PUSH = "/.extauthz/signals/idp"
BEARER = {"authorization": f"Bearer {SECRET}", "content-type": "application/secevent+jwt"}


@dataclass
class Keyring:
    """The keys of the transmitter; `published` are those that are found when they are asked for."""

    known: KeySet | None
    published: KeySet | None = None
    asked: int = 0

    def of(self, _: str) -> KeySet | None:
        return self.known

    async def ask(self, _: Lookup) -> Answer:
        self.asked += 1
        if self.published is None:
            return Unreachable(detail="nobody is there")
        self.known = self.published
        return Done()


@dataclass
class Receiver:
    """The receiver, its store, and its clock, which a test sets."""

    client: httpx.AsyncClient
    reception: Reception
    store: Store
    feed: RevocationFeed
    now: list[float]

    async def push(self, text: str, path: str = PUSH, **headers: str) -> httpx.Response:
        return await self.client.post(path, content=text, headers={**BEARER, **headers})

    async def pushed(self, events: dict[str, Any], sub_id: Any = None, **changed: Any) -> httpx.Response:
        return await self.push(signed(claims(events, sub_id, now=self.now[0], **changed)))

    async def account(self) -> str | None:
        return next((one.level for one in await self.signals() if one.key.name == "account"), None)

    async def signals(self) -> Sequence[Signal]:
        return await self.store.signals(ALICE, now=self.now[0])

    def count(self, result: str) -> int:
        return self.reception.counts["idp", result]


@asynccontextmanager
async def receiving(
    store: Store, *, keys: Keyring | None = None, now: list[float] | None = None, **changed: Any
) -> AsyncIterator[Receiver]:
    one = transmitter(**changed)
    clock = [NOW] if now is None else now
    feed = RevocationFeed(store, max_staleness=60.0, now=lambda: clock[0])
    reception = Reception(
        [one],
        keys=keys or Keyring(keys_of(one)),
        secrets=lambda _: SECRET,
        store=store,
        feed=feed,
        clock=lambda: clock[0],
    )
    transport = httpx.ASGITransport(Starlette(routes=signal_routes(reception)))
    async with httpx.AsyncClient(transport=transport, base_url="http://authz") as client:
        yield Receiver(client, reception, store, feed, clock)


def refused(answer: httpx.Response, code: str) -> bool:
    """Whether it is a refusal as RFC 8935 section 2.3 has it."""
    said = answer.json()
    return (
        (answer.status_code, said["err"], set(said)) == (400, code, {"err", "description"})
        and answer.headers["content-type"] == "application/json"
        and answer.headers["content-language"] == "en"
    )


def with_receiver(store: Store, work: Callable[[Receiver], Coroutine[Any, Any, _T]], **changed: Any) -> _T:
    async def run() -> _T:
        try:
            async with receiving(store, **changed) as receiver:
                return await work(receiver)
        finally:
            await store.close()

    return asyncio.run(run())
