"""Step-up at the user's own provider (OpenID Connect Core section 3.1): what it is asked, and what its answer proves.

The rule: what was asked is checked, never merely received. An ID token proves something only for the browser that was
sent (`state`, which opens with its nonce cookie), for this flow (`nonce`, PKCE), for the subject that was challenged,
and for an authentication that is as fresh and of the class that the rules ask for. Its signature is for the caller.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final, Literal
from urllib.parse import urlencode, urlsplit

import msgspec

from extauthz.errors import ExtauthzError
from extauthz.stepup.keys import Key, KeyRing
from extauthz.stepup.return_path import PAGES
from extauthz.stepup.ticket import TICKET_SECONDS, InvalidTicket, Ticket, key_of, sign
from extauthz.values.decisions import ChallengeDemand
from extauthz.values.request import empty

CALLBACK_PATH: Final = f"{PAGES}oidc"
"""Where the provider sends the browser back to; to be registered there as `https://HOST/.extauthz/oidc`."""

OidcFailure = Literal[
    "malformed",
    "refused",
    "wrong-issuer",
    "wrong-audience",
    "wrong-nonce",
    "wrong-subject",
    "expired",
    "not-fresh",
    "wrong-acr",
    "wrong-amr",
]
"""Why what came back from a provider proves nothing."""

_MAX_CODE: Final = 4096
_CODE_WORDS: Final = frozenset({"code", "state", "iss", "error"})


class OidcRefused(ExtauthzError):
    """What came back from the provider proves nothing, for `reason`. The message is for records."""

    def __init__(self, reason: OidcFailure, detail: str = "") -> None:
        super().__init__(f"oidc: {reason}: {detail}" if detail else f"oidc: {reason}")
        self.reason: Final = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider as this server is registered there.

    `subject_claims` says, by the issuer of the subjects that may be challenged, which claim of an ID token is their
    `sub`. `acr` maps what rules ask for to the provider's words for it; what is not there is sent as it is. An ID
    token needs one of `amr` in its own, unless that is empty. `sends_issuer` is whether it says who it is when it sends
    the browser back (RFC 9207). `leeway` in seconds is how far its clock and ours may differ.
    """

    issuer: str
    authorization_endpoint: str
    client_id: str
    subject_claims: Mapping[str, str]
    scopes: tuple[str, ...] = ("openid",)
    acr: Mapping[str, tuple[str, ...]] = field(default_factory=empty)
    amr: frozenset[str] = frozenset()
    sends_issuer: bool = False
    leeway: float = 30.0

    def acr_words(self, acr: str) -> tuple[str, ...]:
        """What it calls the class that rules call `acr`."""
        return self.acr.get(acr, (acr,))


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """Where the browser is sent."""

    location: str
    state: str


class Return(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser came back with."""

    code: str
    state: str


class Authenticated(msgspec.Struct, frozen=True, kw_only=True):
    """What an ID token proves: these demands, by an authentication at `auth_time`, in seconds since the epoch.

    For a ticket of an enrolment it proves none: only that its subject has logged in since.
    The proof is as old as that, not as the token: a grant for it is issued at `auth_time`.
    """

    demands: tuple[ChallengeDemand, ...]
    auth_time: float


def depart(ticket: Ticket, *, provider: Provider, keys: KeyRing, login_hint: str | None) -> Departure:
    """The authorization request for the challenge, or the enrolment, of `ticket` (OpenID Connect Core section 3.1.2.1).

    Its `state` is the ticket again, without what only a page shows. `login_hint` is what the provider may fill in as
    the user's name, `None` for nothing.

    At first a session there may do: whoever has logged in as strongly a moment ago is not asked again. But `acr_values`
    is only a wish, so a ticket that `insists` asks for a login whatever session there is.
    """
    demands = oidc_demands(ticket)
    state = sign(replace(ticket, demands=tuple(replace(one, description="", show={}) for one in demands)), keys)
    secrets = FlowSecrets.of(state, keys)
    words = dict.fromkeys(word for one in demands if one.acr is not None for word in provider.acr_words(one.acr))
    parameters = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": redirect_uri(ticket),
        "scope": " ".join(provider.scopes),
        "state": state,
        **secrets.parameters,
        "max_age": str(_max_age(ticket)),
    }
    if ticket.insists:
        parameters["prompt"] = "login"
    if words:
        parameters["acr_values"] = " ".join(words)
    if login_hint is not None:
        parameters["login_hint"] = login_hint
    return Departure(location=location(provider, parameters), state=state)


def location(provider: Provider, parameters: Mapping[str, str]) -> str:
    """The address of the authorization request with these parameters."""
    joint = "&" if urlsplit(provider.authorization_endpoint).query else "?"
    # A `sub` with half a letter in it can't be said: it is left out of the hint, never changed.
    query = urlencode({name: value for name, value in parameters.items() if _is_text(value)})
    return f"{provider.authorization_endpoint}{joint}{query}"


def redirect_uri(ticket: Ticket) -> str:
    """The address on the application's own origin that the provider sends the browser back to."""
    return f"https://{ticket.action.authority}{CALLBACK_PATH}"


def oidc_demands(ticket: Ticket) -> tuple[ChallengeDemand, ...]:
    """The demands of the ticket that a provider can meet."""
    return tuple(demand for demand in ticket.demands if "oidc" in demand.factors)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSecrets:
    """What ties the answer to this flow: `nonce` in the ID token, `code_verifier` at the token endpoint (RFC 7636).

    They are made of the state and a key, so that any server of the ring can go on with the flow, and nobody else.
    """

    nonce: str
    code_verifier: str = field(repr=False)

    @property
    def parameters(self) -> Mapping[str, str]:
        """What an authorization request says of them (RFC 7636 section 4.2)."""
        return {
            "nonce": self.nonce,
            "code_challenge": _encode(sha256(self.code_verifier.encode("ascii")).digest()),
            "code_challenge_method": "S256",
        }

    @classmethod
    def of(cls, state: str, keys: KeyRing) -> "FlowSecrets":
        """Those of the flow with this state.

        Raises:
            InvalidTicket: the state was made with a key that is not of the ring.
        """
        key = key_of(state, keys)
        if key is None:
            raise InvalidTicket("state: not made by this server")
        return cls.made_with(key, state)

    @classmethod
    def made_with(cls, key: Key, state: str) -> "FlowSecrets":
        """Those of the flow with this state, which `key` has made."""

        def made(purpose: str) -> str:
            return _encode(hmac.digest(key.oidc, f"{purpose} {state}".encode(), "sha256"))

        return cls(nonce=made("nonce"), code_verifier=made("verifier"))


def read_return(parameters: Sequence[tuple[str, str]], *, provider: Provider) -> Return:
    """The code and the state in the query of the callback (RFC 6749 section 4.1.2, RFC 9207 section 2.4).

    That the state is a ticket of ours, for this browser, and not expired, is to be asked of it.

    Raises:
        OidcRefused: there are none, or they are not of this provider.
    """
    known = [(name, value) for name, value in parameters if name in _CODE_WORDS]
    said = dict(known)
    if len(said) != len(known):  # RFC 6749 section 3.1: no parameter twice
        raise OidcRefused("malformed", "a parameter comes twice")
    issuer = said.get("iss")
    if (issuer is None and provider.sends_issuer) or issuer not in (None, provider.issuer):
        raise OidcRefused("wrong-issuer", "the answer is of another provider")
    if "error" in said:
        raise OidcRefused("refused", said["error"][:60])
    code, state = said.get("code", ""), said.get("state", "")
    if not state or not 0 < len(code) <= _MAX_CODE or not code.isascii() or not code.isprintable():
        raise OidcRefused("malformed", "no `code` and `state`")
    return Return(code=code, state=state)


def check_id_token(
    claims: Mapping[str, Any], *, ticket: Ticket, nonce: str, provider: Provider, now: float
) -> Authenticated:
    """What the claims of an ID token with a good signature prove (OpenID Connect Core section 3.1.3.7).

    `ticket` is the state of the flow, `nonce` that of its `FlowSecrets`; `now` in seconds since the epoch.

    Raises:
        OidcRefused: nothing.
    """
    opened_at = ticket.expires_at - TICKET_SECONDS
    check_flow(claims, provider=provider, nonce=nonce, opened_at=opened_at, now=now)
    # Whoever has logged in is whom we have challenged, or somebody else lends a proof.
    claim = provider.subject_claims.get(ticket.subject.issuer)
    if claim is None or claims.get(claim) != ticket.subject.id:
        raise OidcRefused("wrong-subject")
    # Steps 12 and 13: how, and when.
    check_methods(claims, provider)
    auth_time = _time(claims, "auth_time")
    if auth_time > now + provider.leeway:
        raise OidcRefused("malformed", "`auth_time` is in the future")
    if ticket.purpose == "enrolment":
        if auth_time < opened_at - provider.leeway:
            raise OidcRefused("not-fresh", "`auth_time` is before the challenge")
        return Authenticated(demands=(), auth_time=min(auth_time, now))
    demands = oidc_demands(ticket)
    fresh = [one for one in demands if _is_fresh(one, auth_time, opened_at=opened_at, leeway=provider.leeway, now=now)]
    if not fresh:
        raise OidcRefused("not-fresh", "`auth_time` is too long ago")
    acr = claims.get("acr")
    met = tuple(one for one in fresh if one.acr is None or acr in provider.acr_words(one.acr))
    if not met:
        raise OidcRefused("wrong-acr")
    return Authenticated(demands=met, auth_time=min(auth_time, now))


def check_flow(claims: Mapping[str, Any], *, provider: Provider, nonce: str, opened_at: float, now: float) -> None:
    """Return if the claims are of an ID token of this provider, for us, and for the flow that began at `opened_at`.

    Raises:
        OidcRefused: they are not.
    """
    # Steps 2 to 5: whose it is, and for whom.
    if claims.get("iss") != provider.issuer:
        raise OidcRefused("wrong-issuer", "the ID token is of another issuer")
    _check_audience(claims, provider.client_id)
    # Steps 9 and 10: for now, and made for this flow.
    if now >= _time(claims, "exp"):
        raise OidcRefused("expired")
    if not opened_at - provider.leeway <= _time(claims, "iat") <= now + provider.leeway:
        raise OidcRefused("not-fresh", "`iat` is not of this flow")
    # Step 11.
    given = claims.get("nonce")
    if not isinstance(given, str) or not given.isascii() or not hmac.compare_digest(given, nonce):
        raise OidcRefused("wrong-nonce")


def check_methods(claims: Mapping[str, Any], provider: Provider) -> None:
    """Return if the claims say one of the methods that the provider's ID tokens need.

    Raises:
        OidcRefused: they do not.
    """
    if provider.amr and provider.amr.isdisjoint(_words(claims, "amr")):
        raise OidcRefused("wrong-amr")


def _max_age(ticket: Ticket) -> int:
    """Seconds; 0 asks for a new authentication whatever there is (OpenID Connect Core section 3.1.2.1)."""
    demands = oidc_demands(ticket)
    if ticket.purpose == "enrolment" or any(_is_anew(one) for one in demands):
        return 0
    return int(min(one.max_age for one in demands))


def _is_anew(demand: ChallengeDemand) -> bool:
    """A proof for this very request is not one that was there before it."""
    return demand.uses is not None


def _is_fresh(demand: ChallengeDemand, auth_time: float, *, opened_at: float, leeway: float, now: float) -> bool:
    if _is_anew(demand) and auth_time < opened_at - leeway:
        return False
    return now - auth_time < demand.max_age


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or client_id not in named:
        raise OidcRefused("wrong-audience")
    # A token for several says whom it was issued to; one that says it must say us.
    if claims.get("azp", client_id if len(named) == 1 else None) != client_id:
        raise OidcRefused("wrong-audience", "`azp` is another client")


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise OidcRefused("malformed", f"`{name}` is no time")
    return value


def _words(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    value = claims.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise OidcRefused("malformed", f"`{name}` is no list of texts")
    return frozenset(value)


def _is_text(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
