"""Security keys and passkeys as they are kept, and what a ceremony with one of them leaves.

The rule: nothing of the library that ceremonies rest on is needed to read and write what is kept.
"""

import json
from hashlib import sha256
from typing import Final, Self

import msgspec

from extauthz.stepup.webauthn_answer import Ceremony, NotVerified, decode, encode, json_object

USER_HANDLE_BYTES: Final = 32

TRANSPORTS: Final = ("usb", "nfc", "ble", "smart-card", "internal", "cable", "hybrid")
"""The ways to reach an authenticator that are known (Web Authentication section 5.8.4)."""


class Authenticator(msgspec.Struct, frozen=True, kw_only=True):
    """What a store keeps of a registered credential; nothing of it is secret.

    `public_key` is a COSE key (RFC 9052 section 7). `user_handle` is the same random text for all authenticators of a
    subject, so that one which has a credential of theirs knows it.
    """

    credential_id: bytes
    public_key: bytes
    user_handle: bytes
    transports: tuple[str, ...] = ()

    def to_text(self) -> str:
        """The text for `EnrolledFactor.public`."""
        fields = {
            "id": encode(self.credential_id),
            "key": encode(self.public_key),
            "user": encode(self.user_handle),
            "transports": list(self.transports),
        }
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """What `to_text` was of.

        Raises:
            NotVerified: `malformed`, for anything else.
        """
        match json_object(text):
            case {"id": str(id_), "key": str(key), "user": str(user), "transports": list(transports)}:
                return cls(
                    credential_id=decode(id_),
                    public_key=decode(key),
                    user_handle=decode(user),
                    transports=known_transports(transports),
                )
            case _:
                raise NotVerified("malformed", "a stored authenticator")


class KnownAuthenticator(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticator of the subject: the id of its factor, and the highest signature counter that was burned."""

    factor: str
    authenticator: Authenticator
    mark: int


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A new authenticator. `mark` is the signature counter that it starts from."""

    authenticator: Authenticator
    mark: int
    user_verified: bool


class Asserted(msgspec.Struct, frozen=True, kw_only=True):
    """A good assertion by the authenticator that is the factor `factor`.

    `mark` is the signature counter that is to be burned, `None` for an authenticator that does not count: then the
    proof burns nothing but its ticket. `user_verified` is whether it knew its user by PIN or biometrics.
    """

    factor: str
    mark: int | None
    user_verified: bool


def challenge_of(ticket: str, ceremony: Ceremony) -> bytes:
    """The challenge of the ceremony that the ticket with this id asks for.

    A ticket's id is random and known to nobody but its browser, so its digest is as good as new random bytes
    (section 13.4.3), and no server has to remember it between showing the page and reading the answer.
    """
    return sha256(f"extauthz {ceremony} {ticket}".encode()).digest()


def known_transports(given: list[object]) -> tuple[str, ...]:
    """Those of these texts that name a way to reach an authenticator."""
    return tuple(one for one in TRANSPORTS if one in given)
