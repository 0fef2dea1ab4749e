"""Whom a connection trusts and what it shows of itself: files of the operator, read again when they change.

The rule: what can't be used is told before anybody is asked, and nothing takes the place of what was named.
"""

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import httpx

from extauthz.errors import ConfigurationError, failure_of
from extauthz.files import open_file
from extauthz.lookup.peers import OwnCertificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """`ca` is the file with the authorities that are trusted, `None` for those of the system; `own` is shown to whoever
    wants to know who asks.
    """

    ca: Path | None = None
    own: OwnCertificate | None = None

    def state(self) -> object:
        """Another one for other files. Raises `ConfigurationError` for a file that can't be read."""
        own = () if self.own is None else (self.own.certificate, self.own.key)
        authorities = () if self.ca is None else (_state(self.ca, "authorities"),)
        return (*authorities, *(_state(path, "certificate that is shown") for path in own))

    def context(self) -> ssl.SSLContext:
        """What connections are made with. Raises `ConfigurationError` for files that can't be used."""
        context = usual_authorities() if self.ca is None else _trusting(self.ca)
        if self.own is not None:
            _show(context, self.own)
        return context

    def pems(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """The authorities, the certificate and the key. Raises `ConfigurationError` for files that can't be used."""
        self.context()
        own = self.own
        return (
            None if self.ca is None else _content(self.ca),
            None if own is None else _content(own.certificate),
            None if own is None else _content(own.key),
        )


def _state(path: Path, what: str) -> object:
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigurationError(f"{path}: can't read the {what}: {failure_of(error)}") from error
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _content(path: Path) -> bytes:
    try:
        with open_file(path) as stream:
            return stream.read()
    except OSError as error:
        raise ConfigurationError(f"{path}: can't read it: {failure_of(error)}") from error


def usual_authorities() -> ssl.SSLContext:
    """Those of the file that `SSL_CERT_FILE` names, else Mozilla's list.

    Raises:
        ConfigurationError: the file can't be used.
    """
    named = os.environ.get("SSL_CERT_FILE")
    if not named:
        return httpx.create_ssl_context()
    try:
        return _trusting(Path(named))
    except ConfigurationError as error:
        raise ConfigurationError(f"SSL_CERT_FILE: {error}") from error


def _trusting(ca: Path) -> ssl.SSLContext:
    try:
        with open_file(ca):
            return ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise ConfigurationError(f"{ca}: holds no certificates of authorities in PEM") from None
    except OSError as error:
        raise ConfigurationError(f"{ca}: can't read the authorities: {failure_of(error)}") from error


def _show(context: ssl.SSLContext, own: OwnCertificate) -> None:
    try:
        with open_file(own.certificate), open_file(own.key):
            # The password of a key that has one would be asked for on the terminal.
            context.load_cert_chain(own.certificate, own.key, password="")
    except ssl.SSLError:
        raise ConfigurationError(
            f"{own.certificate}: it and `{own.key}` are no certificate and its key, in PEM and without a password"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"{own.certificate}: can't read it or its key `{own.key}`: {failure_of(error)}"
        ) from error
