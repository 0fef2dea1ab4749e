"""Where spans go by OTLP and how, as the variables `OTEL_EXPORTER_OTLP_*` and `OTEL_BSP_*` say (OpenTelemetry
specification, "OpenTelemetry Protocol Exporter" and "Environment Variable Specification").

The rule kept here: what a variable for traces says goes before what the one for everything says, and what is empty
says nothing. Durations are milliseconds, as the specification has them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

from extauthz.errors import ConfigurationError, failure_of
from extauthz.record.outlet import Batching

Protocol = Literal["grpc", "http/protobuf"]

_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_PATH: Final = "/v1/traces"
_DEFAULTS: Final[Mapping[Protocol, str]] = {"grpc": "http://localhost:4317", "http/protobuf": "http://localhost:4318"}
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


def names_endpoint(environ: Mapping[str, str]) -> bool:
    """Whether the variables say where spans go."""
    return _value(environ, "ENDPOINT")[1] != ""


def read_otlp(environ: Mapping[str, str]) -> Otlp:
    """What the variables say.

    Raises:
        ConfigurationError: one of them says what can't be.
    """
    protocol = _protocol(environ)
    endpoint = _endpoint(environ, protocol)
    return Otlp(
        protocol=protocol,
        endpoint=endpoint,
        insecure=_insecure(environ, endpoint),
        headers=_headers(environ),
        timeout=_number(*_value(environ, "TIMEOUT"), _TIMEOUT) / 1000,
        gzip=_gzip(environ),
        authorities=_file(*_value(environ, "CERTIFICATE")),
        key=_file(*_value(environ, "CLIENT_KEY")),
        certificate=_file(*_value(environ, "CLIENT_CERTIFICATE")),
    )


def read_batching(environ: Mapping[str, str]) -> Batching:
    """How spans are batched. Where nothing is said more may wait than the specification has it: 2,048 spans are no half
    second of a busy server.

    Raises:
        ConfigurationError: one of the variables is no number.
    """

    def number(name: str, default: int) -> int:
        variable = f"OTEL_BSP_{name}"
        return max(_number(variable, environ.get(variable, ""), default), 1)

    queue = number("MAX_QUEUE_SIZE", _QUEUE)
    return Batching(
        queue=queue,
        most=min(number("MAX_EXPORT_BATCH_SIZE", _MOST), queue),
        delay=number("SCHEDULE_DELAY", _DELAY) / 1000,
        patience=number("EXPORT_TIMEOUT", _PATIENCE) / 1000,
        size=SIZE,
    )


def _value(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """The variable that says something, and what."""
    for variable in (f"{_PREFIX}TRACES_{name}", f"{_PREFIX}{name}"):
        if found := environ.get(variable, "").strip():
            return variable, found
    return f"{_PREFIX}{name}", ""


def _protocol(environ: Mapping[str, str]) -> Protocol:
    variable, value = _value(environ, "PROTOCOL")
    match value:
        case "grpc":
            return "grpc"
        case "http/protobuf" | "":
            return "http/protobuf"
        case _:
            raise ConfigurationError(f"{variable}: unknown protocol `{value}`; use `grpc` or `http/protobuf`")


def _endpoint(environ: Mapping[str, str], protocol: Protocol) -> str:
    variable, value = _value(environ, "ENDPOINT")
    endpoint = value or _DEFAULTS[protocol]
    if protocol == "grpc":
        return endpoint
    try:
        parts = urlsplit(endpoint)
        known = parts.scheme in ("http", "https") and parts.hostname is not None and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ConfigurationError(f"{variable}: `{endpoint}` is no URL that begins with `http://` or `https://`")
    # The endpoint for all signals is where their paths begin, that for traces is taken as it is.
    return endpoint if "TRACES" in variable else endpoint.rstrip("/") + _PATH


def _insecure(environ: Mapping[str, str], endpoint: str) -> bool:
    scheme, found, _ = endpoint.partition("://")
    if found and scheme in ("http", "https"):
        return scheme == "http"
    return endpoint.startswith("unix:") or _value(environ, "INSECURE")[1].lower() == "true"


def _headers(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Pairs with commas between, as W3C Baggage writes them."""
    variable, value = _value(environ, "HEADERS")
    pairs = []
    for pair in filter(None, (one.strip() for one in value.split(","))):
        name, equals, content = pair.partition("=")
        name = unquote(name).strip().lower()
        if not equals or not name:
            # Without its value, which may be a credential.
            raise ConfigurationError(f"{variable}: a header has no name or no `=`; write `name=value,name=value`")
        pairs.append((name, unquote(content).strip()))
    return tuple(pairs)


def _gzip(environ: Mapping[str, str]) -> bool:
    variable, value = _value(environ, "COMPRESSION")
    if value.lower() not in ("", "none", "gzip"):
        raise ConfigurationError(f"{variable}: unknown compression `{value}`; use `gzip` or `none`")
    return value.lower() == "gzip"


def _number(variable: str, value: str, default: int) -> int:
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
        with Path(value).open("rb"):
            return Path(value)
    except OSError as error:
        raise ConfigurationError(f"{variable}: can't read `{value}`: {failure_of(error)}") from error
