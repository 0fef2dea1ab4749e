"""TLS on an address where gRPC is served: the settings, whether they can be used, and when their files have changed.

The rule: which callers are let in is said by name. An authority that signs for others, too, says nothing of whom a
certificate was given to decide.
"""

import ssl
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from typing import Annotated

import msgspec
from pydantic import AfterValidator, Field

from extauthz.errors import ConfigurationError, failure_of
from extauthz.files import open_file
from extauthz.transport.callers import Callers, caller_name
from extauthz.values.block import Block, distinct
from extauthz.values.secret import SecretFile

_Name = Annotated[str, AfterValidator(caller_name)]


class CallerSettings(Block):
    """Who may call: whoever has a certificate of these authorities with one of these names."""

    authorities: Path
    """The file with the certificates of the authorities that sign for callers, in PEM."""
    names: Annotated[tuple[_Name, ...], Field(min_length=1), AfterValidator(distinct)]
    """The URI or DNS names of which a caller's certificate must have one; a SPIFFE ID may be a pattern. All others that
    the authorities sign for are refused."""


class TlsSettings(Block):
    """TLS on an address where gRPC is served."""

    certificate: Path
    """The file with the server's certificate and its chain, in PEM. It is read again when it changes."""
    key: SecretFile
    """The file with the key of the certificate, in PEM, for the server's user alone. Replace it before the certificate.
    """
    callers: CallerSettings | None = None
    """Who may call. Without it anybody who reaches the address may ask, over TLS."""


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """As `TlsSettings`, with paths that start from nowhere else. Without `authorities` there are no `names`.

    `setting` is the key of extauthz.yaml that messages name.
    """

    setting: str
    certificate: Path
    key: Path
    authorities: Path | None
    names: frozenset[str]

    @property
    def files(self) -> tuple[Path, ...]:
        """All of its files."""
        return (self.certificate, self.key, *(() if self.authorities is None else (self.authorities,)))

    @property
    def callers(self) -> Callers | None:
        """Who may call, which counts those who may not; `None` if everybody may."""
        return Callers(self.names, setting=self.setting) if self.names else None

    def read(self, known: tuple[bytes, ...] | None = None) -> tuple[bytes, ...]:
        """What is in `files`, each opened once; those that are `known` are not looked at again.

        Raises:
            ConfigurationError: they can't be used: what listens would say so late, or only to callers.
        """
        with ExitStack() as opened:
            streams = [opened.enter_context(self._opened(path)) for path in self.files]
            try:
                contents = tuple([stream.read() for stream in streams])
            except OSError as error:
                raise ConfigurationError(f"{self.setting}: a file can't be read: {failure_of(error)}") from error
            if contents != known:
                certificate, key, *_ = streams
                self._check(certificate, key, *contents[2:])
        return contents

    def _opened(self, path: Path) -> BufferedReader:
        try:
            return open_file(path)
        except OSError as error:
            raise ConfigurationError(f"{self.setting}: can't read `{path}`: {failure_of(error)}") from error

    def _check(self, certificate: BufferedReader, key: BufferedReader, authorities: bytes | None = None) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.seek(0)
        key.seek(0)
        try:
            # By what is open: another file, or a pipe, may have taken the place of either. And nobody is there who
            # could be asked for a password.
            context.load_cert_chain(_again(certificate), _again(key), password=lambda: "")
        except OSError as error:  # of TLS, or of the system
            raise ConfigurationError(
                f"{self.setting}: `{self.certificate}` and `{self.key}` are no certificate and its key, in PEM and"
                " without a password"
            ) from error
        if authorities is not None:
            try:
                context.load_verify_locations(cadata=authorities.decode("ascii", "ignore"))
            except (ssl.SSLError, ValueError) as error:
                raise ConfigurationError(
                    f"{self.setting}: `{self.authorities}` holds no certificates in PEM"
                ) from error


def _again(stream: BufferedReader) -> str:
    """A path to what is open already."""
    return f"/dev/fd/{stream.fileno()}"


def tls_of(settings: TlsSettings, *, setting: str, base: Path) -> Tls:
    """The settings, which are under this key, with their paths; relative ones start from `base`."""
    callers = settings.callers
    return Tls(
        setting=setting,
        certificate=base / settings.certificate,
        key=base / settings.key,
        authorities=None if callers is None else base / callers.authorities,
        names=frozenset(() if callers is None else callers.names),
    )
