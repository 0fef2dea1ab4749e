"""Sources that speak `extauthz.v1.AttributeSource`, the service of our own in `proto/extauthz/v1`.

The rule: as with HTTP, what travels in the clear does not leave this machine, and by no proxy either; and what a
double can't hold is not asked, or two questions would be one.
"""

import asyncio
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
from google.protobuf.struct_pb2 import Struct, Value

from extauthz._pb.extauthz.v1.attributes_pb2 import GetAttributesRequest, GetAttributesResponse
from extauthz.lookup.attributes.config import AttributeSettings, GrpcSettings
from extauthz.lookup.attributes.fetching import Unaskable, Unusable
from extauthz.lookup.peers import OutOfReach, read_secret
from extauthz.lookup.trust import Trust
from extauthz.policy.plain import Json

Metadata = tuple[tuple[str, str | bytes], ...]

METHOD: Final = "/extauthz.v1.AttributeSource/GetAttributes"

_EXACT: Final = 2**53
# Codes of who is not there, or is and can't: the others are answers to this one question.
_FAILURES: Final = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DATA_LOSS,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)
_OPTIONS: Final = (
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),  # who tries again, and when, is said by the breaker
)


class GrpcSource:
    """Asks the source of `settings`, which is one of `grpc`; paths are relative to `base`.

    Raises `ConfigurationError` for files that can't be used.
    """

    def __init__(self, settings: AttributeSettings, service: GrpcSettings, *, base: Path) -> None:
        self._settings = settings
        self._url = service.url
        self._token = None if settings.token is None else base / settings.token
        ca = None if settings.ca is None else base / settings.ca
        self._trust = Trust(ca=ca, own=settings.own_certificate(base))
        self._state: object = None
        self._channel: grpc.Channel | None = None
        self._retired: grpc.Channel | None = None
        self._opening = asyncio.Lock()
        if self._token is not None:
            read_secret(self._token)
        self._trust.pems()

    def check(self, asked: Mapping[str, Json]) -> None:
        """As `Fetcher.check`."""
        for value in asked.values():
            _check_numbers(value)

    async def fetch(self, asked: Mapping[str, Json]) -> Mapping[str, Any] | None:
        """As `Fetcher.fetch`."""
        request = GetAttributesRequest(source=self._settings.name)
        request.asked.update(asked)
        metadata: Metadata = ()
        if self._token is not None:
            metadata = (("authorization", f"Bearer {await asyncio.to_thread(read_secret, self._token)}"),)
        try:
            reply = await self._call(await self._opened(), request, metadata)
        except grpc.RpcError as error:
            code = error.code()
            if code is grpc.StatusCode.NOT_FOUND:
                return None
            # What the server says beside its code may hold what was asked.
            detail = f"{self._url}: answered with {code.name}"
            raise OutOfReach(detail) if code in _FAILURES else Unusable(detail) from None
        return _members(reply.attributes, self._url)

    async def open(self) -> None:
        """As `Fetcher.open`."""
        await self._opened()

    async def close(self) -> None:
        """Close the connections."""
        for channel in (self._retired, self._channel):
            if channel is not None:
                channel.close()
        self._retired = self._channel = None

    async def _call(
        self, channel: grpc.Channel, request: GetAttributesRequest, metadata: Metadata
    ) -> GetAttributesResponse:
        """The answer; raises `grpc.RpcError`. Its threads are not those of the loop, which waits for it here."""
        method: grpc.UnaryUnaryMultiCallable[GetAttributesRequest, GetAttributesResponse] = channel.unary_unary(
            METHOD,
            request_serializer=GetAttributesRequest.SerializeToString,
            response_deserializer=GetAttributesResponse.FromString,
        )
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def tell(_: object) -> None:
            with suppress(RuntimeError):  # the loop may be gone
                loop.call_soon_threadsafe(ended.set)

        call = method.future(request, timeout=self._settings.timeout, metadata=metadata)
        call.add_done_callback(tell)
        try:
            await ended.wait()
        except asyncio.CancelledError:
            call.cancel()
            raise
        return call.result()

    async def _opened(self) -> grpc.Channel:
        async with self._opening:
            state = None if self._trust == Trust() else await asyncio.to_thread(self._trust.state)
            if self._channel is None or state != self._state:
                channel = self._connected(await asyncio.to_thread(self._trust.pems))
                # Questions may still be on their way by the one before; they are done long before the next change.
                if self._retired is not None:
                    self._retired.close()
                self._retired, self._channel, self._state = self._channel, channel, state
            return self._channel

    def _connected(self, pems: tuple[bytes | None, bytes | None, bytes | None]) -> grpc.Channel:
        options = (*_OPTIONS, ("grpc.max_receive_message_length", self._settings.size))
        url = urlsplit(self._url)
        if url.scheme == "https":
            authorities, certificate, key = pems
            credentials = grpc.ssl_channel_credentials(authorities, key, certificate)
            return grpc.secure_channel(url.netloc, credentials, options)
        target = self._url if url.scheme == "unix" else url.netloc
        return grpc.insecure_channel(target, (*options, ("grpc.enable_http_proxy", 0)))


def _check_numbers(value: Json) -> None:
    match value:
        case int() if abs(value) > _EXACT:
            raise Unaskable("a whole number that is beyond a double; ask for `string(…)` of it")
        case list():
            for item in value:
                _check_numbers(item)
        case dict():
            for item in value.values():
                _check_numbers(item)
        case _:
            pass


def _members(struct: Struct, url: str) -> dict[str, Any]:
    return {name: _plain(value, url) for name, value in struct.fields.items()}


def _plain(value: Value, url: str) -> object:
    match value.WhichOneof("kind"):
        case "null_value":
            return None
        case "bool_value":
            return value.bool_value
        case "number_value" if math.isfinite(value.number_value):
            return value.number_value
        case "string_value":
            return value.string_value
        case "list_value":
            return [_plain(item, url) for item in value.list_value.values]
        case "struct_value":
            return _members(value.struct_value, url)
        case _:
            raise Unusable(f"{url}: answered with a value that is none")
