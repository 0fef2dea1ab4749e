"""A token issuer with real keys, that can also sign what no honest issuer would."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey

ISSUER = "https://idp.example.com"
AUDIENCE = "shop"
NOW = 1_800_000_000.0


def encode(part: bytes) -> str:
    return urlsafe_b64encode(part).rstrip(b"=").decode("ascii")


def public_jwk(key: PrivateKey, **members: object) -> dict[str, Any]:
    """The public JWK of a private key, with more members, such as `kid`."""
    public = key.public_key()
    jwk: dict[str, Any]
    if isinstance(key, RSAPrivateKey):
        jwk = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    elif isinstance(key, EllipticCurvePrivateKey):
        jwk = json.loads(ECAlgorithm.to_jwk(key.public_key()))
    else:
        jwk = json.loads(OKPAlgorithm.to_jwk(key.public_key()))
    assert public is not None
    jwk.pop("key_ops", None)
    return jwk | members


def good_claims(**changes: object) -> dict[str, Any]:
    """Claims that are accepted; a change to `None` leaves the claim out."""
    claims: dict[str, Any] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u1", "exp": NOW + 600, "iat": NOW - 10}
    return {name: value for name, value in (claims | changes).items() if value is not None}


@dataclass
class Issuer:
    """`keys` are the private keys by `kid`, `algorithms` what each signs with."""

    keys: Mapping[str, PrivateKey]
    algorithms: Mapping[str, str]
    unlisted: frozenset[str] = field(default_factory=frozenset)

    @property
    def jwks(self) -> str:
        listed = {kid: key for kid, key in self.keys.items() if kid not in self.unlisted}
        return json.dumps({"keys": [public_jwk(key, kid=kid, use="sig") for kid, key in listed.items()]})

    def token(self, kid: str = "ec", *, header: Mapping[str, object] | None = None, **claims: object) -> str:
        """A token with good claims, changed; `header` adds members, `None` takes one away."""
        members = {"alg": self.algorithms[kid], "kid": kid, "typ": "JWT", **(header or {})}
        return self.sign(
            kid,
            json.dumps({name: value for name, value in members.items() if value is not None}),
            json.dumps(good_claims(**claims)),
        )

    def sign(self, kid: str, header: str, payload: str) -> str:
        """Sign these very texts with the key."""
        signing_input = f"{encode(header.encode())}.{encode(payload.encode())}"
        algorithm = get_default_algorithms()[self.algorithms[kid]]
        signature = algorithm.sign(signing_input.encode("ascii"), self.keys[kid])
        return f"{signing_input}.{encode(signature)}"
