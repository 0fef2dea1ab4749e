"""Tokens that only their issuer can read: what it says of them when it is asked (RFC 7662).

The rule: what the issuer does not call active is no token, and its yes counts for the configured seconds and never
beyond the token's own end. A token is shown to nobody but the issuer of its source, and only if it could be one.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from extauthz.errors import InvalidCredential, IssuerUnavailable
from extauthz.identity.claims import VerifiedToken, verified
from extauthz.identity.compact import MAX_TOKEN_LENGTH, Unreadable, digest_of, json_object
from extauthz.identity.lookups import Answers, Introspect, Introspected, Unreachable
from extauthz.identity.remembered import Remembered
from extauthz.identity.user_config import COOKIE_PREFIX, IntrospectionSource

CACHED_ANSWERS: Final = 4096
CACHED_REFUSALS: Final = 1024
REFUSED_SECONDS: Final = 10.0
"""How long, at most, a token that the issuer has refused is refused without asking again."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1: b64token

TokenKey = tuple[str, bytes]
"""A place, and the SHA-256 of the token that was found there."""


class _Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that counts from `since`, not until `until`: a token, or why there is none."""

    outcome: VerifiedToken | str
    since: float
    until: float


class Introspection:
    """The tokens of one source; may be shared by threads."""

    def __init__(self, source: IntrospectionSource) -> None:
        self.source = source
        # Apart, so that made-up tokens can't drive out those that are good.
        self._active: Remembered[TokenKey, _Remembered] = Remembered(CACHED_ANSWERS)
        self._refused: Remembered[TokenKey, _Remembered] = Remembered(CACHED_REFUSALS)

    def recall(self, key: TokenKey, *, now: float) -> VerifiedToken | None:
        """What the issuer said of this token lately, `None` if that is not known.

        Raises `InvalidCredential` if it refused it. The token's own time is not looked at.
        """
        for answers in (self._active, self._refused):
            known = answers.get(key)
            # A clock that was set back makes no answer last longer.
            if known is not None and known.since <= now < known.until:
                if isinstance(known.outcome, str):
                    raise InvalidCredential(known.outcome)
                return known.outcome
        return None

    def verify(self, token: str, *, key: TokenKey, answers: Answers) -> VerifiedToken | Introspect:
        """The token as its issuer answered, or the question.

        Raises `InvalidCredential`, and `IssuerUnavailable` if there was no answer. The token's own time is not looked
        at.
        """
        lookup = Introspect(source=self.source.name, token=token)
        answer = answers.get(lookup)
        match answer:
            case None:
                if len(token) > MAX_TOKEN_LENGTH or _TOKEN.fullmatch(token) is None:
                    raise InvalidCredential("token: not the characters or the length of a token")
                return lookup
            case Introspected():
                return self._remember(answer, token, key)
            case Unreachable(detail=detail):
                raise IssuerUnavailable(f"introspection by `{lookup.source}`: {detail}")
            case _:
                raise IssuerUnavailable(f"introspection by `{lookup.source}`: no answer to the question")

    def _remember(self, answer: Introspected, token: str, key: TokenKey) -> VerifiedToken:
        seconds, since = self.source.introspection.cache, answer.asked_at
        try:
            outcome = self._read(answer.response, token, place=key[0])
        except InvalidCredential as refused:
            self._active.forget(key)  # a clock that is set back brings no older answer back
            if seconds:
                until = since + min(seconds, REFUSED_SECONDS)
                self._refused.put(key, _Remembered(outcome=str(refused), since=since, until=until))
            raise
        if seconds:
            self._active.put(key, _Remembered(outcome=outcome, since=since, until=since + seconds))
        return outcome

    def _read(self, response: Mapping[str, Any], token: str, *, place: str) -> VerifiedToken:
        if response["active"] is not True:
            raise InvalidCredential("token: its issuer does not call it active")
        # Without it nothing tells an access token from a refresh token, which many issuers call active too.
        token_type = response.get("token_type")
        kind = token_type.lower() if isinstance(token_type, str) else ""
        if kind not in ("bearer", "dpop"):
            raise InvalidCredential("token: its issuer does not call it a token of type Bearer or DPoP")
        claims = {"iss": self.source.issuer, **response}  # RFC 7662 section 2.2: `iss` is optional
        del claims["active"]
        if self.source.introspection.accept_clients and "sub" not in claims and "client_id" in claims:
            claims["sub"] = claims["client_id"]
        read = verified(
            claims,
            self.source,
            token_hash=digest_of(token),
            cookie=place.startswith(COOKIE_PREFIX),
            may_be_endless=True,
        )
        if kind == "dpop" and not read.confirmation.key:
            raise InvalidCredential("token: of type DPoP, and bound to no key")
        return read


def read_response(body: bytes) -> Mapping[str, Any]:
    """The members of an introspection response (RFC 7662 section 2.2). Raises `Unreadable` for what is none."""
    response = json_object(body)
    if not isinstance(response.get("active"), bool):
        raise Unreadable("`active` is not there or no boolean")
    return response
