"""Sources that answer over HTTP: with a JSON object, or as the AuthZEN Authorization API 1.0 has it.

The rule: of what a status, a type and a body can say, the few things that are an answer are listed here. A redirect is
none, nor is a page, nor JSON that two readers would read differently.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from extauthz.identity.compact import Unreadable, json_object
from extauthz.lookup.attributes.addresses import NoPlace, UrlTemplate
from extauthz.lookup.attributes.config import DECISION, AttributeSettings, AuthZenSettings, HttpSettings
from extauthz.lookup.attributes.fetching import Unaskable, Unusable
from extauthz.lookup.peers import OutOfReach, Peer, Reply, TooLong, read_secret
from extauthz.policy.plain import Json

_NO_CONTENT: Final = 204
_TOO_MANY: Final = 429


class HttpSource:
    """Asks the source of `settings`, which is one of `http`; paths are relative to `base`.

    Raises `ConfigurationError` for files that can't be used.
    """

    def __init__(self, settings: AttributeSettings, http: HttpSettings, *, base: Path) -> None:
        self._http = http
        self._template = UrlTemplate.parse(http.url)
        self._asking = _Asking(settings, base=base)

    def check(self, asked: Mapping[str, Json]) -> None:
        """As `Fetcher.check`."""
        try:
            self._template.filled(asked)
        except NoPlace as error:
            raise Unaskable(str(error)) from None

    async def fetch(self, asked: Mapping[str, Json]) -> Mapping[str, Any] | None:
        """As `Fetcher.fetch`."""
        url = self._template.filled(asked)
        rest = {name: value for name, value in asked.items() if name not in self._template.places}
        reply = await self._asking.ask(self._http.url, url, None if self._http.method == "GET" else rest)
        if reply.status == _NO_CONTENT or reply.status in self._http.absent:
            return None
        return _object(reply, self._http.url)

    async def open(self) -> None:
        """As `Fetcher.open`."""
        await self._asking.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._asking.close()


class AuthZenSource:
    """Asks the decision point of `settings`, which is one of `authzen`; paths are relative to `base`.

    Raises `ConfigurationError` for files that can't be used.
    """

    def __init__(self, settings: AttributeSettings, authzen: AuthZenSettings, *, base: Path) -> None:
        self._url = authzen.url
        self._asking = _Asking(settings, base=base)

    def check(self, asked: Mapping[str, Json]) -> None:
        """Authorization API 1.0 section 5: what subject, resource and action have, at least."""
        for part, keys in (("subject", ("type", "id")), ("resource", ("type", "id")), ("action", ("name",))):
            entity = asked[part]
            if not isinstance(entity, dict) or not all(isinstance(entity.get(key), str) for key in keys):
                raise Unaskable(f"`{part}` is no map with the text `{'` and `'.join(keys)}`")
        if not isinstance(asked.get("context", {}), dict):
            raise Unaskable("`context` is no map")

    async def fetch(self, asked: Mapping[str, Json]) -> Mapping[str, Any]:
        """The `context` of an evaluation, with its `decision` among it."""
        evaluation = _object(await self._asking.ask(self._url, self._url, asked), self._url)
        decision, context = evaluation.get(DECISION), evaluation.get("context", {})
        # Authorization API 1.0 section 6.2: the decision is required, and is a boolean; the context is an object.
        if not isinstance(decision, bool) or not isinstance(context, dict):
            raise Unusable(f"{self._url}: the answer is no evaluation")
        return {**context, DECISION: decision}

    async def open(self) -> None:
        """As `Fetcher.open`."""
        await self._asking.open()

    async def close(self) -> None:
        """Close the connections."""
        await self._asking.close()


class _Asking:
    """One request after the other, each with the bearer token that its file holds by then."""

    def __init__(self, settings: AttributeSettings, *, base: Path) -> None:
        self._peer = Peer(
            ca=None if settings.ca is None else base / settings.ca,
            own=settings.own_certificate(base),
            timeout=settings.timeout,
        )
        self._token = None if settings.token is None else base / settings.token
        self._limit = settings.size
        if self._token is not None:
            read_secret(self._token)

    async def ask(self, name: str, url: str, body: Mapping[str, Json] | None) -> Reply:
        """The answer of `url`, which messages call `name`: by POST of `body`, without one by GET."""
        headers = {"accept": "application/json"}
        if self._token is not None:
            headers["authorization"] = f"Bearer {await asyncio.to_thread(read_secret, self._token)}"
        content = None
        if body is not None:
            headers["content-type"] = "application/json"
            content = json.dumps(body, separators=(",", ":")).encode("ascii")
        try:
            reply = await self._peer.ask(
                "GET" if content is None else "POST", url, headers=headers, content=content, limit=self._limit
            )
        except TooLong:
            raise Unusable(f"{name}: the answer is longer than {self._limit} bytes") from None
        except OutOfReach as error:
            raise OutOfReach(str(error).replace(url, name)) from error
        if reply.status >= 500 or reply.status == _TOO_MANY:
            raise OutOfReach(f"{name}: answered with {reply.status}")
        return reply

    async def open(self) -> None:
        await self._peer.open()

    async def close(self) -> None:
        await self._peer.close()


def _object(reply: Reply, name: str) -> dict[str, Any]:
    """The JSON object in an answer (RFC 8259), if it is one."""
    if reply.status != 200:
        raise Unusable(f"{name}: answered with {reply.status}")
    kind = reply.headers.get("content-type", "").partition(";")[0].strip(" \t").lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise Unusable(f"{name}: answered with something else than JSON")
    if reply.headers.get("content-encoding", "identity").lower() != "identity":
        raise Unusable(f"{name}: answered with something compressed")
    try:
        return json_object(reply.body)
    except Unreadable as error:
        raise Unusable(f"{name}: the answer has no one reading: {error}") from None
