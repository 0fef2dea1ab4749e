"""TLS on an address where gRPC is served: the settings, whether they can be used, and when their files have changed.

The rule: which callers are let in is said by name. An authority that signs for others, too, says nothing of whom a
certificate was given to decide.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from extauthz.errors import ConfigurationError, failure_of
from extauthz.lookup.files import open_file
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
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

    def check(self) -> None:
        """Raise `ConfigurationError` if the files can't be used: what listens would say so late, or only to callers."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for path in self.files:
            try:
                open_file(path).close()
            except OSError as error:
                raise ConfigurationError(f"{self.setting}: can't read `{path}`: {failure_of(error)}") from error
        try:
            context.load_cert_chain(self.certificate, self.key)
        except ssl.SSLError as error:
            raise ConfigurationError(
                f"{self.setting}: `{self.certificate}` and `{self.key}` are no certificate and its key, in PEM"
            ) from error
        if self.authorities is not None:
            try:
                context.load_verify_locations(self.authorities)
            except ssl.SSLError as error:
                raise ConfigurationError(
                    f"{self.setting}: `{self.authorities}` holds no certificates in PEM"
                ) from error


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
