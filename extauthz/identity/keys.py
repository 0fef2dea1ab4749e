"""The public keys of one issuer or trust domain: a JWK Set, read once (RFC 7517).

The rule: a key is good for the algorithms that its type, its curve, its `alg`, `use` and `key_ops` allow and that the
configuration names, and for no other. A token chooses among these pairs; it never tells how a key is used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import jwt
from jwt.algorithms import Algorithm as SignatureAlgorithm

from extauthz.errors import ConfigurationError
from extauthz.identity.compact import Unreadable, json_object

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
KeyUse = Literal["sig", "jwt-svid"]
"""What keys are for: to sign tokens (RFC 7517 section 4.2), or a trust domain's JWT-SVIDs (SPIFFE)."""

# RFC 7518 section 3.1 and RFC 8037 section 3.1: the key type and curve that each algorithm takes.
_FITS: Mapping[Algorithm, tuple[str, str | None]] = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One public key for one algorithm."""

    algorithm: SignatureAlgorithm = field(compare=False)  # two of one name are alike, and the name is beside it
    key: Any  # the key object of `cryptography` that belongs to the algorithm

    def verifies(self, signature: bytes, signing_input: bytes) -> bool:
        """Whether `signature` is this key's over `signing_input`."""
        return self.algorithm.verify(signing_input, self.key, signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """All usable keys of one issuer by `kid` and algorithm; a key without `kid` is under `None`. Two are equal if they
    verify the same.

    `refresh_hint` is after how many seconds whoever publishes them wants to be asked again; `None` if that is not in
    the document.
    """

    keys: Mapping[tuple[str | None, str], VerificationKey]
    ids: frozenset[str | None]
    refresh_hint: float | None = field(default=None, compare=False)

    def find(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        """The key that a token with this `kid` and `alg` is signed with, `None` if there is none or it is unclear.

        Without a `kid` the set must have only one key (OpenID Connect Core section 10.1).
        """
        if kid is None:
            if len(self.ids) != 1:
                return None
            (kid,) = self.ids
        return self.keys.get((kid, algorithm))


def read_keys(document: str, *, place: str, algorithms: Sequence[Algorithm], use: KeyUse = "sig") -> KeySet:
    """The keys of the JWK Set in `document` that can check one of `algorithms`.

    Keys for other purposes and of unknown types are passed over (RFC 7517 section 5). The bundle of a trust domain
    may have no keys: then it vouches for nobody (SPIFFE Trust Domain and Bundle section 4.1.3). Raises
    `ConfigurationError`, with `place` in front, for text that is no JWK Set, a private or a broken key, two keys
    that a token could not tell apart, and another set without any key that fits.
    """
    keys: dict[tuple[str | None, str], VerificationKey] = {}
    ids: set[str | None] = set()
    published = _published(document, place)
    for number, jwk in enumerate(_members(published, place), start=1):
        label = f"{place}: key {number}"
        kid = jwk.get("kid")
        if kid is not None and not isinstance(kid, str):
            raise ConfigurationError(f"{label}: `kid` must be a string")
        if "d" in jwk or jwk.get("kty") == "oct":
            raise ConfigurationError(f"{label}: holds a secret; publish only public keys, and replace this one")
        fitting = [algorithm for algorithm in algorithms if _fits(jwk, algorithm, use)]
        if not fitting:
            continue
        if kid is None and use == "jwt-svid":
            raise ConfigurationError(f"{label}: `kid` is missing; JWT-SVIDs name their keys")
        if kid in ids or (ids and None in {kid, *ids}):
            raise ConfigurationError(f"{label}: nothing tells it from another key; give each key a `kid` of its own")
        ids.add(kid)
        for algorithm in fitting:
            keys[kid, algorithm] = _key(jwk, algorithm, label)
    if not keys and use == "sig":
        raise ConfigurationError(f"{place}: no public key for {', '.join(algorithms)}")
    return KeySet(keys=keys, ids=frozenset(ids), refresh_hint=_refresh_hint(published, place))


def _published(document: str, place: str) -> dict[str, Any]:
    try:
        return json_object(document)
    except Unreadable as error:
        raise ConfigurationError(f"{place}: {error}; expected a JWK Set") from None


def _members(published: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    members = published.get("keys")
    if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
        raise ConfigurationError(f"{place}: expected a JWK Set: an object with `keys`, a list of objects")
    return members


def _refresh_hint(published: Mapping[str, Any], place: str) -> float | None:
    """SPIFFE Trust Domain and Bundle section 4.1.2; a whole number of seconds."""
    hint = published.get("spiffe_refresh_hint")
    if hint is not None and (not isinstance(hint, int) or isinstance(hint, bool) or hint < 0):
        raise ConfigurationError(f"{place}: `spiffe_refresh_hint` is no number of seconds")
    return hint


def _fits(jwk: Mapping[str, Any], algorithm: Algorithm, use: KeyUse) -> bool:
    key_type, curve = _FITS[algorithm]
    operations = jwk.get("key_ops")
    # In a bundle a key without `use` is for nothing (SPIFFE Trust Domain and Bundle section 4.2.2).
    stated = jwk.get("use", "sig" if use == "sig" else None)
    return (
        jwk.get("kty") == key_type
        and (curve is None or jwk.get("crv") == curve)
        and jwk.get("alg", algorithm) == algorithm
        and stated == use
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )


def _key(jwk: dict[str, Any], algorithm: Algorithm, label: str) -> VerificationKey:
    try:
        parsed = jwt.PyJWK(jwk, algorithm)
        key = parsed.Algorithm.prepare_key(parsed.key)
        weakness = parsed.Algorithm.check_key_length(key)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(f"{label}: no usable public key: {error}") from None
    if weakness is not None:
        raise ConfigurationError(f"{label}: too short for {algorithm}; use a longer key")
    return VerificationKey(parsed.Algorithm, key)
