"""Tokens of users, in the Authorization header or a cookie: JWTs that are verified here, and what only their issuer can
read.

The rule: every way a token becomes a user is in `Verifier.verify`, and the time is checked on each of them, from the
cache or not. What a token says of itself chooses only among what the configuration allows (RFC 8725).
"""

from collections.abc import Iterable, Mapping
from copy import copy
from hashlib import sha256
from typing import Self

from extauthz.errors import ConfigurationError, InvalidCredential, IssuerUnavailable
from extauthz.identity.claims import VerifiedToken, verified
from extauthz.identity.compact import CompactToken, Unreadable, take_apart
from extauthz.identity.introspection import Introspection, TokenKey
from extauthz.identity.key_config import KeyFile, KeySource
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import NO_ANSWERS, Answers, FetchKeys, Lookup, Unreachable
from extauthz.identity.remembered import Remembered
from extauthz.identity.signed import key_and_algorithm
from extauthz.identity.user_config import COOKIE_PREFIX, IntrospectionSource, JwtSource, UserSource

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
        self._askers: dict[str, Introspection] = {}
        self._keys: dict[str, KeySet] = {}
        for source in sources:
            if isinstance(source, IntrospectionSource):
                self._askers |= dict.fromkeys(source.places, Introspection(source))
            elif isinstance(source, JwtSource):
                self._sources |= {(place, source.issuer): source for place in source.places}
                document = jwks.get(source.name)
                if document is not None:
                    self._keys[source.name] = source.keys.read(document)
                elif isinstance(source.keys.place, KeyFile):
                    raise ConfigurationError(f"users: no keys were given for `{source.name}`")
        self._verified: Remembered[TokenKey, VerifiedToken] = Remembered(CACHED_TOKENS)

    def with_keys(self, name: str, keys: KeySet) -> Self:
        """A verifier with these keys for the source `name`, which has forgotten what the old ones verified."""
        renewed = copy(self)
        renewed._keys = {**self._keys, name: keys}
        renewed._verified = self._verified.without(lambda token: token.user.verified_by == name)
        return renewed

    def verify(self, token: str, *, place: str, now: float, answers: Answers = NO_ANSWERS) -> VerifiedToken | Lookup:
        """The token that was found at `place` (`authorization` or `cookie:NAME`), or what must be known before.

        `now` is in seconds since the epoch. Raises `InvalidCredential`, and `IssuerUnavailable` if the answer to what
        had to be known is that it can't be.
        """
        # The digest, not the text: the cache keeps no secrets, and what it compares tells nothing about one.
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._recall((place, digest), now)
        if known is None:
            outcome = self._establish(token, (place, digest), answers)
            if not isinstance(outcome, VerifiedToken):
                return outcome
            known = outcome
        known.validity.check(now)
        return known

    def _recall(self, key: TokenKey, now: float) -> VerifiedToken | None:
        known = self._verified.get(key)
        if known is not None:
            return known
        asker = self._askers.get(key[0])
        return asker.recall(key, now=now) if asker is not None else None

    def _establish(self, token: str, key: TokenKey, answers: Answers) -> VerifiedToken | Lookup:
        """Everything but the time, of a token that is not known yet."""
        place, _ = key
        asker = self._askers.get(place)
        parts = _parts(token)
        issuer = parts.claims.get("iss") if isinstance(parts, CompactToken) else None
        source = self._sources.get((place, issuer)) if isinstance(issuer, str) else None
        if isinstance(parts, CompactToken) and source is not None:
            outcome = self._verify(parts, source, place, answers)
            if isinstance(outcome, VerifiedToken):
                self._verified.put(key, outcome)
            return outcome
        if asker is not None and issuer in (None, asker.source.issuer):
            return asker.verify(token, key=key, answers=answers)
        if isinstance(parts, Unreadable):
            raise InvalidCredential(f"{place}: token: {parts}")
        # RFC 8725 section 3.8: only tokens of known issuers are looked at, and no other issuer is shown them.
        raise InvalidCredential(f"{place}: token: `iss` is not of an issuer whose tokens are read here")

    def _verify(self, parts: CompactToken, source: JwtSource, place: str, answers: Answers) -> VerifiedToken | Lookup:
        # 1. The signature, under a key and an algorithm that belong together.
        kid, algorithm = key_and_algorithm(parts, algorithms=source.algorithms, types=_TYPES)
        keys = self._keys.get(source.name)
        found = keys.find(kid, algorithm) if keys is not None else None
        if found is None:
            return missing_key(source.keys, keys, answers)
        if not found.verifies(parts.signature, parts.signing_input):
            raise InvalidCredential("token: the signature is wrong")
        # 2. What it says.
        return verified(parts.claims, source, token_hash=parts.digest, cookie=place.startswith(COOKIE_PREFIX))


def _parts(token: str) -> CompactToken | Unreadable:
    try:
        return take_apart(token)
    except Unreadable as error:
        return error


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
