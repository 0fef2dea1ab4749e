"""What the API server of Kubernetes says of tokens: TokenReview, `authentication.k8s.io/v1`.

The rules: a token is shown to the API server that is configured and to nobody else, once at a time whoever wants to
know; nobody waits for one that was not there a moment ago, since their calls would take the places of all others; and
one that chokes on a token was there.
"""

import asyncio
import json
import time
from pathlib import Path
from typing import Final

import structlog

from extauthz.errors import ConfigurationError
from extauthz.identity.compact import Unreadable
from extauthz.identity.lookups import Answer, Lookup, ReviewToken, Unreachable
from extauthz.identity.service_accounts import API_VERSION, KIND, read_review
from extauthz.identity.workload_token_config import KubernetesSettings
from extauthz.lookup.peers import TIMEOUT, OutOfReach, Peer, read_secret

PATH: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
MOST_AT_ONCE: Final = 64
"""Reviews that are on their way; a token that comes then is not known."""
SILENCE: Final = 1.0
"""Seconds in which an API server is not asked again that was not there."""
_MAX_REVIEW: Final = 256 * 1024
_TOLD_EVERY: Final = 10.0  # seconds between two lines of the log that anybody's tokens can bring about
# RFC 6585 section 4, RFC 9110 section 15.6.4: whoever says this wants to be asked less.
_OVERLOADED: Final = frozenset({429, 503})

_log = structlog.get_logger(__name__)


class TokenReviews:
    """Asks the API server that `settings.token_review` names; paths are relative to `base`, and an answer may take
    `timeout` seconds. Belongs to one event loop.

    Raises `ConfigurationError` if the file of authorities or the server's own credential can't be used.
    """

    def __init__(self, settings: KubernetesSettings | None, *, base: Path, timeout: float = TIMEOUT) -> None:
        self._settings = settings
        self._base = base
        self._peer = None
        if settings is not None and settings.token_review is not None:
            self._peer = Peer(ca=None if settings.ca is None else base / settings.ca, timeout=timeout)
            if settings.token is not None:
                read_secret(base / settings.token)
        self._running: dict[str, asyncio.Task[Answer]] = {}
        self._failure = ""
        self._silent_until = 0.0
        self._told_until = 0.0

    async def ask(self, lookup: Lookup) -> Answer:
        """The answer to a `ReviewToken`."""
        if not isinstance(lookup, ReviewToken):
            return Unreachable(detail="an API server is asked about tokens only")
        running = self._running.get(lookup.token)
        if running is None:
            if time.monotonic() < self._silent_until:
                return Unreachable(detail=self._failure)
            if len(self._running) >= MOST_AT_ONCE:
                return Unreachable(detail="too many tokens are being reviewed")
            running = self._running[lookup.token] = asyncio.create_task(self._review(lookup.token))
        return await asyncio.shield(running)

    async def close(self) -> None:
        """End what runs, and close the connections."""
        for task in self._running.values():
            task.cancel()
        if self._peer is not None:
            await self._peer.close()

    async def _review(self, token: str) -> Answer:
        try:
            return read_review(await self._post(token))
        except (OutOfReach, ConfigurationError) as error:
            self._failure, self._silent_until = str(error), time.monotonic() + SILENCE
            return self._failed(self._failure)
        except Unreadable as error:
            # It is there. Anybody can send a token that it chokes on, which must not silence it for all others.
            return self._failed(str(error))
        finally:
            del self._running[token]

    def _failed(self, detail: str) -> Unreachable:
        now = time.monotonic()
        if now >= self._told_until:
            _log.error("token-review-failed", error=detail)
            self._told_until = now + _TOLD_EVERY
        return Unreachable(detail=detail)

    async def _post(self, token: str) -> str:
        settings, peer = self._settings, self._peer
        if settings is None or settings.token_review is None or settings.token is None or peer is None:
            raise ConfigurationError("no API server is configured")
        own = await asyncio.to_thread(read_secret, self._base / settings.token)
        spec = {"token": token, "audiences": list(settings.audiences)}
        url = settings.token_review.rstrip("/") + PATH
        reply = await peer.ask(
            "POST",
            url,
            headers={
                "accept": "application/json",
                "authorization": f"Bearer {own}",
                "content-type": "application/json",
            },
            content=json.dumps({"apiVersion": API_VERSION, "kind": KIND, "spec": spec}).encode("utf-8"),
            limit=_MAX_REVIEW,
        )
        if reply.status in _OVERLOADED:
            raise OutOfReach(f"{url}: answered with {reply.status}")
        if reply.status not in (200, 201):  # the API server creates the review
            raise Unreadable(f"{url}: answered with {reply.status}")
        try:
            return reply.body.decode("utf-8")
        except UnicodeDecodeError:
            raise Unreadable(f"{url}: not UTF-8 text") from None
