"""A throw-away certificate authority: a server certificate for localhost, and SVIDs for workloads.

Rule kept here: a private key is written with mode 0600 before a byte of it is, and every SVID has exactly one URI SAN
(X509-SVID section 2).
"""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY = timedelta(days=7)
CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its private key, both PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A CA whose certificate stands in `certificate`; its private key stays in memory."""

    certificate: Path
    now: datetime
    signer: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def issue(
        self,
        path: Path,
        *,
        common_name: str,
        uris: Sequence[str] = (),
        dns: Sequence[str] = (),
        addresses: Sequence[str] = (),
    ) -> Pair:
        """Write `<path>.pem` and `<path>.key` for a leaf with these subject alternative names."""
        names: list[x509.GeneralName] = [
            *(x509.UniformResourceIdentifier(uri) for uri in uris),
            *(x509.DNSName(name) for name in dns),
            *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
        ]
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(common_name, issuer=self.signer.subject, key=key, now=self.now)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        pair = Pair(certificate=path.with_name(path.name + ".pem"), key=path.with_name(path.name + ".key"))
        pair.certificate.write_bytes(builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))
        write_private(pair.key, _pem(key))
        return pair

    def issue_server(self, path: Path) -> Pair:
        """A server certificate for `localhost` and the loopback addresses."""
        return self.issue(path, common_name="localhost", dns=["localhost"], addresses=["127.0.0.1", "::1"])

    def issue_workload(self, path: Path, spiffe_id: str) -> Pair:
        """An X.509-SVID of this SPIFFE ID."""
        return self.issue(path, common_name=path.name, uris=[spiffe_id])


def create_authority(certificate: Path, *, common_name: str, now: datetime) -> Authority:
    """Make a CA that is valid around `now` (with time zone) and write its certificate to `certificate`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(common_name)
    signer = (
        _builder(common_name, issuer=subject, key=key, now=now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(signer.public_bytes(Encoding.PEM))
    return Authority(certificate=certificate, now=now, signer=signer, key=key)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, replacing one that is there."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _builder(
    common_name: str, *, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
