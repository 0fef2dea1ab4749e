"""The `identity.users:` list of extauthz.yaml: whose tokens are read, where, and how they are verified.

The rule: a source that could identify nobody, or anybody, is refused when it is loaded.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from extauthz.values.block import Block, distinct
from extauthz.values.duration import seconds
from extauthz.values.identity import HOLDER_COOKIE, NONCE_COOKIE
from extauthz.values.url import fetch_url

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]

AUTHORIZATION = "authorization"
COOKIE_PREFIX = "cookie:"

MAX_LEEWAY = 300.0

_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 6265 section 4.1.1: an RFC 2616 token
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def _algorithm(text: object) -> object:
    if isinstance(text, str) and (text.lower() == "none" or text.upper().startswith("HS")):
        raise ValueError(f"`{text}` proves nothing with public keys; use RS256, ES256 or another signature")
    return text


def _file_or_url(text: str) -> str:
    return fetch_url(text) if _URL.match(text) is not None else text


def _place(text: str) -> str:
    if text == AUTHORIZATION:
        return text
    if not text.startswith(COOKIE_PREFIX):
        raise ValueError(f"`{text}` is no place for a token; use `authorization` or `cookie:NAME`")
    name = text.removeprefix(COOKIE_PREFIX)
    if _COOKIE_NAME.fullmatch(name) is None:
        raise ValueError(f"`{name}` is no name of a cookie")
    if name in {HOLDER_COOKIE, NONCE_COOKIE}:
        raise ValueError(f"`{name}` is set by this server; name the cookie that holds the token")
    return text


def _leeway(value: object) -> object:
    return seconds(value) if isinstance(value, str) else value


class UserSource(Block):
    """One issuer of user tokens.

    `jwks` is the path or the URL of its JWK Set, `places` (`from` in the file) where its tokens are read,
    `groups_claim` the claim that becomes `user.groups`, `leeway` in seconds how far the issuer's clock may run ahead of
    ours: it moves `nbf`, `iat` and `auth_time`, never `exp`.
    """

    model_config = ConfigDict(validate_by_alias=True, validate_by_name=False)

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    issuer: str = Field(min_length=1)
    audiences: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    jwks: Annotated[str, AfterValidator(_file_or_url)] = Field(min_length=1)
    algorithms: Annotated[tuple[Annotated[Algorithm, BeforeValidator(_algorithm)], ...], AfterValidator(distinct)] = (
        Field(default=("RS256", "ES256"), min_length=1)
    )
    places: Annotated[tuple[Annotated[str, AfterValidator(_place)], ...], AfterValidator(distinct)] = Field(
        default=(AUTHORIZATION,), min_length=1, alias="from"
    )
    groups_claim: str = Field(default="groups", min_length=1)
    leeway: Annotated[float, BeforeValidator(_leeway)] = Field(default=30.0, ge=0, le=MAX_LEEWAY)

    @property
    def keys_url(self) -> str | None:
        """Where its keys are fetched from; `None` if they are in a file."""
        return self.jwks if _URL.match(self.jwks) is not None else None

    @model_validator(mode="before")
    @classmethod
    def _verified_here(cls, value: object) -> object:
        # First of all: such a source has no `jwks` and no `audiences`, and their absence is not what is wrong.
        places = value.get("from") if isinstance(value, dict) else None
        for place in places if isinstance(places, (list, tuple)) else ():
            if isinstance(place, str) and place.startswith("metadata:"):
                raise ValueError(
                    f"`{place}`: tokens that Envoy has verified are not supported yet;"
                    " verify here with `jwks`, and read from `authorization` or `cookie:NAME`"
                )
        return value
