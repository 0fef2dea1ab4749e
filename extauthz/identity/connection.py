"""What is said of the other end of the connection, and what of it is proof.

The rule: Envoy's `source.principal` and its copy of the certificate are proof, headers are hearsay. A header may
repeat what is proven and must never contradict it; alone it counts only where the operator says that nobody but the
gateway can reach us.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
_VERIFIED_BY: Final[Mapping[str, str]] = {
    _PRINCIPAL: "source_principal",
    _COPY: "peer_certificate",
    client_cert.HEADER: "client_cert",
    xfcc.HEADER: "xfcc",
}
"""Who speaks of the connection, and the source that this is; those whose word is proof come first."""

Lines = Sequence[str] | None
"""All lines of a header, `None` without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """What the texts that speak of one connection come to.

    `workload` is who is proven to be there, `certificate` the SHA-256 of the certificate that is proven, in lower-case
    hex or empty. `named` is whom the sources in use name, proven or not. `copied` is Envoy's copy of the certificate,
    where that is in use; `presented` are all certificates whose time counts, and `intermediates` what may lead from
    them to an authority.
    """

    workload: Workload | None = None
    certificate: str = ""
    named: str = ""
    copied: Leaf | None = None
    presented: tuple[Leaf, ...] = ()
    intermediates: tuple[x509.Certificate, ...] = ()


def establish(
    settings: WorkloadSettings,
    *,
    principal: str = "",
    certificate: str = "",
    forwarded: Lines = None,
    handed: Lines = None,
    handed_chain: Lines = None,
) -> Connection:
    """What these texts prove together: Envoy's principal, its copy of the certificate, X-Forwarded-Client-Cert,
    Client-Cert and Client-Cert-Chain.

    Raises `MalformedRequest` for a header that is malformed or has two readings, `InvalidCredential` for a certificate
    that may not speak for a workload, and `IdentityConflict` where two disagree. Times are not looked at.
    """
    # 1. Read; nobody looks at a header before it has one reading.
    element = None if forwarded is None else _deciding(settings, forwarded)
    copied = _copied(certificate) if certificate and "peer_certificate" in settings.sources else None
    own, behind = _handed(handed, handed_chain)
    # 2. Whatever speaks of one connection must agree, whatever of it is proof.
    leaves = tuple(leaf for leaf in (copied, own) if leaf is not None)
    names = {
        _PRINCIPAL: principal,
        _COPY: "" if copied is None else copied.name,
        client_cert.HEADER: "" if own is None else own.name,
        xfcc.HEADER: "" if element is None else _uri(element),
    }
    _agree(names)
    _agree_without_a_name(names, leaves)
    hashes = {
        _COPY: _fingerprint(certificate) if copied is None else copied.fingerprint,
        client_cert.HEADER: "" if own is None else own.fingerprint,
        xfcc.HEADER: "" if element is None else _hash(element),
    }
    _agree(hashes)
    # 3. The proof, and what only the operator's word makes one. That a header names the principal proves its name,
    #    not its hash: under ALWAYS_FORWARD_ONLY a client writes both.
    if "source_principal" not in settings.sources:
        del names[_PRINCIPAL]
    return Connection(
        workload=_workload(settings, _first(settings, names)),
        certificate=_first(settings, hashes)[1],
        named=next(filter(None, names.values()), ""),
        copied=copied,
        presented=leaves,
        intermediates=_intermediates(element, behind) if settings.peer_certificate.bundles else (),
    )


def _first(settings: WorkloadSettings, told: Mapping[str, str]) -> tuple[str, str]:
    """What is said and who says it, by the first whose word is proof."""
    hearsay = {
        client_cert.HEADER: settings.client_cert.without_principal,
        xfcc.HEADER: settings.xfcc.without_principal,
    }
    return next(((source, text) for source, text in told.items() if text and hearsay.get(source, True)), ("", ""))


def _workload(settings: WorkloadSettings, proven: tuple[str, str]) -> Workload | None:
    source, name = proven
    if not name:
        return None
    workload = spiffe.parse(name, verified_by=_VERIFIED_BY[source])
    # An ID of a trust domain that is not ours is as good as none.
    domains = settings.trust_domains
    return None if workload is None or (domains is not None and workload.trust_domain not in domains) else workload


def _agree(told: Mapping[str, str]) -> None:
    (source, text), *others = [*((source, text) for source, text in told.items() if text), ("", "")]
    for other, said in others:
        if said and said != text:
            raise IdentityConflict(f"{other}: {given(said)} is not {source} {given(text)}")


def _agree_without_a_name(names: Mapping[str, str], leaves: Sequence[Leaf]) -> None:
    """A certificate without a SPIFFE ID is not that of whoever is called by one."""
    named = next((text for text in names.values() if text.startswith(_SCHEME)), "")
    if named and not all(leaf.name for leaf in leaves):
        raise IdentityConflict(f"the certificate does not have the name {given(named)}")


def _copied(certificate: str) -> Leaf:
    try:
        (der,) = ders_of(certificate)
        return read_leaf(der)
    except (NoCertificate, ValueError) as error:
        raise InvalidCredential(f"{_COPY}: {error}") from None


def _fingerprint(certificate: str) -> str:
    """Of what is not in use as a source: what can't be read is nothing that anybody holds."""
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


def _deciding(settings: WorkloadSettings, lines: Sequence[str]) -> xfcc.Element:
    """The element of the immediate peer; the earlier ones are what that peer says of others."""
    if len(lines) != 1:
        raise MalformedRequest(f"{xfcc.HEADER}: sent {len(lines)} times")
    elements = xfcc.parse(lines[0])
    if settings.xfcc.accept == "only" and len(elements) != 1:
        raise MalformedRequest(f"{xfcc.HEADER}: {len(elements)} elements where one is accepted")
    return elements[-1]


def _uri(element: xfcc.Element) -> str:
    # X509-SVID section 2: exactly one URI, and a certificate with more must be rejected.
    if len(element.uri) > 1:
        raise MalformedRequest(f"{xfcc.HEADER}: {len(element.uri)} URIs in one certificate")
    return element.uri[0] if element.uri else ""


def _hash(element: xfcc.Element) -> str:
    if element.hash and _SHA256_HEX.fullmatch(element.hash) is None:
        raise MalformedRequest(f"{xfcc.HEADER}: {given(element.hash)} is no SHA-256 in hex")
    return element.hash.lower()
