"""How the secret of a factor rests in a store: sealed for its subject and factor, opened by key list.

The rule: a secret that somebody moves to another subject or another factor does not open there.
"""

from collections.abc import Callable, Iterable

from extauthz.stepup.keys import SEAL_NONCE_BYTES, KeyRing
from extauthz.stepup.recovery import digest
from extauthz.store.protocol import EnrolledFactor, FactorKind
from extauthz.values.identity import Subject

FACTOR_ID_BYTES = 16


def seal_factor(
    secret: bytes,
    *,
    subject: Subject,
    confirmed: bool,
    keys: KeyRing,
    now: float,
    entropy: Callable[[int], bytes],
    kind: FactorKind = "totp",
    name: str = "",
    public: str = "",
) -> EnrolledFactor:
    """A new factor of `subject` with this secret: an authenticator app, or the digest of a recovery code.

    `now` in seconds since the epoch; `entropy(n)` gives n random bytes.
    """
    id_ = entropy(FACTOR_ID_BYTES).hex()
    return EnrolledFactor(
        id=id_,
        subject=subject,
        kind=kind,
        name=name,
        public=public,
        sealed=keys.seal(secret, place=(subject.key, id_), nonce=entropy(SEAL_NONCE_BYTES)),
        created_at=now,
        confirmed=confirmed,
    )


def seal_codes(
    codes: Iterable[str], *, subject: Subject, keys: KeyRing, now: float, entropy: Callable[[int], bytes]
) -> tuple[EnrolledFactor, ...]:
    """The factors of `subject` that these recovery codes are, as `make_codes` spells them; their digests are kept."""
    return tuple(
        seal_factor(
            digest(code.replace("-", "")),
            subject=subject,
            confirmed=True,
            keys=keys,
            now=now,
            entropy=entropy,
            kind="recovery",
        )
        for code in codes
    )


def open_factor(factor: EnrolledFactor, keys: KeyRing) -> bytes:
    """The secret of this factor.

    Raises:
        SealBroken: no key of the ring opens it, or it was sealed for another place.
    """
    return keys.open(factor.sealed, place=(factor.subject.key, factor.id))
