"""The rules of SPIFFE X509-SVID for leaves, one by one."""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import example, given
from hypothesis import strategies as st
from identity.authority import CLIENT, SERVER, SIGNING, SigningAuthority, Usage, copied, fingerprint, handed, pem, root
from identity.checks import build_request
from identity.issuer import NOW

from extauthz.errors import ConfigurationError, IdentityConflict, InvalidCredential, Refused
from extauthz.identity.authorities import Authorities
from extauthz.identity.certificates import Leaf, NoCertificate, ders_of, read_certificate, read_leaf
from extauthz.identity.workload import Found, WorkloadFiles, Workloads
from extauthz.identity.workload_config import WorkloadSettings

DOMAIN = "prod.example.org"
WEB = f"spiffe://{DOMAIN}/ns/shop/sa/web"
ADMIN = f"spiffe://{DOMAIN}/ns/shop/sa/admin"
ALONE: dict[str, Any] = {"sources": ["peer_certificate"]}


@pytest.fixture(scope="module")
def authority() -> SigningAuthority:
    return root()


def leaf_of(certificate: x509.Certificate) -> Leaf:
    return read_leaf(certificate.public_bytes(Encoding.DER))


def read(
    certificate: str, principal: str = "", *, now: float = NOW, files: WorkloadFiles | None = None, **settings: Any
) -> Found:
    workloads = Workloads(WorkloadSettings.model_validate(ALONE | settings), {}, files or WorkloadFiles())
    return workloads.read(build_request(principal=principal, certificate=certificate), now=now)


def named(found: Found) -> tuple[str, str] | None:
    return None if found.workload is None else (found.workload.id, found.workload.verified_by)


def test_an_svid_names_its_workload(authority: SigningAuthority) -> None:
    svid = authority.leaf(WEB, dns=["web.shop.svc"])
    leaf = leaf_of(svid)
    assert (leaf.name, leaf.fingerprint) == (WEB, fingerprint(svid))
    assert (leaf.validity.starts, leaf.validity.ends) == (NOW - 60, NOW + 3600)
    found = read(copied(svid))
    assert (named(found), found.certificate) == ((WEB, "peer_certificate"), fingerprint(svid))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda ca: ca.leaf(WEB, ADMIN), id="2: more than one URI"),
        pytest.param(lambda ca: ca.leaf(WEB, WEB), id="2: the same URI twice"),
        pytest.param(lambda ca: ca.leaf("https://example.com/a", WEB), id="2: another URI beside it"),
        pytest.param(lambda ca: ca.leaf(WEB, ca=True), id="4.1: a CA"),
        pytest.param(lambda ca: ca.leaf(WEB, usage=None), id="4.3: no key usage"),
        pytest.param(lambda ca: ca.leaf(WEB, usage=Usage(digital_signature=False)), id="4.3: no digital signature"),
        pytest.param(lambda ca: ca.leaf(WEB, usage=Usage(key_cert_sign=True)), id="4.3: signs certificates"),
        pytest.param(lambda ca: ca.leaf(WEB, usage=Usage(crl_sign=True)), id="4.3: signs revocations"),
        pytest.param(lambda ca: ca.leaf(WEB, usage=SIGNING), id="4.3: the usage of a CA"),
        pytest.param(lambda ca: ca.leaf(WEB, purposes=[SERVER]), id="4.4: no client"),
        pytest.param(lambda ca: ca.leaf(WEB.replace("spiffe", "SPIFFE"), ca=True), id="4.1: a CA, in upper case"),
        pytest.param(lambda ca: ca.leaf(WEB, purposes=[ExtendedKeyUsageOID.CODE_SIGNING]), id="4.4: something else"),
    ],
)
def test_an_svid_that_breaks_a_rule_is_refused(
    authority: SigningAuthority, make: Callable[[SigningAuthority], x509.Certificate]
) -> None:
    certificate = make(authority)
    with pytest.raises(InvalidCredential):
        leaf_of(certificate)
    with pytest.raises(InvalidCredential):
        read(copied(certificate), WEB, sources=["source_principal", "peer_certificate"])


@pytest.mark.parametrize(
    "make",
    [
        lambda ca: ca.leaf(WEB, purposes=None),  # SHOULD include it
        lambda ca: ca.leaf(WEB, purposes=[CLIENT]),
        lambda ca: ca.leaf(WEB, ca=None),  # RFC 5280 section 4.2.1.9: without it no CA
    ],
)
def test_what_an_svid_may_leave_out(
    authority: SigningAuthority, make: Callable[[SigningAuthority], x509.Certificate]
) -> None:
    assert named(read(copied(make(authority)))) == (WEB, "peer_certificate")


@pytest.mark.parametrize("uris", [(), ("https://example.com/a",), ("https://example.com/a", "https://example.com/b")])
def test_a_certificate_without_a_spiffe_id_is_none_of_ours_to_judge(
    authority: SigningAuthority, uris: tuple[str, ...]
) -> None:
    certificate = authority.leaf(*uris, dns=["web.example.com"], usage=None, purposes=[SERVER])
    found = read(copied(certificate))
    assert (found.workload, found.certificate) == (None, fingerprint(certificate))


@pytest.mark.parametrize("uri", [f"spiffe://{DOMAIN}", f"spiffe://{DOMAIN}/", "SPIFFE://td/a", "spiffe://TD/a"])
def test_a_name_that_is_no_spiffe_id_of_a_workload_is_no_identity(authority: SigningAuthority, uri: str) -> None:
    assert read(copied(authority.leaf(uri))).workload is None


def test_the_validity_holds_at_the_very_time_of_each_request(authority: SigningAuthority) -> None:
    workloads = Workloads(WorkloadSettings.model_validate(ALONE), {})
    request = build_request(certificate=copied(authority.leaf(WEB)))
    # From the cache or not: it never outlives the certificate, and knows nothing before its time.
    for now, counts in [(NOW, True), (NOW - 60, True), (NOW - 61, False), (NOW + 3600, True), (NOW + 3601, False)] * 2:
        if counts:
            assert named(workloads.read(request, now=now)) == (WEB, "peer_certificate")
        else:
            with pytest.raises(InvalidCredential):
                workloads.read(request, now=now)


def test_the_principal_and_the_certificate_must_name_the_same(authority: SigningAuthority) -> None:
    both: dict[str, Any] = {"sources": ["source_principal", "peer_certificate"]}
    web = copied(authority.leaf(WEB))
    assert named(read(web, WEB, **both)) == (WEB, "source_principal")
    for certificate, principal in [
        (web, ADMIN),
        (web, "CN=web"),
        # Envoy takes a DNS name where there is no URI: a text that only looks like a SPIFFE ID
        (copied(authority.leaf(dns=["web.example.com"])), WEB),
    ]:
        for sources in (both, ALONE):
            with pytest.raises(IdentityConflict):
                read(certificate, principal, **sources)
    assert read(copied(authority.leaf(dns=["web.example.com"])), "web.example.com", **both).workload is None


def test_without_a_copy_the_principal_proves_or_nobody_does() -> None:
    assert named(read("", WEB, sources=["source_principal", "peer_certificate"])) == (WEB, "source_principal")
    assert read("", WEB).workload is None


@pytest.mark.parametrize("text", ["x", "%00", copied(root().certificate)[:-20], f"{copied(root().certificate)}x"])
def test_a_copy_that_can_not_be_read_is_refused(text: str) -> None:
    with pytest.raises(InvalidCredential):
        read(text)


def test_two_certificates_are_none(authority: SigningAuthority) -> None:
    with pytest.raises(InvalidCredential):
        read(copied(authority.leaf(WEB), authority.leaf(ADMIN)))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_certificate_or_none(der: bytes) -> None:
    with pytest.raises(NoCertificate):
        read_leaf(der)


SVID = root().leaf(WEB).public_bytes(Encoding.DER)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # the library's word on what it still reads
@given(st.integers(0, len(SVID) - 1), st.integers(1, 255))
@example(place=SVID.index(b"\xa0\x03\x02\x01\x02") + 4, change=4)  # a version that there is not
def test_a_certificate_with_a_wrong_byte_is_read_or_refused(place: int, change: int) -> None:
    broken = bytearray(SVID)
    broken[place] ^= change
    try:
        leaf = read_leaf(bytes(broken))
    except (NoCertificate, InvalidCredential):
        return
    assert leaf.fingerprint


@given(st.text(max_size=200) | st.text(alphabet="-BEGINCRTFAD \n%0a=", max_size=200))
def test_any_text_is_a_copy_or_refused(text: str) -> None:
    try:
        ders_of(text)
    except NoCertificate:
        return
    raise AssertionError("no certificate is that short")


# Authorities


def bundle(*certificates: x509.Certificate, **members: object) -> str:
    """A SPIFFE bundle with these authorities."""
    keys = [
        {"kty": "EC", "use": "x509-svid", "x5c": [b64encode(one.public_bytes(Encoding.DER)).decode()]}
        for one in certificates
    ]
    return json.dumps({"keys": [{"use": "jwt-svid", "kty": "EC", "kid": "a"}, *keys, members]})


def with_bundles(**bundles: str) -> dict[str, Any]:
    domains = {name.replace("_", "."): text for name, text in bundles.items()}
    return {
        "files": WorkloadFiles(authorities=domains),
        "peer_certificate": {"bundles": dict.fromkeys(domains, "bundle.json")},
    }


@pytest.mark.parametrize("written", [pem, bundle])
def test_a_certificate_of_an_authority_of_its_trust_domain_counts(
    authority: SigningAuthority, written: Callable[..., str]
) -> None:
    trusted = with_bundles(prod_example_org=written(root("old").certificate, authority.certificate))
    assert named(read(copied(authority.leaf(WEB)), **trusted)) == (WEB, "peer_certificate")


def test_a_certificate_that_nobody_of_its_trust_domain_issued_is_refused(authority: SigningAuthority) -> None:
    trusted = with_bundles(prod_example_org=pem(authority.certificate), partner_example=pem(root("p").certificate))
    stranger = root()
    for certificate in (
        stranger.leaf(WEB),
        stranger.below().leaf(WEB),
        authority.leaf("spiffe://partner.example/a"),  # an authority vouches for its own trust domain only
        authority.below().leaf(WEB),  # nobody has shown the one between
        authority.leaf(WEB, ends=NOW - 1),
    ):
        with pytest.raises(InvalidCredential):
            read(copied(certificate), **trusted)


def test_a_certificate_of_a_trust_domain_without_authorities_is_no_identity(authority: SigningAuthority) -> None:
    trusted = with_bundles(partner_example=pem(authority.certificate))
    found = read(copied(authority.leaf(WEB)), **trusted)
    assert (found.workload, bool(found.certificate)) == (None, True)


def test_certificates_of_a_bundle_that_are_for_something_else_vouch_for_nobody(authority: SigningAuthority) -> None:
    own = b64encode(authority.certificate.public_bytes(Encoding.DER)).decode()
    for use in ("jwt-svid", "sig", None):
        other = {"kty": "EC", "use": use, "x5c": [own]}
        trusted = with_bundles(prod_example_org=bundle(root().certificate, **other))
        with pytest.raises(InvalidCredential):
            read(copied(authority.leaf(WEB)), **trusted)
        # Of an entry that counts only the first one does, which is the authority itself.
        later = {
            "kty": "EC",
            "use": "x509-svid",
            "x5c": [json.loads(bundle(root().certificate))["keys"][1]["x5c"][0], own],
        }
        with pytest.raises(InvalidCredential):
            read(copied(authority.leaf(WEB)), **with_bundles(prod_example_org=bundle(**later)))


def test_an_empty_bundle_vouches_for_nobody(authority: SigningAuthority) -> None:
    with pytest.raises(InvalidCredential):
        read(copied(authority.leaf(WEB)), **with_bundles(prod_example_org='{"keys": []}'))


def test_the_chain_may_come_from_anybody_and_must_lead_to_an_authority(authority: SigningAuthority) -> None:
    middle = authority.below()
    svid = middle.leaf(WEB)
    sources = ["peer_certificate", "xfcc", "client_cert"]
    trusted = with_bundles(prod_example_org=pem(authority.certificate))
    files = trusted.pop("files")
    workloads = Workloads(WorkloadSettings.model_validate({"sources": sources, **trusted}), {}, files)

    def outcome(**headers: str) -> object:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            return named(workloads.read(build_request(names, certificate=copied(svid)), now=NOW))
        except Refused as refused:
            return type(refused)

    assert outcome() is InvalidCredential
    chain = copied(svid, middle.certificate)
    assert outcome(x_forwarded_client_cert=f'Chain="{chain}"') == (WEB, "peer_certificate")
    assert outcome(client_cert=handed(svid), client_cert_chain=handed(middle.certificate)) == (WEB, "peer_certificate")
    foreign = root().below().certificate
    assert outcome(client_cert=handed(svid), client_cert_chain=handed(foreign)) is InvalidCredential


def test_a_chain_counts_no_longer_than_its_shortest_certificate(authority: SigningAuthority) -> None:
    middle = authority.below(ends=NOW + 10)
    svid = middle.leaf(WEB, ends=NOW + 3600)
    authorities = Authorities({DOMAIN: pem(authority.certificate)})
    chain = [middle.certificate]
    validity = authorities.verify(leaf_of(svid), DOMAIN, chain, now=NOW)
    assert (validity.starts, validity.ends) == (NOW - 60, NOW + 10)
    with pytest.raises(InvalidCredential):
        authorities.verify(leaf_of(svid), DOMAIN, chain, now=NOW + 11)


def test_a_verified_chain_is_verified_again_when_its_time_is_over(authority: SigningAuthority) -> None:
    short = root(ends=NOW + 10)
    trusted = with_bundles(prod_example_org=pem(short.certificate, authority.certificate))
    files = trusted.pop("files")
    workloads = Workloads(WorkloadSettings.model_validate(ALONE | trusted), {}, files)
    request = build_request(certificate=copied(short.leaf(WEB)))
    assert named(workloads.read(request, now=NOW)) == (WEB, "peer_certificate")
    for _ in range(2):
        with pytest.raises(InvalidCredential):
            workloads.read(request, now=NOW + 11)
    assert named(workloads.read(request, now=NOW)) == (WEB, "peer_certificate")


@pytest.mark.parametrize(
    "text", ["", "x", "{", "{}", '{"keys": 1}', '{"keys": [{"use": "x509-svid", "x5c": ["AA=="]}]}']
)
def test_authorities_that_can_not_be_read_are_told(text: str) -> None:
    with pytest.raises(ConfigurationError, match="authorities of `td`"):
        Authorities({"td": text})


def test_entries_of_a_bundle_that_are_for_something_else_are_passed_over() -> None:
    certificate = root().certificate
    assert read_certificate(certificate.public_bytes(Encoding.DER)) == certificate
    authorities = Authorities({"td": bundle(certificate, use="x509-svid")})
    assert "td" in authorities
    assert "other" not in authorities
