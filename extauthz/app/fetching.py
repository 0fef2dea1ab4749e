"""Bundles over HTTPS: the archive if it changed, then its signature.

TLS certificates are verified, redirects are not followed (they could lead anywhere), and no answer is read further
than a bundle may be long, or for longer than one may take.
"""

import asyncio
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import httpx

from extauthz.app.bundle_cache import Signed
from extauthz.lookup.peers import OutOfReach
from extauthz.lookup.trust import usual_authorities
from extauthz.policy.bundle import MAX_ARCHIVE, SIGNATURE_SUFFIX, BundleRefused

TIMEOUT = 10.0
"""Seconds that connecting, and each wait for more bytes, may take."""
WHOLE = 120.0
"""Seconds that all of it may take: a server that sends a byte now and then is one that is out of reach."""
_MAX_SIGNATURE = 256


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a server gave, and the entity tag that names it (RFC 9110 section 8.8.3)."""

    signed: Signed
    etag: str | None


class Fetcher:
    """As a context: connections to the servers of bundles."""

    def __init__(self) -> None:
        """Raises `ConfigurationError` if the file that `SSL_CERT_FILE` names can't be used."""
        self._client = httpx.AsyncClient(verify=usual_authorities(), timeout=TIMEOUT, follow_redirects=False)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.__aexit__()

    async def fetch(self, url: str, *, etag: str | None) -> Fetched | None:
        """The archive and signature at `url`; `None` if the archive is still the one that `etag` names.

        Raises:
            OutOfReach: there is no answer, or one that is no bundle.
            BundleRefused: the answer is longer than a bundle may be, or there is no signature.
        """
        try:
            async with asyncio.timeout(WHOLE):
                archive = await _get(self._client, url, limit=MAX_ARCHIVE, etag=etag)
                if archive is None:
                    return None
                parts = urlsplit(url)
                beside = urlunsplit(parts._replace(path=parts.path + SIGNATURE_SUFFIX))
                signature = await _get(self._client, beside, limit=_MAX_SIGNATURE, etag=None)
        except TimeoutError:
            raise OutOfReach(f"{url}: no whole bundle within {WHOLE:g} s") from None
        except httpx.HTTPError as error:
            raise OutOfReach(f"{url}: {str(error) or type(error).__name__}") from error
        content, tag = archive
        return Fetched(Signed(content, signature[0] if signature else b""), tag)


async def _get(client: httpx.AsyncClient, url: str, *, limit: int, etag: str | None) -> tuple[bytes, str | None] | None:
    # Bytes are signed as they lie on the server: nothing may compress them on the way.
    headers = {"accept-encoding": "identity", **({"if-none-match": etag} if etag is not None else {})}
    async with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.NOT_MODIFIED and etag is not None:
            return None
        if response.status_code != httpx.codes.OK:
            raise OutOfReach(f"{url}: answered with {response.status_code}")
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > limit:
                raise BundleRefused(f"{url}: longer than {limit} bytes")
        return bytes(content), response.headers.get("etag")
