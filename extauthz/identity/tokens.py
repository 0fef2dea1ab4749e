"""Tokens of users: a JWT in the Authorization header or a cookie, verified against the keys of its issuer.

The rule: every way a token becomes a user is in `Verifier.verify`, and the time is checked on each of them, from the
cache or not. What a token says of itself chooses only among what the configuration allows (RFC 8725).
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from copy import copy
from hashlib import sha256
from threading import Lock
from typing import Self

from extauthz.errors import ConfigurationError, InvalidCredential, IssuerUnavailable
from extauthz.identity.claims import VerifiedToken, verified
from extauthz.identity.compact import Unreadable, take_apart
from extauthz.identity.key_config import KeyFile, KeySource
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import NO_ANSWERS, Answers, FetchKeys, Lookup, Unreachable
from extauthz.identity.signed import key_and_algorithm
from extauthz.identity.user_config import COOKIE_PREFIX, JwtSource, UserSource

CACHED_TOKENS = 4096

# Not `logout+jwt`, `dpop+jwt` and the like.
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})


class Verifier:
    """Verifies tokens of the configured sources; may be shared by threads.

    `jwks` maps the name of each source to the text of its JWK Set; only a source whose keys are fetched may be without
    one. Keys that have changed need a new verifier (`with_keys`), so that no verified token outlives its key. Raises
    `ConfigurationError` for a source without usable keys.
    """

    def __init__(self, sources: Iterable[UserSource], jwks: Mapping[str, str]) -> None:
        self._sources: dict[tuple[str, str], JwtSource] = {}
        self._keys: dict[str, KeySet] = {}
        for source in sources:
            if not isinstance(source, JwtSource):
                continue
            self._sources |= {(place, source.issuer): source for place in source.places}
            document = jwks.get(source.name)
            if document is not None:
                self._keys[source.name] = source.keys.read(document)
            elif isinstance(source.keys.place, KeyFile):
                raise ConfigurationError(f"users: no keys were given for `{source.name}`")
        self._verified: OrderedDict[tuple[str, bytes], VerifiedToken] = OrderedDict()
        self._lock = Lock()

    def with_keys(self, name: str, keys: KeySet) -> Self:
        """A verifier with these keys for the source `name`, which has forgotten what the old ones verified."""
        renewed = copy(self)
        renewed._keys = {**self._keys, name: keys}
        renewed._lock = Lock()
        with self._lock:
            kept = ((key, token) for key, token in self._verified.items() if token.user.verified_by != name)
            renewed._verified = OrderedDict(kept)
        return renewed

    def verify(self, token: str, *, place: str, now: float, answers: Answers = NO_ANSWERS) -> VerifiedToken | Lookup:
        """The token that was found at `place` (`authorization` or `cookie:NAME`), or what must be known before.

        `now` is in seconds since the epoch. Raises `InvalidCredential`, and `IssuerUnavailable` if the answer to what
        had to be known is that it can't be.
        """
        # The digest, not the text: the cache keeps no secrets, and what it compares tells nothing about one.
        digest = sha256(token.encode("utf-8", "surrogatepass"))
        key = (place, digest.digest())
        with self._lock:
            known = self._verified.get(key)
            if known is not None:
                self._verified.move_to_end(key)
        if known is None:
            outcome = self._verify(token, place=place, token_hash=digest.hexdigest(), answers=answers)
            if not isinstance(outcome, VerifiedToken):
                return outcome
            known = outcome
            with self._lock:
                self._verified[key] = known
                while len(self._verified) > CACHED_TOKENS:
                    self._verified.popitem(last=False)
        known.validity.check(now)
        return known

    def _verify(self, token: str, *, place: str, token_hash: str, answers: Answers) -> VerifiedToken | Lookup:
        """Everything but the time."""
        try:
            parts = take_apart(token)
        except Unreadable as error:
            raise InvalidCredential(f"{place}: token: {error}") from None
        # 1. RFC 8725 section 3.8: the issuer chooses the keys, and only tokens of known issuers are looked at.
        issuer = parts.claims.get("iss")
        source = self._sources.get((place, issuer)) if isinstance(issuer, str) else None
        if source is None:
            raise InvalidCredential(f"{place}: token: `iss` is not of an issuer whose tokens are read here")
        # 2. The signature, under a key and an algorithm that belong together.
        kid, algorithm = key_and_algorithm(parts, algorithms=source.algorithms, types=_TYPES)
        keys = self._keys.get(source.name)
        found = keys.find(kid, algorithm) if keys is not None else None
        if found is None:
            return missing_key(source.keys, keys, answers)
        if not found.verifies(parts.signature, parts.signing_input):
            raise InvalidCredential("token: the signature is wrong")
        # 3. What it says.
        return verified(parts.claims, source, token_hash=token_hash, cookie=place.startswith(COOKIE_PREFIX))


def missing_key(source: KeySource, keys: KeySet | None, answers: Answers) -> Lookup:
    """What to ask when `keys` have none that fits a token: for the keys, once.

    Raises `InvalidCredential` for a token that fits none of those that were found then, and `IssuerUnavailable` if none
    were.
    """
    lookup = FetchKeys(source=source.name)
    if not isinstance(source.place, KeyFile) and lookup not in answers:
        return lookup
    answer = answers.get(lookup)
    if isinstance(answer, Unreachable):
        raise IssuerUnavailable(f"keys of `{source.name}`: {answer.detail}")
    if keys is None:
        raise IssuerUnavailable(f"keys of `{source.name}`: none were found")
    raise InvalidCredential("token: `kid` and `alg` fit no key of the issuer")
