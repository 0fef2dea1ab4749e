"""X.509-SVIDs: certificates that name a workload (SPIFFE X509-SVID sections 2 to 5).

The rule: a certificate with a `spiffe://` name keeps every rule for a leaf, or it is refused; it never becomes a
certificate of some other kind. Whether somebody holds its key, and who signed it, is not decided here.
"""

import re
from base64 import b64decode
from hashlib import sha256
from urllib.parse import unquote

import msgspec
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from extauthz.errors import InvalidCredential

_SCHEME = "spiffe://"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]++)-----END CERTIFICATE-----\s*+")
_ALL_PEM = re.compile(rf"(?:{_PEM.pattern})++")


class NoCertificate(Exception):
    """This is no certificate that can be read; the message says why."""


class Validity(msgspec.Struct, frozen=True, kw_only=True):
    """When a certificate counts: seconds since the epoch, both included (RFC 5280 section 4.1.2.5)."""

    starts: float
    ends: float

    def covers(self, now: float) -> bool:
        """Whether it counts at `now`."""
        return self.starts <= now <= self.ends


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate says of its holder.

    `name` is its URI name if it has exactly one, else empty; `fingerprint` the SHA-256 over its DER in lower-case hex.
    """

    name: str
    fingerprint: str
    validity: Validity
    certificate: x509.Certificate

    def check(self, now: float) -> None:
        """Raise `InvalidCredential` unless it counts at `now`."""
        if not self.validity.covers(now):
            raise InvalidCredential("certificate: its time is over, or has not come yet")


def read_leaf(der: bytes) -> Leaf:
    """The certificate of a caller in `der`.

    Raises `NoCertificate` for what is none, and `InvalidCredential` for one with a SPIFFE ID that may not speak for a
    workload. One without a SPIFFE ID is none of ours to judge.
    """
    certificate = read_certificate(der)
    try:
        extensions = certificate.extensions
        names = _uri_names(extensions)
        starts, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise NoCertificate(f"contents that can't be read: {type(error).__name__}") from None
    if any(name[: len(_SCHEME)].lower() == _SCHEME for name in names):
        _check_svid(names, extensions)
    return Leaf(
        name=names[0] if len(names) == 1 else "",
        fingerprint=sha256(der).hexdigest(),
        validity=Validity(starts=starts.timestamp(), ends=ends.timestamp()),
        certificate=certificate,
    )


def read_certificate(der: bytes) -> x509.Certificate:
    """Any certificate. Raises `NoCertificate`."""
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, TypeError, x509.InvalidVersion):
        raise NoCertificate("not a certificate") from None


def ders_of(text: str) -> tuple[bytes, ...]:
    """The DER of each certificate in URL-encoded PEM, as Envoy copies them. Raises `NoCertificate`; linear."""
    pem = unquote(text)
    if not text or _ALL_PEM.fullmatch(pem) is None:
        raise NoCertificate("no certificate in URL-encoded PEM")
    try:
        return tuple(b64decode("".join(body.split()), validate=True) for body in _PEM.findall(pem))
    except ValueError:
        raise NoCertificate("no certificate in URL-encoded PEM") from None


def _uri_names(extensions: x509.Extensions) -> list[str]:
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _check_svid(names: list[str], extensions: x509.Extensions) -> None:
    # X509-SVID sections 2 and 5.2.
    if len(names) != 1:
        raise InvalidCredential(f"certificate: {len(names)} URI names; an X.509-SVID has exactly one")
    # Sections 4.1 and 5.2; without the extension a certificate is no CA (RFC 5280 section 4.2.1.9).
    if _is_ca(extensions):
        raise InvalidCredential("certificate: is that of a CA, which signs and does not call")
    # Sections 4.3 and 5.2.
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        raise InvalidCredential("certificate: no key usage; an X.509-SVID says `digitalSignature`") from None
    if not usage.digital_signature or usage.key_cert_sign or usage.crl_sign:
        raise InvalidCredential("certificate: its key usage is not that of a leaf")
    # Section 4.4.
    try:
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    if ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
        raise InvalidCredential("certificate: its extended key usage is not that of a client")


def _is_ca(extensions: x509.Extensions) -> bool:
    try:
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
