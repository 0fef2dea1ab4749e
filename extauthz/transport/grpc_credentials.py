"""The certificate of a `grpc` server, sync or of asyncio.

The rule: new files are taken when they are good, connection by connection; until then those before stay.
"""

from pathlib import Path

import grpc
import structlog

from extauthz.errors import ConfigurationError
from extauthz.lookup.files import open_file
from extauthz.transport.tls import Tls

_log = structlog.get_logger(__name__)


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """The server's credentials, which follow their files: they are looked at with each connection."""
    read = _contents(tls)

    def renew() -> grpc.ServerCertificateConfiguration | None:
        nonlocal read
        try:
            found = _contents(tls)
        except OSError:  # they are being replaced
            return None
        if found == read:
            return None
        try:
            tls.check()
        except ConfigurationError as error:
            _log.error("certificate-refused", error=str(error))
            return None
        read = found
        return _configuration(found)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(read),
        renew,  # type: ignore[arg-type] # nothing is what it gives for nothing new; grpc says so in words only
        require_client_authentication=tls.authorities is not None,
    )


def _contents(tls: Tls) -> tuple[bytes, ...]:
    return tuple(_content(path) for path in tls.files)


def _content(path: Path) -> bytes:
    with open_file(path) as stream:
        return stream.read()


def _configuration(contents: tuple[bytes, ...]) -> grpc.ServerCertificateConfiguration:
    certificate, key, *authorities = contents
    return grpc.ssl_server_certificate_configuration(
        [(key, certificate)], root_certificates=authorities[0] if authorities else None
    )
