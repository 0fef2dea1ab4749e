from collections.abc import Callable, Mapping, Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from identity.issuer import Issuer

from extauthz.values.request import HttpRequest, Peer, RequestView

MakeRequest = Callable[..., RequestView]


@pytest.fixture(scope="session")
def issuer() -> Issuer:
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Issuer(
        keys={
            "rsa": rsa_key,
            "pss": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "ec384": ec.generate_private_key(ec.SECP384R1()),
            "ed": Ed25519PrivateKey.generate(),
            "stranger": ec.generate_private_key(ec.SECP256R1()),
        },
        algorithms={
            "rsa": "RS256",
            "pss": "PS256",
            "ec": "ES256",
            "ec384": "ES384",
            "ed": "EdDSA",
            "stranger": "ES256",
        },
        unlisted=frozenset({"stranger"}),
    )


@pytest.fixture
def make_request() -> MakeRequest:
    """Build a Check: `make_request({"cookie": "a=b"}, principal="spiffe://…", ip="192.0.2.1")`."""

    def make(
        headers: Mapping[str, str | Sequence[str]] | None = None,
        *,
        principal: str = "",
        certificate: str = "",
        ip: str = "192.0.2.1",
    ) -> RequestView:
        http = HttpRequest(
            id="1",
            method="GET",
            scheme="https",
            host="shop.example.com",
            authority="shop.example.com",
            path="/",
            segments=(),
            raw_path="/",
            raw_query="",
            protocol="HTTP/2",
            headers={
                name: (value,) if isinstance(value, str) else tuple(value) for name, value in (headers or {}).items()
            },
        )
        return RequestView(source=Peer(ip=ip, principal=principal, certificate=certificate), http=http)

    return make
