"""Asks issuers what they say of a token (RFC 7662 section 2.1).

The rule: a token travels in the body of a POST to the configured address and nowhere else. Who asks about the same
token at the same time shares one question, where an answer may be remembered at all; how many are on their way at once
is bounded; and what is not answered in time and in one reading is no answer.
"""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import structlog

from extauthz.errors import ConfigurationError
from extauthz.identity.compact import Unreadable
from extauthz.identity.introspection import read_response
from extauthz.identity.lookups import Answer, Introspect, Introspected, Lookup, Unreachable
from extauthz.identity.user_config import IntrospectionSource
from extauthz.lookup.client_authentication import authenticate
from extauthz.lookup.peers import OutOfReach, Peer, read_secret

PATIENCE: Final = 2.0
"""Seconds that one question may take, the wait for its turn included."""
MOST_AT_ONCE: Final = 64
"""Questions to one issuer that may be on their way."""
SILENCE: Final = 1.0
"""Seconds in which an issuer is not asked again that was not there: those who wait take the places of all others."""
MAX_RESPONSE: Final = 65_536

_TOLD_EVERY: Final = 10.0  # seconds between two lines of the log that anybody's tokens can bring about
# RFC 6585 section 4, RFC 9110 section 15.6.4: whoever says this wants to be asked less.
_OVERLOADED: Final = frozenset({429, 503})

_log = structlog.get_logger(__name__)


class Introspections:
    """Asks the issuers of all `sources`; paths are relative to `base`. Belongs to one event loop.

    Raises `ConfigurationError` for a secret or a file of authorities that can't be used.
    """

    def __init__(self, sources: Iterable[IntrospectionSource], *, base: Path) -> None:
        self._issuers = {source.name: _Issuer(source, base=base) for source in sources}

    async def ask(self, lookup: Lookup) -> Answer:
        """What the issuer of the source says of the token."""
        issuer = self._issuers.get(lookup.source)
        if issuer is None or not isinstance(lookup, Introspect):
            return Unreachable(detail=f"nobody can be asked about `{lookup.source}`")
        return await issuer.ask(lookup.token)

    async def close(self) -> None:
        """End what runs, and close the connections."""
        for issuer in self._issuers.values():
            await issuer.close()


class _Issuer:
    def __init__(self, source: IntrospectionSource, *, base: Path) -> None:
        asked = source.introspection
        self._source = source
        self._secret = base / asked.client_secret_file
        self._peer = Peer(ca=None if asked.ca is None else base / asked.ca)
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._asking: dict[str, asyncio.Task[Answer]] = {}
        self._failure = ""
        self._silent_until = 0.0
        self._told_until = 0.0
        read_secret(self._secret)

    async def ask(self, token: str) -> Answer:
        asking = self._asking.get(token)
        if asking is None and time.monotonic() < self._silent_until:
            return Unreachable(detail=self._failure)
        # An answer to a question that was asked before this request is a remembered one.
        if not self._source.introspection.cache:
            return await self._ask(token)
        if asking is None:
            asking = self._asking[token] = asyncio.create_task(self._ask(token))
            asking.add_done_callback(lambda _: self._asking.pop(token))
        # Whoever goes away does not end the question of the others.
        return await asyncio.shield(asking)

    async def close(self) -> None:
        running = tuple(self._asking.values())
        for asking in running:
            asking.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._peer.close()

    async def _ask(self, token: str) -> Answer:
        try:
            async with asyncio.timeout(PATIENCE), self._turns:
                asked_at = time.time()
                answer = Introspected(response=await self._question(token), asked_at=asked_at)
        except TimeoutError:
            return self._unreachable(f"no answer within {PATIENCE:g} s")
        except (OutOfReach, ConfigurationError) as error:
            return self._unreachable(str(error))
        except Unreadable as error:
            # It is there. Anybody can send a token that it chokes on, which must not silence it for all others.
            return self._unusable(str(error))
        if self._failure:
            _log.info("introspection-back", source=self._source.name)
            self._failure = ""
        return answer

    def _unreachable(self, detail: str) -> Unreachable:
        self._silent_until = time.monotonic() + SILENCE
        if detail != self._failure:  # once, not for every request
            _log.error("introspection-out-of-reach", source=self._source.name, error=detail)
            self._failure = detail
        return Unreachable(detail=detail)

    def _unusable(self, detail: str) -> Unreachable:
        now = time.monotonic()
        if now >= self._told_until:
            _log.error("introspection-answer-unusable", source=self._source.name, error=detail)
            self._told_until = now + _TOLD_EVERY
        return Unreachable(detail=detail)

    async def _question(self, token: str) -> dict[str, object]:
        asked = self._source.introspection
        secret = await asyncio.to_thread(read_secret, self._secret)  # each time, so that a new one is taken
        body = {"token": token, "token_type_hint": "access_token"}
        headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
        authenticate(asked.auth, client_id=asked.client_id, secret=secret, headers=headers, body=body)
        content = urlencode(body).encode("ascii")
        reply = await self._peer.ask("POST", asked.url, headers=headers, content=content, limit=MAX_RESPONSE)
        if reply.status in _OVERLOADED:
            raise OutOfReach(f"{asked.url}: answered with {reply.status}")
        if reply.status != 200:
            raise Unreadable(f"{asked.url}: answered with {reply.status}")
        if reply.headers.get("content-type", "").partition(";")[0].strip(" \t").lower() != "application/json":
            raise Unreadable(f"{asked.url}: answered with something else than `application/json`")
        try:
            return dict(read_response(reply.body))
        except Unreadable as error:
            raise Unreadable(f"{asked.url}: the answer is {error}") from None
