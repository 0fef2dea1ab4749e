import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from identity.bound_tokens import CLIENT
from identity.issuer import Issuer


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


@pytest.fixture(scope="module")
def token(issuer: Issuer) -> str:
    """A token that is bound to the client's key."""
    return issuer.token(cnf={"jkt": CLIENT.thumbprint})
