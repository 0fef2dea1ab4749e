"""The device cookie: on which device somebody has proven to be who they are, and when.

The rules: it is written when a challenge is met on the page, and says nothing to whoever has no key of ours. It is good
on the host that it was made for: the application behind another one, which sees the cookies of its own visitors, can't
show them here. For a subject that has proven nothing on the device it says no more than which one it is.

    device = form "." kid "." base64url(nonce ciphertext)      form: another one with each change of what is in it

The ciphertext is AES-256-GCM (NIST SP 800-38D) of `[id, [[subject, first, last], …]]` as JSON, with the form, the key
and the host as additional data. A subject is told by its digest, so that the cookie stays short.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from extauthz.stepup.keys import KeyRing
from extauthz.values.identity import Subject

DEVICE_ID_BYTES: Final = 16
NONCE_BYTES: Final = 12
MOST_SUBJECTS: Final = 8
"""Subjects that a device is known for; beyond that the one goes that has proven nothing there for the longest time."""
LONGEST_COOKIE: Final = 2_048
MOST_REMEMBERED: Final = 2_048
"""Cookies, and subjects, that are not worked out anew each time."""

_FORM: Final = "d1"
_SHAPE: Final = re.compile(r"d1\.([A-Za-z0-9]{1,64})\.([A-Za-z0-9_-]+)")


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """That a subject has met challenges on a device: first and last when, in whole seconds since the epoch."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a device cookie says. `subjects` are who has proven there, by `mark_of`, the last one last."""

    id: str
    subjects: tuple[tuple[str, Proven], ...] = ()

    def proven_by(self, subject: Subject) -> Proven | None:
        """When this subject has proven itself there, `None` for never."""
        mark = mark_of(subject)
        return next((proven for known, proven in self.subjects if known == mark), None)

    def after_proof(self, subject: Subject, *, now: float, lifetime: float) -> "Device":
        """The device after a challenge that this subject has met there. What is older than `lifetime` begins anew."""
        mark, at = mark_of(subject), int(now)
        kept = [(known, proven) for known, proven in self.subjects if known != mark and proven.last + lifetime > now]
        before = self.proven_by(subject)
        first = before.first if before is not None and before.last + lifetime > now else at
        latest = sorted(kept, key=lambda one: one[1].last)[-(MOST_SUBJECTS - 1) :]
        return replace(self, subjects=(*latest, (mark, Proven(first=first, last=at))))


@lru_cache(maxsize=MOST_REMEMBERED)
def mark_of(subject: Subject) -> str:
    """What a device cookie says of a subject: 128 bits of a SHA-256."""
    return _encode(sha256(subject.key.encode("utf-8", "surrogatepass")).digest()[:16])


def write_device(device: Device, keys: KeyRing, *, host: str, nonce: bytes) -> str:
    """The value of the cookie for a canonical host. `nonce` are NONCE_BYTES fresh random bytes."""
    key = keys.newest
    content = [device.id, [[mark, proven.first, proven.last] for mark, proven in device.subjects]]
    text = json.dumps(content, separators=(",", ":")).encode("ascii")
    sealed = nonce + AESGCM(key.device).encrypt(nonce, text, _place(key.kid, host))
    return f"{_FORM}.{key.kid}.{_encode(sealed)}"


def read_device(value: str | None, keys: KeyRing, *, host: str) -> Device | None:
    """What a cookie says that came to a canonical host; `None` if it is not ours, not for this host, or changed."""
    match = _SHAPE.fullmatch(value) if value is not None and len(value) <= LONGEST_COOKIE else None
    key = keys.find(match[1]) if match is not None else None
    return None if match is None or key is None else _opened(match[2], key.kid, key.device, host)


@lru_cache(maxsize=MOST_REMEMBERED)
def _opened(body: str, kid: str, secret: bytes, host: str) -> Device | None:
    # A browser sends the same cookie with each request; whether its key is still one of ours is asked each time.
    try:
        sealed = urlsafe_b64decode(body + "=" * (-len(body) % 4))
        text = AESGCM(secret).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _place(kid, host))
    except (ValueError, InvalidTag):
        return None
    id_, subjects = json.loads(text)
    return Device(id=id_, subjects=tuple((mark, Proven(first=first, last=last)) for mark, first, last in subjects))


def _place(kid: str, host: str) -> bytes:
    return json.dumps([_FORM, kid, host]).encode("ascii")


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
