"""Asks an OpenID provider: for its metadata, and for the ID token behind a code (OpenID Connect Core section 3.1.3).

The rule: a code and a secret travel in a POST to the endpoint that the provider's own metadata names, and nowhere else;
nobody is followed elsewhere; how many are on their way and how long is bounded; and what comes back is claims that the
provider has signed, or a reason why there are none.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlencode

import msgspec
import structlog

from extauthz.errors import ConfigurationError, InvalidCredential, IssuerUnavailable
from extauthz.identity.compact import Unreadable, json_object
from extauthz.identity.discovery import endpoint
from extauthz.identity.id_tokens import UnknownKey, id_token_claims
from extauthz.identity.keys import KeySet
from extauthz.lookup.client_authentication import authenticate
from extauthz.lookup.key_fetching import MAX_DOCUMENT, KeyFetcher
from extauthz.lookup.oidc_config import OidcSettings
from extauthz.lookup.peers import TIMEOUT, OutOfReach, Peer, Reply, read_secret
from extauthz.stepup.oidc import OidcRefused, Provider

KEPT: Final = 3600.0
"""Seconds for which metadata and keys are taken as they are."""
BETWEEN_KEYS: Final = 10.0
"""Seconds between two questions for keys that tokens with unknown ones lead to."""
SILENCE: Final = 1.0
"""Seconds after a failure in which nobody asks again: those who wait would take the places of all others."""
MOST_AT_ONCE: Final = 32
"""Questions to one provider that may be on their way."""
MAX_RESPONSE: Final = 131_072

Known = TypeVar("Known")

_log = structlog.get_logger(__name__)


class _Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider publishes of itself."""

    provider: Provider
    token_endpoint: str


class _Kept(Generic[Known]):
    """Something that a provider publishes: what it said last, rather than nothing; asked for by one at a time."""

    def __init__(self, source: str, read: Callable[[], Awaitable[Known]]) -> None:
        self._source = source
        self._read = read
        self._known: Known | None = None
        self._read_at = 0.0
        self._failure = ""
        self._silent_until = 0.0
        self._reading = asyncio.Lock()

    async def get(self, *, younger_than: float) -> Known:
        """What was read less than `younger_than` seconds ago, if it can be read now.

        Raises:
            IssuerUnavailable: nothing was ever read.
        """
        async with self._reading:
            now = time.monotonic()
            if (self._known is None or now - self._read_at >= younger_than) and now >= self._silent_until:
                try:
                    self._known, self._read_at = await self._read(), time.monotonic()
                except (OutOfReach, ConfigurationError) as error:
                    self._failure, self._silent_until = str(error), time.monotonic() + SILENCE
                    _log.error("oidc-out-of-reach", issuer=self._source, error=self._failure)
            if self._known is None:
                raise IssuerUnavailable(f"oidc: `{self._source}`: {self._failure}")
            return self._known


class OidcClient:
    """Asks one provider; paths are relative to `base`, each question may take `timeout` seconds. Belongs to one event
    loop.

    Raises `ConfigurationError` for a secret or a file of authorities that can't be used.
    """

    def __init__(self, settings: OidcSettings, *, base: Path, timeout: float = TIMEOUT) -> None:
        self._settings = settings
        self._secret = None if settings.client_secret_file is None else base / settings.client_secret_file
        self._peer = Peer(ca=None if settings.ca is None else base / settings.ca, timeout=timeout)
        self._fetcher = KeyFetcher(settings.keys_place, base=base, timeout=timeout)
        self._metadata = _Kept(settings.issuer, self._read_metadata)
        self._keys = _Kept(settings.issuer, self._read_keys)
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        if self._secret is not None:
            read_secret(self._secret)

    @property
    def issuer(self) -> str:
        """Which provider it is."""
        return self._settings.issuer

    @property
    def lets_enroll(self) -> bool:
        """Whether a new login there is enough for a first factor."""
        return self._settings.first_factor

    def login_hint(self, sub: str) -> str | None:
        """What the provider may fill in as the name of the user that we know by `sub`."""
        return sub if self._settings.login_hint else None

    async def provider(self) -> Provider:
        """The provider as it says that it is; what it said before, where it says nothing now.

        Raises:
            IssuerUnavailable: nobody knows.
        """
        return (await self._metadata.get(younger_than=KEPT)).provider

    async def claims(self, code: str, *, code_verifier: str, redirect_uri: str) -> Mapping[str, Any]:
        """The claims of the ID token that `code` is good for, its signature checked and nothing else.

        Raises:
            OidcRefused: the provider does not accept the code, or what it gives for it is no ID token of its own.
            IssuerUnavailable: it gives no answer that can be used.
        """
        async with self._turns:
            metadata = await self._metadata.get(younger_than=KEPT)
            token = await self._exchange(metadata.token_endpoint, code, code_verifier, redirect_uri)
            try:
                try:
                    return self._verified(token, await self._keys.get(younger_than=KEPT))
                except UnknownKey:
                    return self._verified(token, await self._keys.get(younger_than=BETWEEN_KEYS))
            except InvalidCredential as error:
                raise OidcRefused("malformed", str(error)) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._peer.close()
        await self._fetcher.close()

    def _verified(self, token: str, keys: KeySet) -> Mapping[str, Any]:
        return id_token_claims(token, keys=keys, algorithms=self._settings.algorithms)

    async def _read_keys(self) -> KeySet:
        # Anew: a cache on the way would say again what does not have the key.
        published = await self._fetcher.fetch(None, anew=True)
        return await asyncio.to_thread(self._settings.key_source.read, published.document)

    async def _read_metadata(self) -> _Metadata:
        issuer, url = self._settings.issuer, self._settings.metadata_url
        reply = await self._peer.ask("GET", url, headers={"accept": "application/json"}, limit=MAX_DOCUMENT)
        if reply.status != 200:
            raise OutOfReach(f"{url}: answered with {reply.status}")
        try:
            document = reply.body.decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigurationError(f"{url}: not UTF-8 text") from None
        authorization_endpoint = endpoint(document, "authorization_endpoint", issuer=issuer)
        token_endpoint = endpoint(document, "token_endpoint", issuer=issuer)
        published = json_object(document)
        methods = published.get("code_challenge_methods_supported", ["S256"])
        if not isinstance(methods, list) or "S256" not in methods:
            raise ConfigurationError(f"metadata of `{issuer}`: it does not take PKCE with `S256` (RFC 7636)")
        provider = self._settings.provider(
            authorization_endpoint=authorization_endpoint,
            sends_issuer=published.get("authorization_response_iss_parameter_supported") is True,
        )
        return _Metadata(provider=provider, token_endpoint=token_endpoint)

    async def _exchange(self, url: str, code: str, code_verifier: str, redirect_uri: str) -> str:
        body = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": code_verifier,
        }
        headers = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
        client_id = self._settings.client_id
        try:
            if self._secret is None:
                body["client_id"] = client_id
            else:
                secret = await asyncio.to_thread(read_secret, self._secret)  # each time, so that a new one is taken
                authenticate(self._settings.auth, client_id=client_id, secret=secret, headers=headers, body=body)
            content = urlencode(body).encode("ascii")
            reply = await self._peer.ask("POST", url, headers=headers, content=content, limit=MAX_RESPONSE)
            return _id_token(reply, url)
        except (OutOfReach, ConfigurationError) as error:
            source = self._settings.issuer
            _log.error("oidc-out-of-reach", issuer=source, error=str(error))
            raise IssuerUnavailable(f"oidc: `{source}`: {error}") from error


def _id_token(reply: Reply, url: str) -> str:
    """The ID token of a token response (OpenID Connect Core section 3.1.3.3)."""
    if reply.headers.get("content-type", "").partition(";")[0].strip(" \t").lower() != "application/json":
        raise OutOfReach(f"{url}: answered {reply.status} with something else than `application/json`")
    try:
        answer = json_object(reply.body)
    except Unreadable as error:
        raise OutOfReach(f"{url}: the answer is {error}") from None
    # RFC 6749 section 5.2: `invalid_grant` is about the code, everything else about us.
    if reply.status == 400 and answer.get("error") == "invalid_grant":
        raise OidcRefused("refused", "the code is not good, or not good any more")
    if reply.status != 200:
        raise OutOfReach(f"{url}: answered with {reply.status}")
    token = answer.get("id_token")
    if not isinstance(token, str):
        raise OidcRefused("malformed", "there is no ID token")
    return token
