"""The workload at the other end of the connection, and the certificate that it holds.

The rule: Envoy's `source.principal` is proof, X-Forwarded-Client-Cert is hearsay. The header may repeat the principal
and must never contradict it; alone it counts only where the operator says that nobody but the gateway can reach us.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from urllib.parse import unquote

from extauthz.errors import IdentityConflict, MalformedRequest
from extauthz.identity import spiffe, xfcc
from extauthz.identity.workload_config import WorkloadSettings
from extauthz.values.identity import Workload
from extauthz.values.quoting import given
from extauthz.values.request import RequestView

CACHED_PEERS = 1024
MAX_CACHED_LENGTH = 8192

_SHA256_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]++)-----END CERTIFICATE-----\s*+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerIdentity:
    """What the connection proves: the workload, and the SHA-256 of its certificate in lower-case hex or empty."""

    workload: Workload | None = None
    certificate: str = ""


NOBODY = PeerIdentity()


def reader(settings: WorkloadSettings) -> Callable[[RequestView], PeerIdentity]:
    """A function that reads the peer of a request; it keeps a bounded cache keyed by the texts that it reads.

    The function raises `MalformedRequest` for a certificate header that is malformed or has two readings, and
    `IdentityConflict` where two sources disagree.
    """
    reads_header = "xfcc" in settings.sources and settings.xfcc.accept != "none"

    @lru_cache(maxsize=CACHED_PEERS)
    def cached(principal: str, certificate: str, header: str | None) -> PeerIdentity:
        return establish(settings, principal=principal, certificate=certificate, header=header)

    def read(request: RequestView) -> PeerIdentity:
        source = request.source
        header: str | None = None
        if reads_header and request.http is not None:
            values = request.http.headers.get(xfcc.HEADER)
            if values is not None:
                if len(values) != 1:
                    raise MalformedRequest(f"{xfcc.HEADER}: sent {len(values)} times")
                header = values[0]
        if header is None and not source.principal and not source.certificate:
            return NOBODY
        # A cache of bounded count must also be one of bounded bytes.
        if len(source.certificate) + len(header or "") > MAX_CACHED_LENGTH:
            return establish(settings, principal=source.principal, certificate=source.certificate, header=header)
        return cached(source.principal, source.certificate, header)

    return read


def establish(settings: WorkloadSettings, *, principal: str, certificate: str, header: str | None) -> PeerIdentity:
    """What these texts prove together: Envoy's principal, its copy of the certificate, the header (or `None`)."""
    # 1. Read the header; nobody looks at it before it has one reading.
    element = None if header is None else _deciding(settings, xfcc.parse(header))
    # 2. Two sources that speak of one connection must agree, whatever each of them proves.
    claimed = "" if element is None else _uri(element)
    if principal and claimed and principal != claimed:
        raise IdentityConflict(f"{xfcc.HEADER}: {given(claimed)} is not source.principal {given(principal)}")
    thumbprint = _thumbprint(certificate)
    claimed_hash = "" if element is None else _hash(element)
    if thumbprint and claimed_hash and thumbprint != claimed_hash:
        raise IdentityConflict(f"{xfcc.HEADER}: hash {given(claimed_hash)} is not that of source.certificate")
    # 3. The proof, and what only the operator's word makes one. That the header names the principal proves its name,
    #    not its hash: under ALWAYS_FORWARD_ONLY a client writes both.
    workload = None
    if principal and "source_principal" in settings.sources:
        workload = spiffe.parse(principal, verified_by="source_principal")
    elif claimed and settings.xfcc.without_principal:
        workload = spiffe.parse(claimed, verified_by="xfcc")
    if not thumbprint and settings.xfcc.without_principal:
        thumbprint = claimed_hash
    # 4. An ID of a trust domain that is not ours is as good as none.
    domains = settings.trust_domains
    if workload is not None and domains is not None and workload.trust_domain not in domains:
        workload = None
    return PeerIdentity(workload=workload, certificate=thumbprint)


def _deciding(settings: WorkloadSettings, elements: tuple[xfcc.Element, ...]) -> xfcc.Element:
    """The element of the immediate peer; the earlier ones are what that peer says of others."""
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


def _thumbprint(certificate: str) -> str:
    """SHA-256 over the DER of a URL-encoded PEM certificate; empty if it is none."""
    match = _PEM.fullmatch(unquote(certificate)) if certificate else None
    if match is None:
        return ""
    try:
        return sha256(b64decode("".join(match[1].split()), validate=True)).hexdigest()
    except binascii.Error:
        return ""
