"""A software authenticator and the browser before it: what `navigator.credentials` gives back, as JSON.

It makes what the specification describes, by itself and not by the library that checks it; each part can be made wrong.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

RP_ID, ORIGIN = "example.com", "https://app.example.com"
UP, UV, AT = 0x01, 0x04, 0x40

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def client_data(ceremony: str, challenge: bytes, origin: str, said: Mapping[str, Any] | None) -> bytes:
    """What a browser says of the page (section 5.8.1); `said` replaces and adds members, `...` leaves one out."""
    members = {"type": ceremony, "challenge": b64(challenge), "origin": origin, "crossOrigin": False, **(said or {})}
    return json.dumps({name: value for name, value in members.items() if value is not ...}).encode()


@dataclass
class SoftwareAuthenticator:
    """One credential. `count` is its signature counter, which goes up by `step` with each use; 0 does not count."""

    credential_id: bytes = b"c" * 32
    key: PrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    count: int = 0
    step: int = 1

    def cose_key(self) -> dict[int, Any]:
        """RFC 9053 section 7, RFC 8230 section 4."""
        public = self.key.public_key()
        if isinstance(public, ed25519.Ed25519PublicKey):
            return {1: 1, 3: -8, -1: 6, -2: public.public_bytes_raw()}
        if isinstance(public, rsa.RSAPublicKey):
            numbers = public.public_numbers()
            return {1: 3, 3: -257, -1: _bytes(numbers.n), -2: _bytes(numbers.e)}
        point = public.public_numbers()
        return {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}

    def register(
        self,
        challenge: bytes,
        *,
        rp_id: str = RP_ID,
        origin: str = ORIGIN,
        flags: int = UP | UV | AT,
        ceremony: str = "webauthn.create",
        cose_key: Mapping[int, Any] | None = None,
        fmt: object = "none",
        statement: Mapping[str, Any] | None = None,
        said: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> str:
        """A RegistrationResponseJSON. `said` changes the client data, `changes` the credential's own members."""
        attested = b"\0" * 16 + len(self.credential_id).to_bytes(2, "big") + self.credential_id
        key = cbor2.dumps(self.cose_key() if cose_key is None else dict(cose_key))
        data = self._head(rp_id, flags) + (attested + key if flags & AT else b"")
        seen = client_data(ceremony, challenge, origin, said)
        if fmt == "packed" and statement is None:  # section 8.2, self attestation
            statement = {"alg": -7, "sig": self.sign(data + sha256(seen).digest())}
        response = {
            "clientDataJSON": b64(seen),
            "attestationObject": b64(cbor2.dumps({"fmt": fmt, "attStmt": dict(statement or {}), "authData": data})),
            "transports": ["usb", "nfc", "carrier-pigeon"],
        }
        return self._answer(response, changes)

    def sign_in(
        self,
        challenge: bytes,
        *,
        rp_id: str = RP_ID,
        origin: str = ORIGIN,
        flags: int = UP | UV,
        ceremony: str = "webauthn.get",
        user_handle: bytes | None = None,
        said: Mapping[str, Any] | None = None,
        signature: bytes | None = None,
        **changes: Any,
    ) -> str:
        """An AuthenticationResponseJSON."""
        if self.count:
            self.count += self.step
        data = self._head(rp_id, flags)
        seen = client_data(ceremony, challenge, origin, said)
        signed = self.sign(data + sha256(seen).digest()) if signature is None else signature
        response = {"clientDataJSON": b64(seen), "authenticatorData": b64(data), "signature": b64(signed)}
        if user_handle is not None:
            response["userHandle"] = b64(user_handle)
        return self._answer(response, changes)

    def sign(self, content: bytes) -> bytes:
        match self.key:
            case ed25519.Ed25519PrivateKey():
                return self.key.sign(content)
            case rsa.RSAPrivateKey():
                return self.key.sign(content, padding.PKCS1v15(), hashes.SHA256())
            case _:
                return self.key.sign(content, ec.ECDSA(hashes.SHA256()))

    def _head(self, rp_id: str, flags: int) -> bytes:
        return sha256(rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _answer(self, response: dict[str, Any], changes: Mapping[str, Any]) -> str:
        members = {
            "id": b64(self.credential_id),
            "rawId": b64(self.credential_id),
            "type": "public-key",
            "clientExtensionResults": {},
            "authenticatorAttachment": "cross-platform",
        }
        return json.dumps({**members, "response": response, **changes})


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
