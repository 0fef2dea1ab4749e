"""Brings spans to a receiver of OTLP over gRPC (OTLP specification, "OTLP/gRPC").

The rule kept here: what may be tried again is what the specification says, and a receiver that is full is asked again
only if it says when.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # no py.typed
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # no py.typed

from extauthz.errors import ConfigurationError, failure_of
from extauthz.record.otlp import Envelope
from extauthz.record.otlp_answer import answered
from extauthz.record.otlp_settings import Otlp
from extauthz.record.outlet import NotNow, Outcome, Rejected

_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_LATER: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""What may be tried again ("Failures")."""
_OPTIONS: Final = (
    # A receiver that is back is found again within seconds.
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class GrpcCarrier:
    """Calls `Export` with bytes that are encoded already. Belongs to one thread, but for `close`."""

    def __init__(self, otlp: Otlp, envelope: Envelope, *, agent: str) -> None:
        """Nothing is connected yet.

        Raises:
            ConfigurationError: a certificate or key can't be read.
        """
        parts = urlsplit(otlp.endpoint)
        target = parts.netloc if parts.scheme in ("http", "https") else otlp.endpoint
        self._endpoint = otlp.endpoint
        self._timeout = otlp.timeout
        self._headers = otlp.headers
        self._envelope = envelope
        options = (*_OPTIONS, ("grpc.primary_user_agent", agent))
        compression = grpc.Compression.Gzip if otlp.gzip else grpc.Compression.NoCompression
        self._channel = (
            grpc.insecure_channel(target, options=options, compression=compression)
            if otlp.insecure
            else grpc.secure_channel(target, _credentials(otlp), options=options, compression=compression)
        )
        # Without a serialiser: the bytes go as they are.
        self._export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(_METHOD)

    def carry(self, parcels: Sequence[bytes], seconds: float) -> Outcome:
        """Make one call."""
        try:
            answer = self._export(
                self._envelope.around(parcels), timeout=min(seconds, self._timeout), metadata=self._headers
            )
        except grpc.RpcError as error:
            return _outcome(self._endpoint, error)
        except ValueError as error:  # the channel is closed, or a header can't be sent
            return Rejected(f"{self._endpoint}: {error}")
        return answered(answer)

    def close(self) -> None:
        """Close the connection; a call that is on its way is cancelled."""
        self._channel.close()


def _outcome(endpoint: str, error: grpc.RpcError) -> Outcome:
    code = error.code()
    after = _after(error)
    word = f"{endpoint}: {code.name.lower()}: {error.details()}"
    if code in _LATER or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and after is not None):
        return NotNow(word, after)
    return Rejected(word)


def _after(error: grpc.RpcError) -> float | None:
    """Seconds until it may be tried again, where the receiver says so ("OTLP/gRPC Throttling")."""
    trailing = {item.key: item.value for item in error.trailing_metadata() or ()}
    told = RetryInfo()
    try:
        details = Status.FromString(trailing.get("grpc-status-details-bin", b"")).details
        if not any(one.Unpack(told) for one in details):
            return None
    except DecodeError:
        return None
    seconds: float = told.retry_delay.seconds + told.retry_delay.nanos / 1e9
    return max(seconds, 0.0)


def _credentials(otlp: Otlp) -> grpc.ChannelCredentials:
    try:
        authorities, key, certificate = (
            None if path is None else path.read_bytes() for path in (otlp.authorities, otlp.key, otlp.certificate)
        )
    except OSError as error:
        raise ConfigurationError(f"OTEL_EXPORTER_OTLP_CERTIFICATE: can't read it: {failure_of(error)}") from error
    return grpc.ssl_channel_credentials(authorities, key, certificate)
