"""The keys of a trust domain from the SPIFFE Workload API: the agent's socket on this machine.

The rule: what the agent streams is news and nothing more; the keys are those that it gives when it is asked, so that
one that has gone silent is known to be silent. Needs the extra `spiffe`.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from spiffe import JwtBundle, JwtBundleSet, TrustDomain, WorkloadApiClient
from spiffe.errors import PySpiffeError
from spiffe.workloadapi.workload_api_client import StreamCancelHandler

from extauthz.lookup.key_fetching import Published
from extauthz.lookup.peers import OutOfReach

_log = structlog.get_logger(__name__)


class BundleFetcher:
    """Fetches the JWT bundle of one trust domain from the agent at `socket`, and calls `news` on the event loop
    whenever the agent has another one. An answer may take `timeout` seconds. Belongs to one event loop.
    """

    def __init__(self, trust_domain: str, *, socket: Path, timeout: float, news: Callable[[], None]) -> None:
        self._trust_domain = trust_domain
        self._address = f"unix:{socket}"
        self._timeout = timeout
        self._news = news
        self._stream: _Stream | None = None

    async def fetch(self, _held: Published | None, *, anew: bool) -> Published:  # noqa: ARG002 - an agent has no caches
        """What the agent gives now.

        Raises:
            OutOfReach: it gives nothing.
        """
        try:
            if self._stream is None or self._stream.ended:
                self._stream = await asyncio.to_thread(_Stream, self._address, self._soon())
            document = await asyncio.to_thread(self._ask)
        except PySpiffeError as error:
            raise OutOfReach(f"{self._address}: {error}") from error
        return Published(document=document, url=self._address, etag=None, max_age=None)

    async def close(self) -> None:
        """End the stream."""
        if self._stream is not None:
            await asyncio.to_thread(self._stream.close)

    def _soon(self) -> Callable[[], None]:
        """Tells of news from another thread."""
        loop = asyncio.get_running_loop()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop may be gone
                loop.call_soon_threadsafe(self._news)

        return tell

    def _ask(self) -> str:
        # A connection of its own: one that has failed would wait before it tries again.
        with WorkloadApiClient(self._address, default_timeout=self._timeout) as client:
            bundle = client.fetch_jwt_bundles().get_bundle_for_trust_domain(TrustDomain(self._trust_domain))
        if bundle is None:
            raise OutOfReach(f"{self._address}: has no bundle of `{self._trust_domain}`")
        return json.dumps({"keys": _published(bundle)}, sort_keys=True)


class _Stream:
    """What the agent streams, in a thread of its own, until it `ended`. Raises `PySpiffeError`."""

    def __init__(self, address: str, tell: Callable[[], None]) -> None:
        self.ended = False
        self._tell = tell
        self._client = WorkloadApiClient(address)
        self._cancel: StreamCancelHandler = self._client.stream_jwt_bundles(self._arrived, self._failed)

    def close(self) -> None:
        self._cancel.cancel()
        self._client.close()

    def _arrived(self, _: JwtBundleSet) -> None:
        self._tell()

    def _failed(self, error: Exception) -> None:
        _log.error("workload-api-stream-ended", error=str(error))
        self.ended = True
        self._client.close()
        self._tell()


def _published(bundle: JwtBundle) -> list[dict[str, Any]]:
    """The keys of a bundle as a SPIFFE bundle has them; those of other types sign no JWT-SVID."""
    found: list[dict[str, Any]] = []
    for kid, key in sorted(bundle.jwt_authorities.items()):
        jwk: dict[str, Any]
        match key:
            case RSAPublicKey():
                jwk = RSAAlgorithm.to_jwk(key, as_dict=True)
            case EllipticCurvePublicKey():
                jwk = ECAlgorithm.to_jwk(key, as_dict=True)
            case _:
                continue
        jwk.pop("key_ops", None)
        found.append({**jwk, "kid": kid, "use": "jwt-svid"})
    return found
