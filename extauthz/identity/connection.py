"""What is said of the other end of the connection, and what of it is proof.

The rule: Envoy's `source.principal` and its copy of the certificate are proof, headers are hearsay. A header may
repeat what is proven and must never contradict it; alone it counts only where the operator says that nobody but the
gateway can reach us.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from cryptography import x509

from extauthz.errors import IdentityConflict, InvalidCredential, MalformedRequest
from extauthz.identity import client_cert, spiffe, xfcc
from extauthz.identity.certificates import Leaf, NoCertificate, ders_of, read_certificate, read_leaf
from extauthz.identity.workload_config import WorkloadSettings
from extauthz.values.identity import Workload
from extauthz.values.quoting import given

_SHA256_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_SCHEME = "spiffe://"
_PRINCIPAL: Final = "source.principal"
_COPY: Final = "source.certificate"
_SPEAKERS: Final = (_PRINCIPAL, _COPY, client_cert.HEADER, xfcc.HEADER)
"""Who speaks of the connection; those whose word is proof come first."""
_VERIFIED_BY: Final = ("source_principal", "peer_certificate", "client_cert", "xfcc")
"""The sources that they are."""

Lines = Sequence[str] | None
"""All lines of a header, `None` without it."""


class Connection:
    """What the texts that speak of one connection come to.

    `workload` is who is proven to be there, `certificate` the SHA-256 of the certificate that is proven, in lower-case
    hex or empty. `named` is whom the sources in use name, proven or not. `copied` is Envoy's copy of the certificate,
    where that is in use; `presented` are all certificates whose time counts, and `intermediates` what may lead from
    them to an authority.
    """

    def __init__(
        self,
        workload: Workload | None,
        certificate: str,
        named: str,
        copied: Leaf | None,
        presented: tuple[Leaf, ...],
        intermediates: tuple[x509.Certificate, ...],
    ) -> None:
        self.workload: Final = workload
        self.certificate: Final = certificate
        self.named: Final = named
        self.copied: Final = copied
        self.presented: Final = presented
        self.intermediates: Final = intermediates

    def by(self, workload: Workload | None) -> "Connection":
        """The same with another workload."""
        return Connection(workload, self.certificate, self.named, self.copied, self.presented, self.intermediates)


class Establishing:
    """Tells what texts prove under these settings, which are looked at once."""

    def __init__(self, settings: WorkloadSettings) -> None:
        self._settings: Final = settings
        self._counts: Final = (True, True, settings.client_cert.without_principal, settings.xfcc.without_principal)
        self._reads_principal: Final = "source_principal" in settings.sources
        self._reads_copy: Final = "peer_certificate" in settings.sources
        self._only_element: Final = settings.xfcc.accept == "only"
        self._reads_chains: Final = bool(settings.peer_certificate.bundles)
        self._domains: Final = settings.trust_domains

    def establish(
        self, principal: str, certificate: str, forwarded: Lines, handed: Lines, handed_chain: Lines
    ) -> Connection:
        """What these texts prove together: Envoy's principal, its copy of the certificate, X-Forwarded-Client-Cert,
        Client-Cert and Client-Cert-Chain.

        Raises `MalformedRequest` for a header that is malformed or has two readings, `InvalidCredential` for a
        certificate that may not speak for a workload, and `IdentityConflict` where two disagree. Times are not looked
        at.
        """
        # 1. Read; nobody looks at a header before it has one reading.
        element = None if forwarded is None else self._deciding(forwarded)
        copied = _copied(certificate) if certificate and self._reads_copy else None
        own, behind = _handed(handed, handed_chain)
        # 2. Whatever speaks of one connection must agree, whatever of it is proof.
        leaves = tuple([leaf for leaf in (copied, own) if leaf is not None])
        names = [
            principal,
            "" if copied is None else copied.name,
            "" if own is None else own.name,
            "" if element is None else _uri(element),
        ]
        _agree(names)
        _agree_without_a_name(names, leaves)
        hashes = [
            "",
            _fingerprint(certificate) if copied is None else copied.fingerprint,
            "" if own is None else own.fingerprint,
            "" if element is None else _hash(element),
        ]
        _agree(hashes)
        # 3. The proof, and what only the operator's word makes one. That a header names the principal proves its name,
        #    not its hash: under ALWAYS_FORWARD_ONLY a client writes both.
        if not self._reads_principal:
            names[0] = ""
        proven = self._first(hashes)
        return Connection(
            self._workload(names),
            "" if proven < 0 else hashes[proven],
            _any_of(names),
            copied,
            leaves,
            _intermediates(element, behind) if self._reads_chains else (),
        )

    def _first(self, told: list[str]) -> int:
        """The number of the first who says anything and whose word is proof, or -1."""
        for number, text in enumerate(told):
            if text and self._counts[number]:
                return number
        return -1

    def _workload(self, names: list[str]) -> Workload | None:
        proven = self._first(names)
        if proven < 0:
            return None
        workload = spiffe.parse(names[proven], verified_by=_VERIFIED_BY[proven])
        # An ID of a trust domain that is not ours is as good as none.
        domains = self._domains
        return None if workload is None or (domains is not None and workload.trust_domain not in domains) else workload

    def _deciding(self, lines: Sequence[str]) -> xfcc.Element:
        """The element of the immediate peer; the earlier ones are what that peer says of others."""
        if len(lines) != 1:
            raise MalformedRequest(f"{xfcc.HEADER}: sent {len(lines)} times")
        elements = xfcc.parse(lines[0])
        if self._only_element and len(elements) != 1:
            raise MalformedRequest(f"{xfcc.HEADER}: {len(elements)} elements where one is accepted")
        return elements[-1]


def _any_of(names: list[str]) -> str:
    """The first of them that is not empty."""
    for name in names:
        if name:
            return name
    return ""


def _agree(told: list[str]) -> None:
    """Refuse two of `_SPEAKERS` who say something else."""
    source, text = "", ""
    for number, said in enumerate(told):
        if not said:
            continue
        if not text:
            source, text = _SPEAKERS[number], said
        elif said != text:
            raise IdentityConflict(f"{_SPEAKERS[number]}: {given(said)} is not {source} {given(text)}")


def _agree_without_a_name(names: list[str], leaves: tuple[Leaf, ...]) -> None:
    """A certificate without a SPIFFE ID is not that of whoever is called by one."""
    for leaf in leaves:
        if not leaf.name:
            for text in names:
                if text.startswith(_SCHEME):
                    raise IdentityConflict(f"the certificate does not have the name {given(text)}")


def _copied(certificate: str) -> Leaf:
    try:
        (der,) = ders_of(certificate)
        return read_leaf(der)
    except (NoCertificate, ValueError) as error:
        raise InvalidCredential(f"{_COPY}: {error}") from None


def _fingerprint(certificate: str) -> str:
    """Of what is not in use as a source: what can't be read is nothing that anybody holds."""
    if not certificate:
        return ""
    try:
        (der,) = ders_of(certificate)
    except (NoCertificate, ValueError):
        return ""
    return sha256(der).hexdigest()


def _handed(certificate: Lines, chain: Lines) -> tuple[Leaf | None, tuple[bytes, ...]]:
    found = client_cert.read(certificate, chain)
    if found is None:
        return None, ()
    der, behind = found
    try:
        return read_leaf(der), behind
    except NoCertificate as error:
        raise MalformedRequest(f"{client_cert.HEADER}: {error}") from None


def _intermediates(element: xfcc.Element | None, behind: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    """Whatever came along that may lead to an authority; that it does is checked, so that anybody may have sent it."""
    try:
        forwarded = ders_of(element.chain) if element is not None and element.chain else ()
        if len(forwarded) > client_cert.MAX_CHAIN:
            raise MalformedRequest(f"{xfcc.HEADER}: more than {client_cert.MAX_CHAIN} certificates in a chain")
        return tuple(read_certificate(der) for der in (*behind, *forwarded))
    except NoCertificate as error:
        raise MalformedRequest(f"the chain of the certificate: {error}") from None


def _uri(element: xfcc.Element) -> str:
    # X509-SVID section 2: exactly one URI, and a certificate with more must be rejected.
    if len(element.uri) > 1:
        raise MalformedRequest(f"{xfcc.HEADER}: {len(element.uri)} URIs in one certificate")
    return element.uri[0] if element.uri else ""


def _hash(element: xfcc.Element) -> str:
    if element.hash and _SHA256_HEX.fullmatch(element.hash) is None:
        raise MalformedRequest(f"{xfcc.HEADER}: {given(element.hash)} is no SHA-256 in hex")
    return element.hash.lower()
