"""The `identity.users:` list of extauthz.yaml: whose tokens are read, where, and how they are verified.

The rule: a source that could identify nobody, or anybody, is refused when it is loaded.
"""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from extauthz.identity.key_config import KeyFields, KeySource
from extauthz.identity.keys import Algorithm
from extauthz.values.block import distinct
from extauthz.values.duration import seconds
from extauthz.values.identity import HOLDER_COOKIE, NONCE_COOKIE

AUTHORIZATION = "authorization"
COOKIE_PREFIX = "cookie:"

MAX_LEEWAY = 300.0

_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 6265 section 4.1.1: an RFC 2616 token


def _algorithm(text: object) -> object:
    if isinstance(text, str) and (text.lower() == "none" or text.upper().startswith("HS")):
        raise ValueError(f"`{text}` proves nothing with public keys; use RS256, ES256 or another signature")
    return text


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


class UserSource(KeyFields):
    """One issuer of user tokens.

    `places` (`from` in the file) is where its tokens are read, `groups_claim` the claim that becomes `user.groups`,
    `leeway` in seconds how far the issuer's clock may run ahead of ours: it moves `nbf`, `iat` and `auth_time`, never
    `exp`.
    """

    model_config = ConfigDict(validate_by_alias=True, validate_by_name=False)

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    issuer: str = Field(min_length=1)
    audiences: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    algorithms: Annotated[tuple[Annotated[Algorithm, BeforeValidator(_algorithm)], ...], AfterValidator(distinct)] = (
        Field(default=("RS256", "ES256"), min_length=1)
    )
    places: Annotated[tuple[Annotated[str, AfterValidator(_place)], ...], AfterValidator(distinct)] = Field(
        default=(AUTHORIZATION,), min_length=1, alias="from"
    )
    groups_claim: str = Field(default="groups", min_length=1)
    leeway: Annotated[float, BeforeValidator(_leeway)] = Field(default=30.0, ge=0, le=MAX_LEEWAY)

    @property
    def keys(self) -> KeySource:
        """Where its keys are, and what is taken of them."""
        place = self.place_of_keys(self.issuer)
        assert place is not None  # noqa: S101 - the validator below has seen to it
        return KeySource(name=self.name, place=place, algorithms=self.algorithms)

    @model_validator(mode="after")
    def _has_keys(self) -> Self:
        if self.place_of_keys(self.issuer) is None:
            raise ValueError("missing field `jwks`; name the file or the URL of its keys, or set `discovery: openid`")
        return self

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
