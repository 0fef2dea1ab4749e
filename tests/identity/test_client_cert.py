"""Client-Cert and Client-Cert-Chain (RFC 9440): one reading, and hearsay."""

from base64 import b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from identity.authority import copied, fingerprint, handed, root
from identity.checks import build_request
from identity.issuer import NOW

from extauthz.errors import IdentityConflict, InvalidCredential, MalformedRequest, Refused
from extauthz.identity import client_cert
from extauthz.identity.workload import Workloads
from extauthz.identity.workload_config import WorkloadSettings

WEB = "spiffe://prod.example.org/ns/shop/sa/web"
ADMIN = "spiffe://prod.example.org/ns/shop/sa/admin"
CA = root()
SVID, OTHER, PLAIN = CA.leaf(WEB), CA.leaf(ADMIN), CA.leaf(dns=["web.example.com"])
HERE: dict[str, Any] = {"sources": ["source_principal", "peer_certificate", "xfcc", "client_cert"]}
ALONE: dict[str, Any] = {"sources": ["client_cert"], "client_cert": {"without_principal": True}}


def outcome(
    value: str | list[str] | None,
    *,
    chain: str | list[str] | None = None,
    principal: str = "",
    certificate: str = "",
    forwarded: str | None = None,
    now: float = NOW,
    **settings: Any,
) -> object:
    """The workload, its source and the certificate, or the class of the refusal."""
    sent = {"client-cert": value, "client-cert-chain": chain, "x-forwarded-client-cert": forwarded}
    headers = {name: lines for name, lines in sent.items() if lines is not None}
    request = build_request(headers, principal=principal, certificate=certificate)
    try:
        found = Workloads(WorkloadSettings.model_validate(HERE | settings), {}).read(request, now=now)
    except Refused as refused:
        return type(refused)
    workload = found.workload
    return (None if workload is None else (workload.id, workload.verified_by), found.certificate)


def test_the_header_proves_nothing_alone_unless_the_operator_says_so() -> None:
    assert outcome(handed(SVID)) == (None, "")
    assert outcome(handed(SVID), **ALONE) == ((WEB, "client_cert"), fingerprint(SVID))
    assert outcome(handed(SVID), principal=WEB) == ((WEB, "source_principal"), "")


def test_a_header_that_is_not_in_use_is_not_read() -> None:
    assert outcome("nonsense", principal=WEB, sources=["source_principal"]) == ((WEB, "source_principal"), "")


@pytest.mark.parametrize(
    "told",
    [
        {"principal": ADMIN},
        {"principal": "CN=web"},
        {"certificate": copied(OTHER)},
        {"certificate": copied(CA.leaf(WEB))},  # the same name in another certificate
        {"principal": ADMIN, "certificate": copied(OTHER)},
        {"forwarded": f"URI={ADMIN}"},
        {"forwarded": f"Hash={fingerprint(OTHER)}"},
    ],
)
def test_the_header_must_agree_with_whatever_else_speaks_of_the_connection(told: dict[str, Any]) -> None:
    assert outcome(handed(SVID), **told) is IdentityConflict
    assert outcome(handed(SVID), **told, client_cert={"without_principal": True}) is IdentityConflict


def test_a_certificate_without_a_spiffe_id_is_not_that_of_whoever_has_one() -> None:
    assert outcome(handed(PLAIN), principal=WEB) is IdentityConflict
    assert outcome(handed(PLAIN), principal="web.example.com") == (None, "")
    assert outcome(handed(PLAIN), **ALONE) == (None, fingerprint(PLAIN))


def test_what_agrees_is_proven_by_the_better_source() -> None:
    told: dict[str, Any] = {"certificate": copied(SVID), "forwarded": f"URI={WEB};Hash={fingerprint(SVID)}"}
    assert outcome(handed(SVID), **told) == ((WEB, "peer_certificate"), fingerprint(SVID))
    assert outcome(handed(SVID), **told, principal=WEB) == ((WEB, "source_principal"), fingerprint(SVID))


def test_the_certificate_in_the_header_keeps_the_rules_of_svids_and_of_time() -> None:
    assert outcome(handed(CA.leaf(WEB, ADMIN)), **ALONE) is InvalidCredential
    assert outcome(handed(CA.leaf(WEB, ca=True)), **ALONE) is InvalidCredential
    assert outcome(handed(SVID), **ALONE, now=NOW + 3601) is InvalidCredential
    assert outcome(handed(SVID), principal=WEB, now=NOW + 3601) is InvalidCredential


def test_the_trust_domains_hold_for_the_header_too() -> None:
    assert outcome(handed(SVID), **ALONE, trust_domains=["partner.example"]) == (None, fingerprint(SVID))


DER = SVID.public_bytes(Encoding.DER)
BASE64 = b64encode(DER).decode()


@pytest.mark.parametrize(
    "value",
    [
        [handed(SVID), handed(SVID)],
        f"{handed(SVID)},{handed(SVID)}",
        f"{handed(SVID)};a=1",
        f"({handed(SVID)})",
        "",
        ":",
        "::",
        BASE64,
        f":{BASE64}",
        f"{BASE64}:",
        f'"{BASE64}"',
        f":{BASE64}:x",
        f":{BASE64} :",
        f": {BASE64}:",
        f"\t{handed(SVID)}",
        f":{b64encode(DER[:-1]).decode()}:",
        f":{b64encode(DER + b'x').decode()}:",
        ":AAAA:",
    ],
)
def test_a_header_that_is_malformed_or_has_two_readings_is_refused(value: str | list[str]) -> None:
    assert outcome(value, **ALONE) is MalformedRequest
    assert outcome(value, principal=WEB) is MalformedRequest


@pytest.mark.parametrize("text", [":AAE:", ":AA=:", ":AA:", ":AAE==:", ":AAE=AAE=:", ":_-AA:", ":AB==:", ":AAAB====:"])
def test_only_the_one_spelling_of_base64_is_read(text: str) -> None:
    with pytest.raises(MalformedRequest):
        client_cert.read([text], None)
    assert client_cert.read([":AAE=:"], None) == (b"\x00\x01", ())


def test_blanks_around_the_value_change_nothing() -> None:
    assert outcome(f"  {handed(SVID)} ", **ALONE) == outcome(handed(SVID), **ALONE)


@pytest.mark.parametrize(
    ("value", "chain"),
    [
        (None, handed(CA.certificate)),
        (handed(SVID), ""),
        (handed(SVID), handed(CA.certificate) + ","),
        (handed(SVID), "x"),
        (handed(SVID), ",".join([handed(CA.certificate)] * 11)),
        (handed(SVID), [handed(CA.certificate)] * 11),
    ],
)
def test_a_malformed_chain_or_one_without_its_certificate_is_refused(value: str | None, chain: str | list[str]) -> None:
    assert outcome(value, chain=chain, **ALONE) is MalformedRequest


def test_a_chain_in_several_lines_is_one_list() -> None:
    ca = handed(CA.certificate)
    der = CA.certificate.public_bytes(Encoding.DER)
    for chain in ([f"{ca},\t{ca}", ca], [f"{ca} , {ca},{ca}"], [ca, ca, ca]):
        assert client_cert.read([handed(SVID)], chain) == (DER, (der, der, der))
        assert outcome(handed(SVID), chain=chain, **ALONE) == ((WEB, "client_cert"), fingerprint(SVID))


@given(st.binary(min_size=1, max_size=300), st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=10))
def test_whatever_was_encoded_comes_back(der: bytes, chain: list[bytes]) -> None:
    def encode(content: bytes) -> str:
        return f":{b64encode(content).decode()}:"

    assert client_cert.read([encode(der)], [", ".join(map(encode, chain))]) == (der, tuple(chain))


@given(st.text(max_size=100) | st.text(alphabet=":=,; ABa1+/", max_size=60))
def test_any_header_is_read_or_refused(text: str) -> None:
    try:
        read = client_cert.read([text], None)
    except MalformedRequest:
        return
    assert read is not None
    assert f":{b64encode(read[0]).decode()}:" == text.strip(" ")
