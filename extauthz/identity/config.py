"""The `identity:` and `client:` blocks of extauthz.yaml (design section 7), with the defaults of design section 3.

The rule: what could never identify anybody, or could identify somebody in two ways, is refused when it is loaded.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from extauthz.identity.spiffe import is_trust_domain
from extauthz.values.block import Block, Count, Switch
from extauthz.values.duration import seconds
from extauthz.values.identity import HOLDER_COOKIE, NONCE_COOKIE

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
WorkloadSource = Literal["source_principal", "xfcc"]

AUTHORIZATION = "authorization"
COOKIE_PREFIX = "cookie:"

MAX_LEEWAY = 300.0

_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 6265 section 4.1.1: an RFC 2616 token


def _trust_domain(text: str) -> str:
    if not is_trust_domain(text):
        raise ValueError(f"`{text}` is no trust domain; use lower case letters, digits, `.`, `-` and `_` only")
    return text


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


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"`{value}` is listed twice")
    return values


class XfccSettings(Block):
    """How X-Forwarded-Client-Cert is read.

    `accept`: `last` takes the last element (the immediate peer under APPEND_FORWARD), `only` refuses more than one,
    `none` ignores the header. `without_principal`: the header alone proves a workload; only for a gateway that is the
    only one who can reach this server, because over plaintext a client can write the header.
    """

    accept: Literal["last", "only", "none"] = "last"
    without_principal: Switch = False

    @model_validator(mode="after")
    def _something_is_accepted(self) -> Self:
        if self.without_principal and self.accept == "none":
            raise ValueError("`without_principal` needs the header; `accept: none` ignores it")
        return self


class WorkloadSettings(Block):
    """Whose workloads are known: `trust_domains` (`None`: any) and the sources that prove them."""

    trust_domains: tuple[Annotated[str, AfterValidator(_trust_domain)], ...] | None = Field(default=None, min_length=1)
    sources: Annotated[tuple[WorkloadSource, ...], AfterValidator(_distinct)] = Field(
        default=("source_principal", "xfcc"), min_length=1
    )
    xfcc: XfccSettings = XfccSettings()

    @model_validator(mode="after")
    def _some_source_can_prove(self) -> Self:
        if "source_principal" not in self.sources and not self.xfcc.without_principal:
            raise ValueError(
                "`sources: [xfcc]` proves nothing alone; add `source_principal`, or set `xfcc.without_principal`"
                " if nobody but the gateway can reach this server"
            )
        return self


class UserSource(Block):
    """One issuer of user tokens.

    `jwks` is the path of its JWK Set, `places` (`from` in the file) where its tokens are read, `groups_claim` the
    claim that becomes `user.groups`, `leeway` in seconds how far the issuer's clock may run ahead of ours: it
    moves `nbf`, `iat` and `auth_time`, never `exp`.
    """

    model_config = ConfigDict(validate_by_alias=True, validate_by_name=False)

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    issuer: str = Field(min_length=1)
    audiences: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    jwks: str = Field(min_length=1)
    algorithms: Annotated[tuple[Annotated[Algorithm, BeforeValidator(_algorithm)], ...], AfterValidator(_distinct)] = (
        Field(default=("RS256", "ES256"), min_length=1)
    )
    places: Annotated[tuple[Annotated[str, AfterValidator(_place)], ...], AfterValidator(_distinct)] = Field(
        default=(AUTHORIZATION,), min_length=1, alias="from"
    )
    groups_claim: str = Field(default="groups", min_length=1)
    leeway: Annotated[float, BeforeValidator(_leeway)] = Field(default=30.0, ge=0, le=MAX_LEEWAY)

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


class IdentitySettings(Block):
    """The `identity:` block. Without one: workloads of any trust domain by `source.principal`, and no users."""

    workload: WorkloadSettings = WorkloadSettings()
    users: tuple[UserSource, ...] = ()

    @model_validator(mode="after")
    def _each_token_has_one_source(self) -> Self:
        names: set[str] = set()
        readers: dict[tuple[str, str], str] = {}
        for source in self.users:
            if source.name in names:
                raise ValueError(f"users: `{source.name}` is the name of two sources")
            names.add(source.name)
            for place in source.places:
                other = readers.setdefault((place, source.issuer), source.name)
                if other != source.name:
                    raise ValueError(
                        f"users: `{other}` and `{source.name}` both read tokens of `{source.issuer}` from `{place}`;"
                        " join them or read from different places"
                    )
        return self


class ClientSettings(Block):
    """The `client:` block: how the client's address is found in X-Forwarded-For.

    `trusted_hops` is the number of proxies in front of Envoy whose word is taken; `xff` says whether Envoy has
    `appended` its own peer to the header (`use_remote_address`) or left it `untouched`.
    """

    trusted_hops: Count = Field(default=0, ge=0, le=32)
    xff: Literal["appended", "untouched"] = "appended"
