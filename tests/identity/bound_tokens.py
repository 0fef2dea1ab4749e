"""Tokens that are bound to a client's key, and what becomes of them."""

from collections.abc import Mapping
from typing import Any

from identity.checks import build_request
from identity.issuer import AUDIENCE, ISSUER, NOW, Issuer
from identity.possession import new_client

from extauthz.errors import Refused
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.lookups import Answer, Awaiting, Done
from extauthz.identity.resolver import Resolver
from extauthz.values.identity import Identity

CLIENT, THIEF = new_client(), new_client()
IDP: dict[str, Any] = {"name": "idp", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": "jwks.json"}


def resolver(issuer: Issuer, *sources: Mapping[str, Any]) -> Resolver:
    settings = IdentitySettings.model_validate({"users": sources or (IDP,)})
    return Resolver(settings, ClientSettings(), {"idp": issuer.jwks, "other": issuer.jwks})


def identify(users: Resolver, headers: Mapping[str, Any], *, answer: Answer | None = None, **parts: Any) -> object:
    """The identity, what is awaited, or the class of the refusal; `answer` is given to whatever is asked."""
    request = build_request(headers, **parts)
    try:
        known = users.identify(request, now=NOW)
        if isinstance(known, Awaiting) and answer is not None:
            known = users.identify(request, now=NOW, answers=dict.fromkeys(known.lookups, answer))
    except Refused as refused:
        return type(refused)
    return known


def sent(token: str, proof: str | list[str] | None, scheme: str = "DPoP") -> dict[str, Any]:
    return {"authorization": f"{scheme} {token}"} | ({"dpop": proof} if proof is not None else {})


def outcome(users: Resolver, headers: Mapping[str, Any], **parts: Any) -> object:
    """As `identify`, with the user's `sub` if the proof is used for the first time, `None` for nobody."""
    found = identify(users, headers, answer=Done(), **parts)
    if isinstance(found, Identity):
        return found.user.sub if found.user is not None else None
    return found
