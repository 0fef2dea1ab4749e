"""A client that proves what it holds (RFC 9449), and can also say what no honest one would."""

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from identity.issuer import PrivateKey, encode, public_jwk
from jwt.algorithms import get_default_algorithms

URL = "https://shop.example.com/"


def base64url(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def thumbprint_of(jwk: dict[str, Any]) -> str:
    """RFC 7638 section 3."""
    members = {name: jwk[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in jwk}
    return base64url(sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).digest())


@dataclass(frozen=True)
class Client:
    """Holds a key."""

    key: PrivateKey
    algorithm: str = "ES256"

    @property
    def jwk(self) -> dict[str, Any]:
        return public_jwk(self.key)

    @property
    def thumbprint(self) -> str:
        return thumbprint_of(self.jwk)

    def proof(self, token: str, *, now: float, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A good proof for a GET of URL, changed; a change to `...` leaves a member out."""
        claims = {
            "jti": "1",
            "htm": "GET",
            "htu": URL,
            "iat": int(now),
            "ath": base64url(sha256(token.encode()).digest()),
        }
        said = {name: value for name, value in (claims | changes).items() if value is not ...}
        members = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.jwk, **(header or {})}
        return self.sign({name: value for name, value in members.items() if value is not ...}, said)

    def sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        signing_input = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims).encode())}"
        signature = get_default_algorithms()[self.algorithm].sign(signing_input.encode("ascii"), self.key)
        return f"{signing_input}.{encode(signature)}"


def new_client() -> Client:
    return Client(ec.generate_private_key(ec.SECP256R1()))
