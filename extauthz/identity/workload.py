"""The workload of a request: by its connection, by the tokens that it carries, or by both.

The rule: every source that is in use and names anybody names the same workload, or the Check ends here. So no header
changes whom a certificate proves, and two that disagree are nobody.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Final, Self

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256

from extauthz.errors import IdentityConflict
from extauthz.identity import client_cert, xfcc
from extauthz.identity.authorities import Authorities
from extauthz.identity.certificates import Validity
from extauthz.identity.connection import Connection, Establishing, Lines
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import NO_ANSWERS, Answers, Lookup
from extauthz.identity.remembered import Remembered
from extauthz.identity.returning import fit
from extauthz.identity.workload_config import WorkloadSettings
from extauthz.identity.workload_tokens import WorkloadTokens
from extauthz.values.identity import Credential, Workload
from extauthz.values.quoting import given
from extauthz.values.request import RequestView, empty

CACHED_PEERS: Final = 4096
MAX_CACHED: Final = 8192
"""Bytes of the texts of one connection: a character may take four."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadFiles:
    """What the files beside the key sets say that `WorkloadSettings` names.

    `authorities` are PEM or SPIFFE bundles by trust domain, `attributes` what the platform knows of a workload, by
    SPIFFE ID.
    """

    authorities: Mapping[str, str] = field(default_factory=empty)
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=empty)


NO_FILES: Final = WorkloadFiles()


class Found(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Who is there, as far as it is known. One is the same as another only if it is that one, like `Presented`.

    `certificate` is the SHA-256 of the certificate that the connection proves, in lower-case hex or empty. `lookups`
    are what must be known before there is a `workload`. `credentials` are its tokens. `takes_bearer`: the bearer
    credential is a workload's. `lasts`: the same texts prove the same at any time.
    """

    workload: Workload | None = None
    credentials: tuple[Credential, ...] = ()
    certificate: str = ""
    lookups: tuple[Lookup, ...] = ()
    takes_bearer: bool = False
    lasts: bool = False


NOBODY: Final = Found(lasts=True)


class Workloads:
    """Finds the workloads of requests under one configuration; may be shared by threads.

    What is found of a connection is remembered by the texts that speak of it, within bounds; times are looked at on
    every request. `jwks` and `users_read_bearer` are as in `WorkloadTokens`. Raises `ConfigurationError` for files that
    can't be used.
    """

    def __init__(
        self,
        settings: WorkloadSettings,
        jwks: Mapping[str, str],
        files: WorkloadFiles = NO_FILES,
        *,
        users_read_bearer: bool = False,
    ) -> None:
        self._authorities = Authorities(files.authorities)
        self._attributes = files.attributes
        self._verified: Remembered[tuple[str, tuple[bytes, ...]], Validity] = Remembered(CACHED_PEERS)
        self._tokens = WorkloadTokens(settings, jwks, users_read_bearer=users_read_bearer)
        self._reads_xfcc = "xfcc" in settings.sources and settings.xfcc.accept != "none"
        self._reads_client_cert = "client_cert" in settings.sources
        self.reads_tokens = bool(settings.keys) or "kubernetes" in settings.sources
        """Whether tokens name workloads."""
        self.headers = (
            *((xfcc.HEADER,) if self._reads_xfcc else ()),
            *((client_cert.HEADER, client_cert.CHAIN_HEADER) if self._reads_client_cert else ()),
        )
        """The headers that speak of the connection, as far as they are read."""
        self._settings = settings
        # Not a method: whoever is replaced has to go without the garbage collector, which finds no frozen circles.
        self._establish = partial(_establish, Establishing(settings), files.attributes)
        self._cached = lru_cache(maxsize=CACHED_PEERS)(self._establish)

    def with_keys(self, name: str, keys: KeySet) -> Self:
        """The same with these keys for the source `name`."""
        renewed = copy(self)
        renewed._tokens = self._tokens.with_keys(name, keys)
        return renewed

    def read(self, request: RequestView, *, now: float, answers: Answers = NO_ANSWERS) -> Found:
        """The workload of `request` at `now` (seconds since the epoch), or what must be known before.

        Raises `MalformedRequest` for a credential that is malformed or has two readings, `InvalidCredential` for one
        that does not hold, `IdentityConflict` where two disagree, `IssuerUnavailable` where somebody who must be asked
        does not answer.
        """
        connection, alone = self._connection(request, now)
        if not self.reads_tokens or request.http is None:
            return alone
        presented = self._tokens.read(request.http, now=now, answers=answers)
        by_token, named = presented.workload, "" if connection is None else connection.named
        if by_token is not None and named and by_token.id != named:
            raise IdentityConflict(f"token: {given(by_token.id)} is not {given(named)}, as the connection says")
        workload = None if connection is None else connection.workload
        return Found(
            workload=_described(by_token, self._attributes) if workload is None else workload,
            credentials=presented.credentials,
            certificate="" if connection is None else connection.certificate,
            lookups=presented.lookups,
            takes_bearer=presented.takes_bearer,
        )

    def _connection(self, request: RequestView, now: float) -> tuple[Connection | None, Found]:
        """What speaks of the connection, and what that proves without a token."""
        source, http = request.source, request.http
        forwarded = handed = behind = None
        if http is not None:
            if self._reads_xfcc:
                forwarded = http.headers.get(xfcc.HEADER)
            if self._reads_client_cert:
                handed = http.headers.get(client_cert.HEADER)
                behind = http.headers.get(client_cert.CHAIN_HEADER)
        principal, certificate = source.principal, source.certificate
        if not principal and not certificate and forwarded is handed is behind is None:
            return None, NOBODY
        # A memory of bounded count must also be one of bounded bytes.
        sent = (principal, certificate, *(forwarded or ()), *(handed or ()), *(behind or ()))
        established = self._cached if fit(sent, MAX_CACHED) else self._establish
        connection, alone = established(principal, certificate, forwarded, handed, behind)
        if connection.presented:
            in_force = self._in_force(connection, now)
            if in_force is not connection:
                return in_force, _alone(in_force)
        return connection, alone

    def _in_force(self, connection: Connection, now: float) -> Connection:
        """The connection, if its certificates count at `now` and come from an authority where that is asked for."""
        for leaf in connection.presented:
            leaf.check(now)
        copied, workload = connection.copied, connection.workload
        if copied is None or workload is None or not self._settings.peer_certificate.bundles:
            return connection
        domain = workload.trust_domain
        if domain not in self._authorities:  # as good as one that is not listed
            return connection.by(None)
        chain = tuple(certificate.fingerprint(SHA256()) for certificate in connection.intermediates)
        key = (copied.fingerprint, chain)
        validity = self._verified.get(key)
        if validity is None or not validity.covers(now):
            validity = self._authorities.verify(copied, domain, connection.intermediates, now=now)
            self._verified.put(key, validity)
        return connection


def _establish(
    establishing: Establishing,
    attributes: Mapping[str, Mapping[str, str]],
    principal: str,
    certificate: str,
    forwarded: Lines,
    handed: Lines,
    behind: Lines,
) -> tuple[Connection, Found]:
    connection = establishing.establish(principal, certificate, forwarded, handed, behind)
    if connection.workload is not None and connection.workload.id in attributes:
        connection = connection.by(_described(connection.workload, attributes))
    return connection, _alone(connection)


def _described(workload: Workload | None, attributes: Mapping[str, Mapping[str, str]]) -> Workload | None:
    """The workload with what the platform knows of it."""
    known = None if workload is None else attributes.get(workload.id)
    return workload if workload is None or known is None else msgspec.structs.replace(workload, attributes=known)


def _alone(connection: Connection) -> Found:
    lasts = not connection.presented  # certificates don't
    return Found(workload=connection.workload, certificate=connection.certificate, lasts=lasts)
