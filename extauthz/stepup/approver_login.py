"""How an approver comes to a session: by a login at the approvers' provider, or with a link of an administrator.

The rules: a login ends in the browser that began it (the state opens with its nonce cookie), so that nobody is logged
in as somebody else by an address that they were sent; a link opens nothing by itself, a button does, once. Both are
sealed: nobody reads or changes them, and no other text of ours passes for one.
"""

import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from extauthz.stepup.keys import SEAL_NONCE_BYTES, KeyRing, SealBroken
from extauthz.stepup.oidc import Departure, FlowSecrets, Provider, check_flow, check_methods, location
from extauthz.stepup.ticket import InvalidTicket, hash_nonce
from extauthz.values.identity import Subject

LOGIN_PATH: Final = "/login"
"""Where an approver begins to log in."""
LOGGED_IN_PATH: Final = "/login/callback"
"""Where the provider sends approvers back to; to be registered there as `https://HOST/login/callback`."""
LINK_PATH: Final = "/login/link"
"""Where an administrator's link leads."""
LOGIN_SECONDS: Final = 600.0
"""How long somebody may take at the provider."""
LONGEST_LINK: Final = 7 * 86_400.0
"""Seconds; well below the time that an idle key stays in the ring."""
LOGIN_ID_BYTES: Final = 16

_LOGIN_PLACE: Final = ("extauthz approver login",)
_LINK_PLACE: Final = ("extauthz approver link",)
_MAX_LENGTH: Final = 16_384


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A login that was begun: `nonce_hash` from `hash_nonce`, `then` a path of ours, `expires_at` in epoch seconds."""

    nonce_hash: str
    then: str
    expires_at: float

    def fits(self, nonce: str | None) -> bool:
        """Whether the browser with this nonce cookie is the one that began."""
        return nonce is not None and hmac.compare_digest(hash_nonce(nonce), self.nonce_hash)


class ApproverLink(msgspec.Struct, frozen=True, kw_only=True):
    """What an administrator's link says: who logs in with it, and the groups that they count by.

    Times in seconds since the epoch: when it was made, and until when it can be used.
    """

    id: str
    subject: Subject
    person: str
    groups: tuple[str, ...]
    issued_at: float
    expires_at: float


def depart_for_login(
    begun: Begun, *, provider: Provider, redirect_uri: str, keys: KeyRing, entropy: Callable[[int], bytes]
) -> Departure:
    """The authorization request for the login (OpenID Connect Core section 3.1.2.1); `entropy(n)` gives random bytes.

    A session at the provider will do: how fresh a login has to be is for the rules of approvals to say.
    """
    payload = {"n": begun.nonce_hash, "r": begun.then, "x": begun.expires_at, "i": entropy(LOGIN_ID_BYTES).hex()}
    state = _sealed(payload, _LOGIN_PLACE, keys, entropy)
    parameters = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(provider.scopes),
        "state": state,
        **_secrets(state, keys).parameters,
    }
    return Departure(location=location(provider, parameters), state=state)


def open_login(state: str, keys: KeyRing) -> tuple[Begun, FlowSecrets]:
    """The login that this state is of, and what ties the provider's answer to it. Expiry is the caller's to ask.

    Raises:
        InvalidTicket: it is none of ours.
    """
    payload = _opened(state, _LOGIN_PLACE, keys)
    begun = Begun(nonce_hash=payload["n"], then=payload["r"], expires_at=payload["x"])
    return begun, _secrets(state, keys)


def check_login(
    claims: Mapping[str, Any], *, begun: Begun, secrets: FlowSecrets, provider: Provider, now: float
) -> None:
    """Return if the claims of an ID token with a good signature are those of this login (section 3.1.3.7).

    Raises:
        OidcRefused: they are not.
    """
    opened_at = begun.expires_at - LOGIN_SECONDS
    check_flow(claims, provider=provider, nonce=secrets.nonce, opened_at=opened_at, now=now)
    check_methods(claims, provider)


def make_link(
    subject: Subject,
    *,
    person: str,
    groups: tuple[str, ...],
    issued_at: float,
    expires_at: float,
    keys: KeyRing,
    entropy: Callable[[int], bytes],
) -> str:
    """The text of a new link, which says what `ApproverLink` does; `entropy(n)` gives n random bytes."""
    payload = {
        "i": entropy(LOGIN_ID_BYTES).hex(),
        "s": [subject.issuer, subject.id],
        "p": person,
        "g": list(groups),
        "t": issued_at,
        "x": expires_at,
    }
    return _sealed(payload, _LINK_PLACE, keys, entropy)


def open_link(text: str, keys: KeyRing) -> ApproverLink:
    """The link that `make_link` made. Expiry is the caller's to ask.

    Raises:
        InvalidTicket: it is none of ours.
    """
    payload = _opened(text, _LINK_PLACE, keys)
    issuer, sub = payload["s"]
    return ApproverLink(
        id=payload["i"],
        subject=Subject(issuer, sub),
        person=payload["p"],
        groups=tuple(payload["g"]),
        issued_at=payload["t"],
        expires_at=payload["x"],
    )


def _sealed(payload: object, place: tuple[str, ...], keys: KeyRing, entropy: Callable[[int], bytes]) -> str:
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    return keys.seal(text.encode("utf-8", "surrogatepass"), place=place, nonce=entropy(SEAL_NONCE_BYTES))


def _opened(text: str, place: tuple[str, ...], keys: KeyRing) -> dict[str, Any]:
    if len(text) > _MAX_LENGTH or not text.isascii():
        raise InvalidTicket("login: not made by this server")
    try:
        payload: dict[str, Any] = json.loads(keys.open(text, place=place).decode("utf-8", "surrogatepass"))
    except SealBroken:
        raise InvalidTicket("login: not made by this server, or with a key that is gone") from None
    return payload


def _secrets(state: str, keys: KeyRing) -> FlowSecrets:
    key = keys.sealer(state)
    if key is None:
        raise InvalidTicket("login: made with a key that is gone")
    return FlowSecrets.made_with(key, state)
