"""A certificate authority of a trust domain, that can also issue what no honest one would."""

import datetime as dt
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from identity.issuer import NOW

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True)
class Usage:
    """The key usage that matters here."""

    digital_signature: bool = True
    key_cert_sign: bool = False
    crl_sign: bool = False

    @property
    def extension(self) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=self.digital_signature,
            content_commitment=False,
            key_encipherment=not self.digital_signature,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=self.key_cert_sign,
            crl_sign=self.crl_sign,
            encipher_only=False,
            decipher_only=False,
        )


LEAF = Usage()
SIGNING = Usage(digital_signature=False, key_cert_sign=True, crl_sign=True)


@dataclass(frozen=True)
class SigningAuthority:
    """A CA, or one below another."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    def leaf(
        self,
        *uris: str,
        dns: Sequence[str] = (),
        ca: bool | None = False,
        usage: Usage | None = LEAF,
        purposes: Sequence[x509.ObjectIdentifier] | None = (SERVER, CLIENT),
        starts: float = NOW - 60,
        ends: float = NOW + 3600,
    ) -> x509.Certificate:
        """A certificate with these URI and DNS names; `None` leaves an extension out."""
        builder = _builder("leaf", self.certificate.subject, starts=starts, ends=ends)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = builder.public_key(key.public_key())
        names: list[x509.GeneralName] = [
            *map(x509.UniformResourceIdentifier, uris),
            *map(x509.DNSName, dns),
        ]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if usage is not None:
            builder = builder.add_extension(usage.extension, critical=True)
        if purposes is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(purposes)), critical=False)
        return self._sign(builder)

    def below(self, *, ends: float = NOW + 86400) -> "SigningAuthority":
        """A CA that this one has certified."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _ca("intermediate", self.certificate.subject, key, ends=ends)
        return SigningAuthority(self._sign(builder), key)

    def _sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return builder.add_extension(identifier, critical=False).sign(self.key, hashes.SHA256())


def root(name: str = "root", *, ends: float = NOW + 86400) -> SigningAuthority:
    """A new CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return SigningAuthority(_ca(name, subject, key, ends=ends).sign(key, hashes.SHA256()), key)


def pem(*certificates: x509.Certificate) -> str:
    """PEM text."""
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


def copied(*certificates: x509.Certificate) -> str:
    """URL-encoded PEM, as Envoy copies it."""
    return quote(pem(*certificates), safe="")


def handed(certificate: x509.Certificate) -> str:
    """The byte sequence of RFC 9440."""
    return f":{b64encode(certificate.public_bytes(Encoding.DER)).decode()}:"


def fingerprint(certificate: x509.Certificate) -> str:
    """The SHA-256 in hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def _ca(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, ends: float) -> x509.CertificateBuilder:
    return (
        _builder(name, issuer, starts=NOW - 86400, ends=ends)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(SIGNING.extension, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _builder(name: str, issuer: x509.Name, *, starts: float, ends: float) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime.fromtimestamp(starts, dt.UTC))
        .not_valid_after(dt.datetime.fromtimestamp(ends, dt.UTC))
    )
