"""Any bytes where a certificate is expected: an explicit answer, and nobody whom the certificate does not name."""

from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from fuzz.mutation import damaged
from fuzz.target import DOMAIN, WEB, Target, bounded
from hypothesis import given
from hypothesis import strategies as st
from identity.authority import pem, root
from identity.issuer import NOW

from extauthz.identity.workload import WorkloadFiles
from extauthz.wire.compose import check_request

CA = root()
ADMIN = f"spiffe://{DOMAIN}/ns/shop/sa/admin"
GOOD, OTHER = (CA.leaf(name).public_bytes(Encoding.DER) for name in (WEB, ADMIN))
certificates = damaged(GOOD, OTHER) | st.just(GOOD) | st.binary(max_size=60)


@pytest.fixture(scope="module")
def signed() -> Iterator[Target]:
    """Takes Envoy's copies of certificates whose authority it knows."""
    built = Target(
        identity={
            "workload": {
                "trust_domains": [DOMAIN],
                "sources": ["peer_certificate", "xfcc"],
                "peer_certificate": {"bundles": {DOMAIN: "bundle.pem"}},
            }
        },
        files=WorkloadFiles(authorities={DOMAIN: pem(CA.certificate)}),
        now=NOW,
    )
    yield built
    built.close()


@pytest.fixture(scope="module")
def handed() -> Iterator[Target]:
    """Takes certificates that a gateway hands on."""
    workload = {"sources": ["client_cert", "xfcc"], "client_cert": {"without_principal": True}}
    built = Target(identity={"workload": workload}, now=NOW)
    yield built
    built.close()


def copied(der: bytes) -> str:
    body = b64encode(der).decode()
    return quote(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n", safe="")


@given(certificates, st.none() | certificates)
@bounded(150)
def test_a_certificate_of_which_one_bit_is_changed_names_nobody(
    signed: Target, der: bytes, chain: bytes | None
) -> None:
    headers = {} if chain is None else {"x-forwarded-client-cert": f'Chain="{copied(chain)}"'}
    payload = check_request(host="app.example", path="/mesh/x", certificate=copied(der), headers=headers)
    answered = signed.answer(payload)
    assert not answered.allows or der in (GOOD, OTHER)
    if der == GOOD and chain is None:
        assert answered.rule == "app/mesh"


@given(certificates, st.none() | certificates)
@bounded(150)
def test_who_is_named_by_a_certificate_that_was_handed_on_stands_in_it(
    handed: Target, der: bytes, chain: bytes | None
) -> None:
    headers = {"client-cert": f":{b64encode(der).decode()}:"}
    if chain is not None:
        headers["client-cert-chain"] = f":{b64encode(chain).decode()}:"
    answered = handed.answer(check_request(host="app.example", path="/mesh/x", headers=headers))
    identity = answered.record.identity
    if identity is not None and identity.workload is not None:
        assert identity.workload.id.encode() in der
    if der == GOOD and chain is None:
        assert answered.rule == "app/mesh"
