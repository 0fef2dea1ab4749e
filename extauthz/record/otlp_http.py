"""Brings spans to a receiver of OTLP over HTTP (OTLP specification, "OTLP/HTTP").

The rule kept here: an answer is read to a bound and within its time, and a redirect leads nowhere.
"""

import ssl
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore

from extauthz.errors import ConfigurationError, failure_of
from extauthz.record.deadline import Deadline, TimedBackend
from extauthz.record.otlp import Envelope
from extauthz.record.otlp_answer import answered
from extauthz.record.otlp_settings import Otlp
from extauthz.record.outlet import NotNow, Outcome, Rejected

_LATER: Final = frozenset({429, 502, 503, 504})
"""What may be tried again ("Retryable Response Codes")."""
_SUCCESS: Final = 2
_FORM: Final = {"content-type": "application/x-protobuf"}
_MOST_HEARD: Final = 65_536
_GZIP: Final = 16 + zlib.MAX_WBITS
_FAST: Final = 1


class HttpCarrier:
    """Posts batches of spans. Belongs to one thread, but for `close`."""

    def __init__(self, otlp: Otlp, envelope: Envelope, *, agent: str) -> None:
        """Nothing is connected yet.

        Raises:
            ConfigurationError: a certificate or key can't be used.
        """
        self._url = otlp.endpoint
        self._timeout = otlp.timeout
        self._gzip = otlp.gzip
        self._envelope = envelope
        headers = {"host": urlsplit(otlp.endpoint).netloc, "user-agent": agent, **_FORM}
        if otlp.gzip:
            headers["content-encoding"] = "gzip"
        self._headers = list({**headers, **dict(otlp.headers)}.items())
        self._deadline = Deadline()
        self._connections = _connections(otlp, TimedBackend(self._deadline))

    def carry(self, parcels: Sequence[bytes], seconds: float) -> Outcome:
        """Post one request."""
        body = self._envelope.around(parcels)
        until = time.monotonic() + min(seconds, self._timeout)
        try:
            return self._post(_squeezed(body) if self._gzip else body, until)
        except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol) as error:  # it can't be sent
            return Rejected(f"{self._url}: {str(error) or type(error).__name__}")
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError) as error:
            return NotNow(f"{self._url}: {str(error) or type(error).__name__}")
        except (RuntimeError, OSError) as error:  # it was closed meanwhile
            return Rejected(f"{self._url}: {str(error) or type(error).__name__}")

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def _post(self, body: bytes, until: float) -> Outcome:
        self._deadline.until = until
        heard = bytearray()
        with (
            self._connections.stream("POST", self._url, headers=self._headers, content=body) as response,
            suppress(httpcore.ReadTimeout),  # whatever else it says is not worth the wait: its status is known
        ):
            for chunk in response.iter_stream():
                heard += chunk
                if len(heard) > _MOST_HEARD:
                    break
        if response.status // 100 == _SUCCESS:
            return answered(bytes(heard))
        word = f"{self._url}: HTTP {response.status}"
        if response.status not in _LATER:
            return Rejected(word)
        after = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
        return NotNow(word, _seconds(after.decode("latin-1")))


def _squeezed(body: bytes) -> bytes:
    packer = zlib.compressobj(_FAST, zlib.DEFLATED, _GZIP)
    return packer.compress(body) + packer.flush()


def _seconds(value: str) -> float | None:
    """What `Retry-After` says: seconds, or a date (RFC 9110 section 10.2.3)."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError, OSError):
        return None


def _connections(otlp: Otlp, backend: httpcore.NetworkBackend) -> httpcore.ConnectionPool | httpcore.HTTPProxy:
    """Straight to the receiver, or by the proxy that the environment names for it."""
    trusted, url = _trusting(otlp), urlsplit(otlp.endpoint)
    proxy = None if proxy_bypass(url.netloc) else getproxies().get(url.scheme)
    if not proxy:
        return httpcore.ConnectionPool(ssl_context=trusted, max_connections=1, network_backend=backend)
    named = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    auth = (unquote(named.username), unquote(named.password or "")) if named.username else None
    host = named.netloc.rpartition("@")[2]
    return httpcore.HTTPProxy(
        f"{named.scheme}://{host}",
        proxy_auth=auth,
        ssl_context=trusted,
        max_connections=1,
        network_backend=backend,
    )


def _trusting(otlp: Otlp) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=otlp.authorities)
        if otlp.certificate is not None:
            context.load_cert_chain(otlp.certificate, otlp.key)
    except OSError as error:  # an `ssl.SSLError` is one
        raise ConfigurationError(f"OTEL_EXPORTER_OTLP_CERTIFICATE: can't use it: {failure_of(error)}") from error
    return context
