"""Where spans and metrics go by OTLP and how, as the variables `OTEL_EXPORTER_OTLP_*` and `OTEL_BSP_*` say
(OpenTelemetry specification, "OpenTelemetry Protocol Exporter" and "Environment Variable Specification").

The rule kept here: what a variable for one of them says goes before what the one for everything says, and what is empty
says nothing. Durations are milliseconds, as the specification has them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from extauthz.errors import ConfigurationError, failure_of
from extauthz.files import open_file
from extauthz.record.outlet import Batching

Protocol = Literal["grpc", "http/protobuf"]
Signal = Literal["TRACES", "METRICS"]
"""What is sent, as the names of variables have it."""

_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_PATHS: Final[Mapping[Signal, str]] = {"TRACES": "/v1/traces", "METRICS": "/v1/metrics"}
_DEFAULTS: Final[Mapping[Protocol, str]] = {"grpc": "http://localhost:4317", "http/protobuf": "http://localhost:4318"}
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?|")
"""What both protocols carry: those of RFC 9110 section 5.5 without what is obsolete."""
_TIMEOUT: Final = 10_000
_QUEUE: Final = 16_384
_MOST: Final = 512
_DELAY: Final = 5_000
_PATIENCE: Final = 30_000
SIZE: Final = 16 * 1024 * 1024
"""Bytes of spans that wait, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Otlp:
    """`endpoint` is a whole URL, or for gRPC whatever gRPC takes for a target. `timeout` is in seconds. `authorities`,
    `key` and `certificate` are files of PEM, `None` for the authorities of the system, and for nothing to show."""

    protocol: Protocol
    endpoint: str
    insecure: bool
    headers: tuple[tuple[str, str], ...]
    timeout: float
    gzip: bool
    authorities: Path | None
    key: Path | None
    certificate: Path | None


def read_otlp(environ: Mapping[str, str], signal: Signal = "TRACES") -> Otlp:
    """What the variables say of this signal.

    Raises:
        ConfigurationError: one of them says what can't be.
    """
    said = _Said(environ, signal)
    protocol = _protocol(said)
    endpoint = _endpoint(said, protocol)
    return Otlp(
        protocol=protocol,
        endpoint=endpoint,
        insecure=_insecure(said, endpoint),
        headers=_headers(said),
        timeout=number_of(*said.of("TIMEOUT"), _TIMEOUT) / 1000,
        gzip=_gzip(said),
        authorities=_file(*said.of("CERTIFICATE")),
        key=_file(*said.of("CLIENT_KEY")),
        certificate=_file(*said.of("CLIENT_CERTIFICATE")),
    )


def read_batching(environ: Mapping[str, str]) -> Batching:
    """How spans are batched. Where nothing is said more may wait than the specification has it: 2,048 spans are no half
    second of a busy server.

    Raises:
        ConfigurationError: one of the variables is no number.
    """

    def number(name: str, default: int) -> int:
        variable = f"OTEL_BSP_{name}"
        return max(number_of(variable, environ.get(variable, ""), default), 1)

    queue = number("MAX_QUEUE_SIZE", _QUEUE)
    return Batching(
        queue=queue,
        most=min(number("MAX_EXPORT_BATCH_SIZE", _MOST), queue),
        delay=number("SCHEDULE_DELAY", _DELAY) / 1000,
        patience=number("EXPORT_TIMEOUT", _PATIENCE) / 1000,
        size=SIZE,
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """The variables, as they are said of one signal."""

    environ: Mapping[str, str] = field(repr=False)  # it has secrets
    signal: Signal

    def of(self, name: str) -> tuple[str, str]:
        """The variable that says something, and what."""
        for variable in (f"{_PREFIX}{self.signal}_{name}", f"{_PREFIX}{name}"):
            if found := self.environ.get(variable, "").strip():
                return variable, found
        return f"{_PREFIX}{name}", ""


def _protocol(said: _Said) -> Protocol:
    variable, value = said.of("PROTOCOL")
    match value:
        case "grpc":
            return "grpc"
        case "http/protobuf" | "":
            return "http/protobuf"
        case _:
            raise ConfigurationError(f"{variable}: unknown protocol `{value}`; use `grpc` or `http/protobuf`")


def _endpoint(said: _Said, protocol: Protocol) -> str:
    variable, value = said.of("ENDPOINT")
    endpoint = value or _DEFAULTS[protocol]
    if "@" in endpoint.partition("://")[2].partition("/")[0]:
        # Without it: it is a credential, and a place that is told in the log is none for one.
        raise ConfigurationError(f"{variable}: no name or password can stand in it; use {_PREFIX}HEADERS")
    if protocol == "grpc":
        return endpoint
    try:
        parts = urlsplit(endpoint)
        known = parts.scheme in ("http", "https") and parts.hostname is not None and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ConfigurationError(f"{variable}: `{endpoint}` is no URL that begins with `http://` or `https://`")
    # The endpoint for all signals is where their paths begin, that for one is taken as it is.
    return endpoint if said.signal in variable else endpoint.rstrip("/") + _PATHS[said.signal]


def _insecure(said: _Said, endpoint: str) -> bool:
    scheme, found, _ = endpoint.partition("://")
    if found and scheme in ("http", "https"):
        return scheme == "http"
    return endpoint.startswith("unix:") or said.of("INSECURE")[1].lower() == "true"


def _headers(said: _Said) -> tuple[tuple[str, str], ...]:
    """Pairs with commas between, as W3C Baggage writes them."""
    variable, value = said.of("HEADERS")
    pairs: list[tuple[str, str]] = []
    for pair in filter(None, (one.strip() for one in value.split(","))):
        name, equals, content = pair.partition("=")
        name = unquote(name).strip().lower()
        if not equals or not name:
            # Without its value, which may be a credential.
            raise ConfigurationError(f"{variable}: a header has no name or no `=`; write `name=value,name=value`")
        content = unquote(content).strip()
        if _HEADER_NAME.fullmatch(name) is None or _HEADER_VALUE.fullmatch(content) is None:
            number = len(pairs) + 1
            raise ConfigurationError(
                f"{variable}: header {number} has signs in its name or value that no header can have"
            )
        pairs.append((name, content))
    return tuple(pairs)


def _gzip(said: _Said) -> bool:
    variable, value = said.of("COMPRESSION")
    if value.lower() not in ("", "none", "gzip"):
        raise ConfigurationError(f"{variable}: unknown compression `{value}`; use `gzip` or `none`")
    return value.lower() == "gzip"


def number_of(variable: str, value: str, default: int) -> int:
    """What a variable for a number says; where it says nothing, or 0, the default.

    Raises:
        ConfigurationError: it says something else.
    """
    if not value.strip():
        return default
    try:
        number = int(value)
    except ValueError:
        number = -1
    if number < 0:
        raise ConfigurationError(f"{variable}: `{value}` is no whole number from 0 on; durations are milliseconds")
    return number or default


def _file(variable: str, value: str) -> Path | None:
    if not value:
        return None
    try:
        open_file(Path(value)).close()
    except OSError as error:
        raise ConfigurationError(
            f"{variable}: can't read `{value}`: {failure_of(error)}; name a file of PEM"
        ) from error
    return Path(value)
