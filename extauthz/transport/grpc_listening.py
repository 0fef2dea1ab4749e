"""Where a `grpc` server listens, sync or of asyncio, and its certificate.

The rules: new files are taken when they are good, connection by connection; until then those before stay. And where
callers show a certificate, no session outlives its connection: who takes one up again shows none, and so would get in
after his has expired.
"""

import grpc
import structlog
from grpc import aio

from extauthz.errors import ConfigurationError
from extauthz.transport.tls import Tls
from extauthz.transport.unix_sockets import Sockets

_log = structlog.get_logger(__name__)


def listen(server: grpc.Server | aio.Server, address: str, *, key: str, tls: Tls | None, sockets: Sockets) -> str:
    """Let `server` listen on `address`, which `key` of the configuration names; the address with the port that it got.

    Raises:
        ConfigurationError: the address can't be listened on, or the certificate can't be used.
    """
    try:
        with sockets.around(address, key=key):  # gRPC would push a running server aside
            if tls is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, _credentials(tls))
    except (RuntimeError, OSError) as error:
        raise ConfigurationError(
            f"{key}: can't listen on `{address}`; is it in use, or not an address of this machine?"
        ) from error
    return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    """The server's credentials, which follow their files: they are looked at with each connection."""
    read, refused = tls.read(), ""

    def renew() -> grpc.ServerCertificateConfiguration | None:
        nonlocal read, refused
        before = read
        try:
            read = tls.read(before)
        except ConfigurationError as error:  # that of files which are being replaced is over soon
            if refused != str(error):
                refused = str(error)
                _log.error("certificate-refused", error=refused)
        else:
            refused = ""
        # gRPC can't be told to keep no sessions, but those of another configuration mean nothing to it.
        return None if read == before and tls.authorities is None else _configuration(read)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(read),
        renew,  # type: ignore[arg-type] # nothing is what it gives for nothing new; grpc says so in words only
        require_client_authentication=tls.authorities is not None,
    )


def _configuration(contents: tuple[bytes, ...]) -> grpc.ServerCertificateConfiguration:
    certificate, key, *authorities = contents
    return grpc.ssl_server_certificate_configuration(
        [(key, certificate)], root_certificates=authorities[0] if authorities else None
    )
