"""The demo's own identity provider, as far as tokens go: one ES256 key, its JWKS, signed JWTs.

Rule kept here: times are arguments, in seconds since the epoch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from extauthz.cli.quickstart.certificates import write_private

ISSUER = "https://login.prod.example.org"
AUDIENCE = "payments"
KEY_ID = "demo-1"
LIFETIME = 8 * 3600
NO_CLAIMS: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Signs tokens with the key of the demo."""

    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls) -> "TokenIssuer":
        """An issuer with a fresh P-256 key."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def read(cls, path: Path) -> "TokenIssuer":
        """The issuer whose key `save` has written to `path`; `TypeError` if another kind of key is there."""
        key = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{path}: not an elliptic curve key")
        return cls(key)

    def save(self, path: Path) -> None:
        """Write the private key as PEM, readable by its owner only."""
        write_private(path, self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def jwks(self) -> str:
        """The JWK set (RFC 7517 section 5) with the public key, as JSON text."""
        key = jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**key, "kid": KEY_ID, "alg": "ES256", "use": "sig"}]}, indent=2)

    def token(
        self, sub: str, claims: Mapping[str, object] = NO_CLAIMS, *, now: float, lifetime: float = LIFETIME
    ) -> str:
        """A signed JWT for `sub`, issued at `now`, valid for `lifetime` seconds; `claims` are added or replace."""
        base = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": sub,
            "iat": int(now),
            "exp": int(now + lifetime),
        }
        return jwt.encode({**base, **claims}, self.key, algorithm="ES256", headers={"kid": KEY_ID})
