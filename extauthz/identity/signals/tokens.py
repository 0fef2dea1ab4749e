"""Security event tokens (RFC 8417, profiled by OpenID Shared Signals Framework 1.0 section 4.1), verified.

The rule: every way a token comes to be believed is in `read_token`. One that could be taken for a token of another kind
is refused, and so is one that says nothing of when it was made, or is too old to tell whether it came before.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from extauthz.errors import ExtauthzError, InvalidCredential
from extauthz.identity.claims import LAST_SECOND, audiences
from extauthz.identity.compact import CompactToken, Unreadable, take_apart
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import Answers, Lookup
from extauthz.identity.signals.config import TransmitterSettings
from extauthz.identity.signed import key_and_algorithm
from extauthz.identity.tokens import missing_key

MOST_EVENTS: Final = 16
"""Events of one token. Shared Signals allows one, RFC 8417 more that are about the same thing."""
_LONGEST_ID: Final = 1024
_TYPES: Final = frozenset({"secevent+jwt", "application/secevent+jwt"})

Refusal = Literal[
    "invalid_request", "invalid_key", "invalid_issuer", "invalid_audience", "authentication_failed", "access_denied"
]
"""The error codes of RFC 8935 section 2.4."""


class TokenRefused(ExtauthzError):
    """A token is not taken; `code` says why, and the message is for whoever sent it."""

    def __init__(self, code: Refusal, message: str) -> None:
        super().__init__(message)
        self.code: Refusal = code


class EventToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified token says. Times are seconds since the epoch.

    `subject` is `sub_id`, `None` if that is not in it; `occurred_at` is when the events occurred, if they don't say it
    themselves. `digest` is that of all that it says.
    """

    id: str
    issued_at: float
    occurred_at: float
    subject: Mapping[str, Any] | None
    events: Mapping[str, Mapping[str, Any]]
    digest: str


def read_token(
    text: str, transmitter: TransmitterSettings, keys: KeySet | None, *, now: float, answers: Answers
) -> EventToken | Lookup:
    """The token in `text`, or what must be asked before: for keys. `now` is in seconds since the epoch.

    Raises:
        TokenRefused: it is none, or not one that this transmitter may send here and now.
        IssuerUnavailable: no keys were found.
    """
    try:
        token = take_apart(text)
    except Unreadable as error:
        raise TokenRefused("invalid_request", f"no security event token: {error}") from None
    # 1. What it is: explicitly typed (SSF section 4.1.1), so that nothing else that was signed is taken for one.
    kind = token.header.get("typ")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenRefused("invalid_request", "`typ` is not `secevent+jwt`")
    # 2. By whom it says it is: only the one who may push here (RFC 8725 section 3.8).
    if token.claims.get("iss") != transmitter.issuer:
        raise TokenRefused("invalid_issuer", "`iss` is not the issuer that is expected here")
    # 3. The signature, under a key and an algorithm that belong together.
    missing = _check_signature(token, transmitter, keys, answers)
    if missing is not None:
        return missing
    # 4. Whom it is for.
    if not set(_audiences(token.claims)) & set(transmitter.audiences):
        raise TokenRefused("invalid_audience", "`aud` names none of the audiences that are expected here")
    # 5. What no token of this kind has, so that one with it is of another kind (SSF sections 4.1.2, 4.1.3, 4.1.7).
    for name in ("sub", "exp"):
        if name in token.claims:
            raise TokenRefused("invalid_request", f"`{name}` must not be in a security event token")
    # 6. What it says.
    return _said(token.claims, transmitter, now)


def moment(value: object, name: str, *, transmitter: TransmitterSettings, now: float) -> float:
    """A time of which a token says that it has come. Raises `TokenRefused` for what is none, and a later one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise TokenRefused("invalid_request", f"`{name}` is no number of seconds since 1970")
    # Drafts of CAEP had milliseconds: as seconds they would be tens of thousands of years away.
    at = value / 1000 if value > LAST_SECOND else value
    if at > now + transmitter.leeway:
        raise TokenRefused("invalid_request", f"`{name}` is in the future")
    return at


def _check_signature(
    token: CompactToken, transmitter: TransmitterSettings, keys: KeySet | None, answers: Answers
) -> Lookup | None:
    try:
        kid, algorithm = key_and_algorithm(token, algorithms=transmitter.algorithms, types=_TYPES)
        key = None if keys is None else keys.find(kid, algorithm)
        if key is None:
            return missing_key(transmitter.keys, keys, answers)
    except InvalidCredential as error:
        raise TokenRefused("invalid_key", str(error)) from None
    if not key.verifies(token.signature, token.signing_input):
        raise TokenRefused("invalid_key", "token: the signature is wrong")
    return None


def _said(claims: Mapping[str, Any], transmitter: TransmitterSettings, now: float) -> EventToken:
    id_ = claims.get("jti")  # RFC 8417 section 2.2: required, as `iat` and `events` are
    if not isinstance(id_, str) or not 0 < len(id_) <= _LONGEST_ID:
        raise TokenRefused("invalid_request", f"`jti` is no text of 1 to {_LONGEST_ID} characters")
    issued_at = moment(claims.get("iat"), "iat", transmitter=transmitter, now=now)
    if issued_at <= now - transmitter.max_age:
        raise TokenRefused("invalid_request", "`iat` is too long ago")
    if "nbf" in claims:
        moment(claims["nbf"], "nbf", transmitter=transmitter, now=now)
    occurred_at = issued_at
    if "toe" in claims:
        occurred_at = moment(claims["toe"], "toe", transmitter=transmitter, now=now)
    events = claims.get("events")
    if not isinstance(events, dict) or not 0 < len(events) <= MOST_EVENTS:
        raise TokenRefused("invalid_request", f"`events` is no object of 1 to {MOST_EVENTS} events")
    if not all(isinstance(event, dict) for event in events.values()):
        raise TokenRefused("invalid_request", "`events` has an event that is no object")
    subject = claims.get("sub_id")
    if "sub_id" in claims and not isinstance(subject, dict):
        raise TokenRefused("invalid_request", "`sub_id` is no subject identifier")
    return EventToken(
        id=id_,
        issued_at=issued_at,
        occurred_at=occurred_at,
        subject=subject,
        events=events,
        digest=sha256(json.dumps(claims, sort_keys=True).encode("ascii")).hexdigest(),
    )


def _audiences(claims: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        return audiences(claims)
    except InvalidCredential:
        raise TokenRefused("invalid_audience", "`aud` is neither a text nor a list of texts") from None
