import datetime as dt
from hashlib import sha256
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from identity.checks import build_request
from identity.issuer import NOW

from extauthz.errors import IdentityConflict, MalformedRequest
from extauthz.identity.workload import Found, Workloads
from extauthz.identity.workload_config import WorkloadSettings
from extauthz.values.request import Peer, RequestView

WEB = "spiffe://prod.example.org/ns/shop/sa/web"
ADMIN = "spiffe://prod.example.org/ns/shop/sa/admin"
HASH = "ab" * 32


def read(header: str | None, principal: str = "", **settings: object) -> Found:
    headers = {} if header is None else {"x-forwarded-client-cert": header}
    return read_request(build_request(headers, principal=principal), **settings)


def read_request(request: RequestView, **settings: object) -> Found:
    return Workloads(WorkloadSettings.model_validate(settings), {}).read(request, now=NOW)


def named(peer: Found) -> tuple[str, str] | None:
    return None if peer.workload is None else (peer.workload.id, peer.workload.verified_by)


ALONE = {"without_principal": True}


@pytest.mark.parametrize(
    ("principal", "header", "xfcc", "expected"),
    [
        # the principal is proof
        (WEB, None, {}, (WEB, "source_principal")),
        (WEB, f"URI={WEB}", {}, (WEB, "source_principal")),
        (WEB, f"Hash={HASH}", {}, (WEB, "source_principal")),
        (WEB, 'Subject="";URI=', {}, (WEB, "source_principal")),
        # under APPEND_FORWARD the last element is the peer, earlier ones are the caller's own words
        (WEB, f"URI={ADMIN},URI={WEB}", {}, (WEB, "source_principal")),
        ("", f"URI={ADMIN},URI={WEB}", ALONE, (WEB, "xfcc")),
        # over plaintext the header is the client's own words
        ("", f"URI={WEB}", {}, None),
        ("", f"URI={WEB}", ALONE, (WEB, "xfcc")),
        ("", f"URI={WEB}", {"accept": "only", **ALONE}, (WEB, "xfcc")),
        (WEB, f"URI={ADMIN}", {"accept": "none"}, (WEB, "source_principal")),
        ("", f"Hash={HASH}", ALONE, None),
        # what is no SPIFFE ID is no identity, even where both agree
        ("CN=web", None, {}, None),
        ("web.example.com", None, {}, None),
        ("spiffe://PROD/web", f"URI={WEB[:-1]}/", ALONE, IdentityConflict),
        ("spiffe://prod.example.org/a/../b", "URI=spiffe://prod.example.org/a/../b", ALONE, None),
        ("", "URI=https://example.com/a", ALONE, None),
        # any disagreement with source.principal is refused
        (WEB, f"URI={ADMIN}", {}, IdentityConflict),
        (WEB, f"URI={WEB},URI={ADMIN}", {}, IdentityConflict),
        (WEB, f"URI={WEB}/", {}, IdentityConflict),
        (WEB, f"URI={WEB.upper()}", {}, IdentityConflict),
        (WEB, f"URI={ADMIN}", ALONE, IdentityConflict),
        ("CN=gateway", f"URI={WEB}", ALONE, IdentityConflict),
        # two readings
        (WEB, f"URI={WEB};URI={WEB}", {}, MalformedRequest),
        (WEB, f"URI={WEB};URI=", {}, MalformedRequest),
        (WEB, f"URI={ADMIN},URI={WEB}", {"accept": "only"}, MalformedRequest),
        (WEB, f"URI={WEB},", {}, MalformedRequest),
        (WEB, f'URI={WEB};Subject="', {}, MalformedRequest),
        (WEB, f"URI={WEB};Hash=abc", {}, MalformedRequest),
        ("", "", {}, MalformedRequest),
        # a Subject that holds a URI
        (WEB, rf'Subject="x\",URI={ADMIN}";URI={WEB}', {}, (WEB, "source_principal")),
        (WEB, rf'Subject="x\\",URI={ADMIN}', {}, MalformedRequest),
    ],
)
def test_principal_and_header(principal: str, header: str | None, xfcc: dict[str, object], expected: object) -> None:
    if isinstance(expected, type) and issubclass(expected, Exception):
        with pytest.raises(expected):
            read(header, principal, xfcc=xfcc)
    else:
        assert named(read(header, principal, xfcc=xfcc)) == expected


def test_earlier_elements_may_have_several_uris() -> None:
    assert named(read(f"URI=a;URI=b,URI={WEB}", WEB)) == (WEB, "source_principal")


def test_a_header_that_is_sent_twice_is_refused() -> None:
    request = build_request({"x-forwarded-client-cert": [f"URI={WEB}", f"URI={WEB}"]}, principal=WEB)
    with pytest.raises(MalformedRequest):
        read_request(request)


def test_a_workload_of_another_trust_domain_is_no_identity() -> None:
    domains = ["prod.example.org", "partner.example"]
    assert named(read(None, WEB, trust_domains=domains)) == (WEB, "source_principal")
    for other in ("spiffe://test.example.org/a", "spiffe://example.org/a", "spiffe://xprod.example.org/a"):
        assert read(None, other, trust_domains=domains).workload is None


def test_sources_that_are_not_configured_are_not_read() -> None:
    assert named(read("nonsense", WEB, sources=["source_principal"])) == (WEB, "source_principal")
    alone = {"sources": ["xfcc"], "xfcc": ALONE}
    assert read(None, WEB, **alone).workload is None
    assert named(read(f"URI={WEB}", WEB, **alone)) == (WEB, "xfcc")
    with pytest.raises(IdentityConflict):
        read(f"URI={ADMIN}", WEB, **alone)


def test_a_tcp_check_is_identified_by_the_principal() -> None:
    request = RequestView(source=Peer(ip="192.0.2.1", principal=WEB))
    assert named(read_request(request)) == (WEB, "source_principal")


def test_the_hash_of_the_header_proves_nothing_that_a_client_can_write() -> None:
    # Under ALWAYS_FORWARD_ONLY a client with a certificate of its own writes both name and hash.
    header = f"URI={WEB};Hash={HASH.upper()}"
    assert read(header, WEB).certificate == ""
    assert read(header).certificate == ""
    assert read(header, WEB, xfcc=ALONE).certificate == HASH
    assert read(header, xfcc=ALONE).certificate == HASH


@pytest.fixture(scope="module")
def certificate() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(WEB)]), critical=True)
        .sign(key, hashes.SHA256())
    )


def test_the_certificate_that_envoy_copied_is_proof(certificate: x509.Certificate) -> None:
    pem = quote(certificate.public_bytes(Encoding.PEM).decode(), safe="")
    thumbprint = sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    assert certificate.fingerprint(hashes.SHA256()).hex() == thumbprint
    read_peer = read_request
    assert read_peer(build_request(principal=WEB, certificate=pem)).certificate == thumbprint
    found = read_peer(build_request(certificate=pem))
    assert (found.workload, found.certificate) == (None, thumbprint)
    agreeing = build_request({"x-forwarded-client-cert": f"Hash={thumbprint}"}, principal=WEB, certificate=pem)
    assert read_peer(agreeing).certificate == thumbprint
    with pytest.raises(IdentityConflict):
        read_peer(build_request({"x-forwarded-client-cert": f"Hash={HASH}"}, principal=WEB, certificate=pem))
    no_der = quote("-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----")
    for broken in ("x", pem[:-10], pem + pem, pem.replace("A", "!"), no_der):
        assert read_peer(build_request(principal=WEB, certificate=broken)).certificate == ""


def test_a_long_header_is_read_as_a_short_one() -> None:
    header = f'Cert="{"a" * 20_000}";URI={WEB}'
    assert named(read(header, WEB)) == (WEB, "source_principal")
    with pytest.raises(IdentityConflict):
        read(header, ADMIN)
