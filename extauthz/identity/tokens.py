"""Tokens of users: a JWT in the Authorization header or a cookie, verified against the keys of its issuer.

The rule: every way a token becomes a user is in `Verifier.verify`, and the time is checked on each of them, from the
cache or not. What a token says of itself chooses only among what the configuration allows (RFC 8725).
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock

from extauthz.errors import ConfigurationError, InvalidCredential
from extauthz.identity import claims
from extauthz.identity.compact import CompactToken, Unreadable, take_apart
from extauthz.identity.config import COOKIE_PREFIX, UserSource
from extauthz.identity.holders import session
from extauthz.identity.keys import KeySet, read_keys
from extauthz.values.identity import User

CACHED_TOKENS = 4096

# RFC 8725 section 3.11: a token made for something else (`logout+jwt`, `dpop+jwt`, …) is not an access token.
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedToken:
    """A user by a token whose signature and claims hold.

    `session` is the token's own word for its session, or the token itself. `confirmation` is the `cnf.x5t#S256`, if
    there is one.
    """

    user: User
    session: str
    validity: claims.Validity
    confirmation: str | None


class Verifier:
    """Verifies tokens of the configured sources; may be shared by threads.

    `jwks` maps the name of each source to the text of its JWK Set; keys that have changed need a new verifier, so that
    no verified token outlives its key. Raises `ConfigurationError` for a source without usable keys.
    """

    def __init__(self, sources: tuple[UserSource, ...], jwks: Mapping[str, str]) -> None:
        self._sources: dict[tuple[str, str], tuple[UserSource, KeySet]] = {}
        for source in sources:
            document = jwks.get(source.name)
            if document is None:
                raise ConfigurationError(f"users: no keys were given for `{source.name}`")
            keys = read_keys(document, name=source.name, algorithms=source.algorithms)
            for place in source.places:
                self._sources[place, source.issuer] = (source, keys)
        self._verified: OrderedDict[tuple[str, bytes], VerifiedToken] = OrderedDict()
        self._lock = Lock()

    def verify(self, token: str, *, place: str, now: float) -> VerifiedToken:
        """The token that was found at `place` (`authorization` or `cookie:NAME`). Raises `InvalidCredential`.

        `now` is in seconds since the epoch.
        """
        # The digest, not the text: the cache keeps no secrets, and what it compares tells nothing about one.
        digest = sha256(token.encode("utf-8", "surrogatepass"))
        key = (place, digest.digest())
        with self._lock:
            verified = self._verified.get(key)
            if verified is not None:
                self._verified.move_to_end(key)
        if verified is None:
            verified = self._verify(token, place=place, token_hash=digest.hexdigest())
            with self._lock:
                self._verified[key] = verified
                while len(self._verified) > CACHED_TOKENS:
                    self._verified.popitem(last=False)
        verified.validity.check(now)
        return verified

    def _verify(self, token: str, *, place: str, token_hash: str) -> VerifiedToken:
        """Everything but the time."""
        try:
            parts = take_apart(token)
        except Unreadable as error:
            raise InvalidCredential(f"{place}: token: {error}") from None
        # 1. RFC 8725 section 3.8: the issuer chooses the keys, and only tokens of known issuers are looked at.
        issuer = parts.claims.get("iss")
        source, keys = self._sources.get((place, issuer), (None, None)) if isinstance(issuer, str) else (None, None)
        if source is None or keys is None:
            raise InvalidCredential(f"{place}: token: `iss` is not of an issuer whose tokens are read here")
        # 2. The signature, under a key and an algorithm that belong together.
        _check_signature(parts, source, keys)
        # 3. What it says.
        user = claims.user(parts.claims, source, token_hash=token_hash, cookie=place.startswith(COOKIE_PREFIX))
        return VerifiedToken(
            user=user,
            session=session(user),
            validity=claims.validity(parts.claims, leeway=source.leeway),
            confirmation=claims.confirmation(parts.claims),
        )


def _check_signature(parts: CompactToken, source: UserSource, keys: KeySet) -> None:
    header = parts.header
    # RFC 7515 section 4.1.11: no extension is understood here; RFC 7797 section 6: `b64` would be one.
    for name in ("crit", "b64"):
        if name in header:
            raise InvalidCredential(f"token: header `{name}` is not understood")
    if "typ" in header and (not isinstance(header["typ"], str) or header["typ"].lower() not in _TYPES):
        raise InvalidCredential("token: `typ` is not that of an access token")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in source.algorithms:
        raise InvalidCredential("token: `alg` is not one of those that are configured")
    kid = header.get("kid")
    if not isinstance(kid, str) and "kid" in header:
        raise InvalidCredential("token: `kid` is no text")
    key = keys.find(kid, algorithm)
    if key is None:
        raise InvalidCredential("token: `kid` and `alg` fit no key of the issuer")
    if not key.verifies(parts.signature, parts.signing_input):
        raise InvalidCredential("token: the signature is wrong")
