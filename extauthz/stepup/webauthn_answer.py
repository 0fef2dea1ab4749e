"""What a browser says in a ceremony of Web Authentication, read: the credential, the page, and who was there.

The rule: one text, one reading. Base64url in its one spelling, no member twice, an origin as it is configured and no
page of another origin around it; each thing that does not fit has a reason of its own.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal

from extauthz.errors import ExtauthzError
from extauthz.stepup.relying_party import RelyingParty
from extauthz.values.decisions import UserVerification

if TYPE_CHECKING:
    from webauthn.helpers.structs import AuthenticatorData

MAX_ANSWER: Final = 65_536

Ceremony = Literal["webauthn.create", "webauthn.get"]
WebauthnFailure = Literal[
    "malformed",
    "wrong-type",
    "wrong-challenge",
    "wrong-origin",
    "cross-origin",
    "wrong-relying-party",
    "user-not-present",
    "user-not-verified",
    "unknown-credential",
    "already-registered",
    "unsupported-key",
    "unsupported-attestation",
    "counter-not-advanced",
    "bad-signature",
]
"""Why an answer of a browser proves nothing."""


class NotVerified(ExtauthzError):
    """The answer of a browser proves nothing, for `reason`. The message is for records."""

    def __init__(self, reason: WebauthnFailure, detail: str = "") -> None:
        super().__init__(f"webauthn: {reason}: {detail}" if detail else f"webauthn: {reason}")
        self.reason: Final = reason


def read_credential(answer: str) -> tuple[bytes, dict[str, Any]]:
    """The id and the `response` of a credential in its JSON form."""
    if len(answer) > MAX_ANSWER:
        raise NotVerified("malformed", "it is too long")
    match json_object(answer):
        case {"id": str(id_), "rawId": str(raw_id), "type": "public-key", "response": dict(response)} if id_ == raw_id:
            return decode(id_), response
        case _:
            raise NotVerified("malformed", "no credential with a public key")


def read_client_data(
    response: dict[str, Any], ceremony: Ceremony, challenge: bytes, relying_party: RelyingParty
) -> bytes:
    """The collected client data (section 5.8.1), if it is of this ceremony."""
    raw = decode(text_member(response, "clientDataJSON"))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise NotVerified("malformed", "client data: not UTF-8") from None
    client_data = json_object(text)
    if client_data.get("type") != ceremony:
        raise NotVerified("wrong-type")
    if client_data.get("challenge") != encode(challenge):
        raise NotVerified("wrong-challenge")
    if client_data.get("origin") not in relying_party.origins:
        raise NotVerified("wrong-origin")
    # A page of another origin around ours could make a user confirm what they don't see.
    if client_data.get("crossOrigin", False) is not False or "topOrigin" in client_data:
        raise NotVerified("cross-origin")
    return raw


def check_presence(
    found: "AuthenticatorData", relying_party: RelyingParty, user_verification: UserVerification
) -> None:
    """What authenticator data says of the relying party and the user (section 6.1)."""
    if found.rp_id_hash != sha256(relying_party.id.encode("ascii")).digest():
        raise NotVerified("wrong-relying-party")
    if not found.flags.up:
        raise NotVerified("user-not-present")
    if user_verification == "required" and not found.flags.uv:
        raise NotVerified("user-not-verified")


def json_object(text: str) -> dict[str, Any]:
    """One text, one reading: a member that is there twice is refused."""
    try:
        value = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        raise NotVerified("malformed", "not JSON with one reading") from None
    if not isinstance(value, dict):
        raise NotVerified("malformed", "not a JSON object")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def text_member(response: dict[str, Any], name: str) -> str:
    """The text that `response` has as `name`."""
    value = response.get(name)
    if not isinstance(value, str):
        raise NotVerified("malformed", f"no `{name}`")
    return value


def encode(raw: bytes) -> str:
    """Base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Base64url without padding, in its one spelling (RFC 4648 section 3.5)."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raw = b""
    if encode(raw) != text:
        raise NotVerified("malformed", "not base64url without padding")
    return raw
