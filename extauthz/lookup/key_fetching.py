"""The keys that a publisher has on the network: one fetch, with whatever must be asked on the way to it.

The rule: what comes back is what the publisher said, or an error. Whether it is any good, `KeySource.read` says.
"""

import asyncio
import re
from pathlib import Path
from typing import Final, Protocol, assert_never

import msgspec

from extauthz.errors import ConfigurationError
from extauthz.identity.discovery import endpoint
from extauthz.identity.key_config import DiscoveredKeys, KeyAddress
from extauthz.lookup.peers import OutOfReach, Peer, Reply, read_secret

MAX_DOCUMENT: Final = 1024 * 1024
"""Bytes of a JWK Set, a bundle or metadata."""

_MAX_AGE: Final = re.compile(r'(?:^|,)[ \t]*max-age[ \t]*=[ \t]*"?([0-9]{1,10})', re.IGNORECASE)
_NOT_KEPT: Final = re.compile(r"(?:^|,)[ \t]*no-(?:store|cache)[ \t]*(?:,|=|$)", re.IGNORECASE)
_ACCEPT: Final = {"accept": "application/jwk-set+json, application/json"}


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it was published at `url`.

    `etag` names this state of it (RFC 9110 section 8.8.3). `max_age` is for how many seconds the publisher says that
    it stays as it is (RFC 9111 section 5.2.2.1), `None` if it says nothing.
    """

    document: str
    url: str
    etag: str | None
    max_age: float | None


class Fetcher(Protocol):
    """Fetches the keys of one place."""

    async def fetch(self, held: Published | None, *, anew: bool) -> Published:
        """What is published now, where `held` was before; `anew` is for what has no answer in what was `held`.

        Raises:
            OutOfReach: somebody on the way gives no answer.
            ConfigurationError: somebody's answer is none that can be used.
        """

    async def close(self) -> None:
        """Close the connections."""


class KeyFetcher:
    """Fetches the keys of one place; paths are relative to `base`, and each question may take `timeout` seconds.
    Belongs to one event loop.

    Raises `ConfigurationError` if the file of authorities can't be used.
    """

    def __init__(self, place: KeyAddress | DiscoveredKeys, *, base: Path, timeout: float) -> None:
        self._place = place
        self._base = base
        self._peer = Peer(ca=None if place.ca is None else base / place.ca, timeout=timeout)

    async def fetch(self, held: Published | None, *, anew: bool) -> Published:
        """What is published now; `held` with a new `max_age` if that is still it.

        `anew` asks caches on the way to ask the publisher itself.

        Raises:
            OutOfReach: somebody on the way gives no answer.
            ConfigurationError: somebody's answer is none that can be used.
        """
        url = await self._url()
        headers = {**_ACCEPT, **await self._credentials()}
        if anew:
            headers["cache-control"] = "no-cache"  # RFC 9111 section 5.2.1.4
        if held is not None and held.etag is not None and held.url == url:
            headers["if-none-match"] = held.etag
        reply = await self._peer.ask("GET", url, headers=headers, limit=MAX_DOCUMENT)
        if held is not None and reply.status == 304 and "if-none-match" in headers:
            return Published(document=held.document, url=url, etag=held.etag, max_age=_max_age(reply))
        return Published(document=_text(reply, url), url=url, etag=reply.headers.get("etag"), max_age=_max_age(reply))

    async def close(self) -> None:
        """Close the connections."""
        await self._peer.close()

    async def _url(self) -> str:
        match self._place:
            case KeyAddress(url=url):
                return url
            case DiscoveredKeys(issuer=issuer, metadata_url=url):
                reply = await self._peer.ask("GET", url, headers={"accept": "application/json"}, limit=MAX_DOCUMENT)
                return endpoint(_text(reply, url), "jwks_uri", issuer=issuer)
            case _:
                assert_never(self._place)

    async def _credentials(self) -> dict[str, str]:
        if not isinstance(self._place, KeyAddress) or self._place.token is None:
            return {}
        token = await asyncio.to_thread(read_secret, self._base / self._place.token)
        return {"authorization": f"Bearer {token}"}


def _text(reply: Reply, url: str) -> str:
    if reply.status != 200:
        raise OutOfReach(f"{url}: answered with {reply.status}")
    try:
        return reply.body.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{url}: not UTF-8 text") from None


def _max_age(reply: Reply) -> float | None:
    said = reply.headers.get("cache-control", "")
    if _NOT_KEPT.search(said) is not None:
        return 0.0
    found = _MAX_AGE.search(said)
    return None if found is None else float(found[1])
