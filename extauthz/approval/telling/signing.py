"""Signatures of webhooks, as Standard Webhooks 1.0.0 has them ("Signature scheme", "Webhook headers").

The rule: what is signed is the id, the time of this very attempt, and the bytes that are sent, not what they mean.
Every secret that is named signs, so that a receiver can change from one to the next without a gap.
"""

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, assert_never

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SYMMETRIC: Final = "whsec_"
ASYMMETRIC: Final = "whsk_"
_LEAST, _MOST = 24, 64
_SEED: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSecret:
    """A secret that the receiver has, too: HMAC-SHA256, `v1`."""

    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKey:
    """A key of which the receiver has the public half: Ed25519, `v1a`."""

    key: Ed25519PrivateKey = field(repr=False)


SigningKey = SharedSecret | PrivateKey


def signing_key(text: str) -> SigningKey:
    """The key that `whsec_…` or `whsk_…` is: base64 of 24 to 64 bytes, or of an Ed25519 key, with or without its public
    half behind it.

    Raises:
        ValueError: it is none; the message says what to write, and holds nothing of it.
    """
    if text.startswith(SYMMETRIC):
        secret = _decoded(text.removeprefix(SYMMETRIC))
        if not _LEAST <= len(secret) <= _MOST:
            raise ValueError(f"a `{SYMMETRIC}` secret has {_LEAST} to {_MOST} bytes; make one of random bytes")
        return SharedSecret(secret=secret)
    if text.startswith(ASYMMETRIC):
        both = _decoded(text.removeprefix(ASYMMETRIC))
        if len(both) not in (_SEED, 2 * _SEED):
            raise ValueError(f"a `{ASYMMETRIC}` key has {_SEED} bytes, or {2 * _SEED} with its public half")
        key = Ed25519PrivateKey.from_private_bytes(both[:_SEED])
        if len(both) > _SEED and both[_SEED:] != key.public_key().public_bytes_raw():
            raise ValueError(f"the second half of the `{ASYMMETRIC}` key is not its public key")
        return PrivateKey(key=key)
    raise ValueError(f"a secret of a webhook begins with `{SYMMETRIC}` or `{ASYMMETRIC}`, and base64 follows")


def signed_headers(keys: Sequence[SigningKey], *, event: str, at: int, body: bytes) -> Mapping[str, str]:
    """The headers of one attempt at `at` (seconds since the epoch) to send `body`, which tells of `event` (its id).

    Raises:
        ValueError: there is a full stop in the id, which would let one signature be that of two messages.
    """
    if "." in event:
        raise ValueError("the id of an event has no full stop")
    headers = {"webhook-id": event, "webhook-timestamp": str(at)}
    if keys:
        content = f"{event}.{at}.".encode("ascii") + body
        headers["webhook-signature"] = " ".join(_signature(key, content) for key in keys)
    return headers


def _signature(key: SigningKey, content: bytes) -> str:
    match key:
        case SharedSecret(secret=secret):
            return "v1," + b64encode(hmac.digest(secret, content, "sha256")).decode("ascii")
        case PrivateKey(key=private):
            return "v1a," + b64encode(private.sign(content)).decode("ascii")
        case _:
            assert_never(key)


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("what follows the prefix of a webhook's secret is base64, with `=` at its end") from None
