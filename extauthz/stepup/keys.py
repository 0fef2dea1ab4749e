"""The key ring: secrets from oldest to newest, and one sub-key of each for every purpose.

The rule: one key makes, every key of the ring verifies and opens. A new key makes from its own moment on, when every
server has read it; until then the one before it does. So no server ever makes what another one can't read, and what
the older keys made stays good. No secret serves two purposes (HKDF, RFC 5869), and none is ever printed.
"""

import json
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from math import inf
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from extauthz.errors import ConfigurationError, ExtauthzError

SECRET_BYTES: Final = 32
SEAL_NONCE_BYTES: Final = 12
"""The nonce of AES-GCM (NIST SP 800-38D section 8.2.2); random, so a key should seal less than 2**32 times."""

_SEAL_FORM: Final = "s1"


class SealBroken(ExtauthzError):
    """A sealed secret can't be opened: no key of the ring fits, or it is not where it was put."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of the ring, as its sub-keys; it was made at `created` and makes from `makes_from` on, both in seconds
    since the epoch."""

    kid: str
    created: int
    makes_from: int
    ticket: bytes = field(repr=False)
    binding: bytes = field(repr=False)
    seal: bytes = field(repr=False)
    oidc: bytes = field(repr=False)
    device: bytes = field(repr=False)
    audit: bytes = field(repr=False)


class KeyRing:
    """The keys in force, oldest to newest; at least one. May be shared by threads: what it holds is swapped whole.

    `now`, in seconds since the epoch, says which of them make already; without it, all do.
    """

    __slots__ = ("_keys", "binding_keys")

    binding_keys: tuple[bytes, ...]
    """The keys of binding texts: the last one makes, and each of them may have made a grant's."""

    def __init__(self, keys: Sequence[Key], *, now: float = inf) -> None:
        if not keys:
            raise ConfigurationError("keys: the ring is empty; make a key with `extauthz keys generate`")
        ordered = _in_turn(keys)
        # The one that makes stands last. Where none does yet, somebody must: the oldest, which the others know.
        makes = max((number for number, key in enumerate(ordered) if key.makes_from <= now), default=0)
        self._hold((*ordered[:makes], *ordered[makes + 1 :], ordered[makes]))

    def _hold(self, keys: tuple[Key, ...]) -> None:
        self._keys = keys
        self.binding_keys = tuple(key.binding for key in keys)

    @property
    def keys(self) -> tuple[Key, ...]:
        """All keys, the one that makes last."""
        return self._keys

    @property
    def newest(self) -> Key:
        """The key that makes."""
        return self._keys[-1]

    def turn(self, other: "KeyRing") -> None:
        """Hold from now on the keys that `other` holds."""
        self._hold(other.keys)

    def find(self, kid: str) -> Key | None:
        """The key with this id."""
        return next((key for key in self._keys if key.kid == kid), None)

    def seal(self, secret: bytes, *, place: Sequence[str], nonce: bytes) -> str:
        """`secret` encrypted for storage at `place`, say (subject, factor id); opens nowhere else.

        `nonce` are SEAL_NONCE_BYTES fresh random bytes.
        """
        key = self.newest
        sealed = nonce + AESGCM(key.seal).encrypt(nonce, secret, _place(place))
        return f"{_SEAL_FORM}.{key.kid}.{urlsafe_b64encode(sealed).decode('ascii')}"

    def sealer(self, sealed: str) -> Key | None:
        """The key that a text says it was sealed with, `None` if it is not of the ring."""
        form, kid, _ = _parts(sealed)
        return self.find(kid) if form == _SEAL_FORM else None

    def open(self, sealed: str, *, place: Sequence[str]) -> bytes:
        """What `seal` was given.

        Raises:
            SealBroken: no key fits, the place is another one, or the text was changed.
        """
        form, kid, body = _parts(sealed)
        key = self.find(kid)
        if form != _SEAL_FORM or key is None:
            raise SealBroken(f"a stored secret was sealed with key `{kid}`, which is not in the key file")
        try:
            data = urlsafe_b64decode(body)
            return AESGCM(key.seal).decrypt(data[:SEAL_NONCE_BYTES], data[SEAL_NONCE_BYTES:], _place(place))
        except (ValueError, InvalidTag) as error:
            raise SealBroken(f"a stored secret does not open with key `{kid}`: it was changed or moved") from error


def generate_key(random: bytes, *, created: int) -> str:
    """The text of a new key file with one key. `random` are SECRET_BYTES random bytes, `created` epoch seconds."""
    return _file([_entry(random, created)])


def rotate_keys(text: str, random: bytes, *, created: int, makes_from: int | None = None) -> str:
    """The text of a key file with one more key, which makes from `makes_from` on; without it, from now on.

    Raises:
        ConfigurationError: `text` is no key file.
    """
    parse_keys(text)
    entry = _entry(random, created)
    if makes_from is not None and makes_from > created:
        entry["makes_from"] = _instant(makes_from)
    return _file([*json.loads(text)["keys"], entry])


def drop_keys(text: str, kids: Collection[str]) -> str:
    """The text of a key file without these keys.

    Raises:
        ConfigurationError: `text` is no key file, or none would be left.
    """
    parse_keys(text)
    left = [entry for entry in json.loads(text)["keys"] if entry["kid"] not in kids]
    parse_keys(_file(left))
    return _file(left)


def idle_keys(ring: KeyRing, sealed: Iterable[str], *, since: float) -> tuple[Key, ...]:
    """The keys that have made nothing after `since` and that none of the `sealed` texts needs, oldest first.

    A key makes until the one behind it does. `since` in seconds since the epoch.
    """
    needed = {_parts(text)[1] for text in sealed}
    followed = pairwise(_in_turn(ring.keys))
    return tuple(key for key, next_ in followed if next_.makes_from <= since and key.kid not in needed)


def parse_keys(text: str, *, now: float = inf) -> KeyRing:
    """The ring in the text of a key file, as it is at `now`, in seconds since the epoch.

    Raises:
        ConfigurationError: it is no key file; the message never quotes a secret.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError("keys: not JSON; restore the key file from a copy") from error
    if not isinstance(document, dict) or document.keys() != {"keys"} or not isinstance(document["keys"], list):
        raise ConfigurationError('keys: not a key file; it must be `{"keys": […]}`, oldest first')
    keys = tuple(_key(entry, f"keys[{index}]") for index, entry in enumerate(document["keys"]))
    if len({key.kid for key in keys}) != len(keys):
        raise ConfigurationError("keys: a `kid` comes twice; each key needs its own")
    return KeyRing(keys, now=now)


def _key(entry: Any, place: str) -> Key:  # noqa: ANN401 - whatever is in the file
    if not isinstance(entry, dict) or entry.keys() - {"makes_from"} != {"kid", "created", "secret"}:
        raise ConfigurationError(
            f"{place}: a key has `kid`, `created` and `secret`, perhaps `makes_from`, and nothing else"
        )
    kid, secret = entry["kid"], _secret(entry["secret"], place)
    if not isinstance(kid, str) or not kid.isascii() or not kid.isalnum():
        raise ConfigurationError(f"{place}: `kid` must be a text of ASCII letters and digits")
    created = _time(entry["created"], f"{place}: `created`")
    return Key(
        kid=kid,
        created=created,
        makes_from=_time(entry["makes_from"], f"{place}: `makes_from`") if "makes_from" in entry else created,
        ticket=_derive(secret, "ticket"),
        binding=_derive(secret, "binding"),
        seal=_derive(secret, "seal"),
        oidc=_derive(secret, "oidc"),
        device=_derive(secret, "device"),
        audit=_derive(secret, "audit"),
    )


def _secret(value: object, place: str) -> bytes:
    try:
        secret = b64decode(value, validate=True) if isinstance(value, str) else b""
    except ValueError:
        secret = b""
    if len(secret) < SECRET_BYTES:
        raise ConfigurationError(f"{place}: `secret` must be base64 of at least {SECRET_BYTES} bytes")
    return secret


def _time(value: object, place: str) -> int:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigurationError(f"{place} must be a time like `2026-11-21T10:00:00Z`")
    return int(moment.timestamp())


def _entry(random: bytes, created: int) -> dict[str, str]:
    if len(random) < SECRET_BYTES:
        raise ConfigurationError(f"keys: a key needs {SECRET_BYTES} random bytes")
    return {
        "kid": sha256(b"extauthz kid" + random).hexdigest()[:12],
        "created": _instant(created),
        "secret": b64encode(random).decode("ascii"),
    }


def _in_turn(keys: Sequence[Key]) -> list[Key]:
    return sorted(keys, key=lambda key: key.makes_from)


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parts(sealed: str) -> tuple[str, str, str]:
    """The form, the id of the key and the body of a sealed text."""
    form, _, rest = sealed.partition(".")
    kid, _, body = rest.partition(".")
    return form, kid, body


def _file(entries: list[dict[str, str]]) -> str:
    return json.dumps({"keys": entries}, indent=2) + "\n"


def _derive(secret: bytes, purpose: str) -> bytes:
    # The secret is uniformly random, so RFC 5869 section 3.1 lets the salt be absent.
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"extauthz/v1/{purpose}".encode()).derive(secret)


def _place(parts: Sequence[str]) -> bytes:
    return json.dumps(list(parts)).encode("ascii")
