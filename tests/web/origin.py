"""One https origin on loopback as Envoy makes it: the pages, and an application whose `/pay…` asks for a second factor.

The gate in front of the application stands for Envoy and the Check: real offers, real grants, no policies.
"""

import asyncio
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from stepup.proofs import ALICE, SESSION, alice, view
from web.conftest import World

from extauthz.stepup.challenge import offer
from extauthz.stepup.cookies import read_secret
from extauthz.values.decisions import Challenge
from extauthz.values.identity import HOLDER_COOKIE, holder_of_cookie
from extauthz.values.request import Caller


class Origin:
    """The ASGI application of the whole origin; `decision` is what `/pay…` demands."""

    def __init__(self, world: World, decision: Challenge) -> None:
        self._world = world
        self.decision = decision
        self._pages = world.app()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and not scope["path"].startswith("/.extauthz/"):
            await (await self._application(Request(scope, receive)))(scope, receive, send)
        else:
            await self._pages(scope, receive, send)

    async def _application(self, request: Request) -> Response:
        path = request.url.path
        if not path.startswith(("/pay", "/away")):
            return PlainTextResponse(f"welcome to {path}")
        if not await self._is_proven(request):
            made = offer(
                self.decision,
                identity=alice(),
                request=view(
                    path=path,
                    raw_path=path,
                    raw_query=request.url.query,
                    authority=request.headers["host"],
                    headers={"cookie": tuple(request.headers.getlist("cookie"))},
                ),
                caller=Caller.NAVIGATION,
                keys=self._world.keys,
                now=self._world.now,
                entropy=self._world.entropy,
            )
            response = RedirectResponse(made.location, status_code=302)
            for cookie in made.cookies:
                response.headers.append("set-cookie", cookie)
            return response
        if path == "/away":
            return RedirectResponse(f"https://127.0.0.1:{request.url.port}/elsewhere", status_code=302)
        return PlainTextResponse(f"paid {path}?{request.url.query}")

    async def _is_proven(self, request: Request) -> bool:
        secret = read_secret(request.headers.getlist("cookie"), HOLDER_COOKIE)
        if secret is None:
            return False
        found = await self._world.store.look_up(ALICE, SESSION, fingerprint="", now=self._world.now)
        return any(grant.holder == holder_of_cookie(secret) for grant in found.grants)


@contextmanager
def serve(app: ASGIApp, folder: Path, *, port: int = 0) -> Iterator[int]:
    """Serve `app` over https on a free port of loopback, or on `port`, until the end of the block."""
    certificate, key = self_signed(folder)
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        ssl_version=ssl.PROTOCOL_TLS_SERVER,
        log_level="warning",
        lifespan="off",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    end = time.monotonic() + 10
    while not server.started and time.monotonic() < end:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.servers[0].get_loop().call_soon_threadsafe(_hang_up, server)
        thread.join(timeout=10)


def _hang_up(server: uvicorn.Server) -> None:
    """End it without the good-bye of TLS, which a browser that keeps connections open does not answer."""
    server.should_exit = True
    for connection in tuple(server.server_state.connections):
        connection.transport.abort()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A new certificate for loopback, and its key, as files in `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths
