"""The `identity.users:` list of extauthz.yaml: whose tokens are read, where, and how they are verified.

The rule: a source that could identify nobody, or anybody, is refused when it is loaded. Which kind of source is meant
is told by its keys: `introspection` means one, a place in Envoy's metadata another, all else a JWT that is verified
here.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from extauthz.identity.key_config import KeyFields, KeySource
from extauthz.identity.keys import Algorithm
from extauthz.values.block import Block, Switch, distinct
from extauthz.values.decisions import Factor
from extauthz.values.duration import at_most, seconds
from extauthz.values.identity import ENROLMENT_COOKIE, HOLDER_COOKIE, NONCE_COOKIE
from extauthz.values.schemes import Scheme
from extauthz.values.secret import SecretFile
from extauthz.values.url import fetch_url

AUTHORIZATION: Final = "authorization"
COOKIE_PREFIX: Final = "cookie:"
METADATA_PREFIX: Final = "metadata:"

_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 6265 section 4.1.1: an RFC 2616 token
_METADATA = re.compile(r"metadata:([^/\s]+)/(\S(?:.*\S)?)")

DpopMode = Literal["off", "optional", "required"]
_SCHEMES: Final[Mapping[DpopMode, frozenset[Scheme]]] = {
    "off": frozenset({"Bearer"}),
    "optional": frozenset({"Bearer", "DPoP"}),
    "required": frozenset({"DPoP"}),
}


def _algorithm(text: object) -> object:
    if isinstance(text, str) and (text.lower() == "none" or text.upper().startswith("HS")):
        raise ValueError(f"`{text}` proves nothing with public keys; use RS256, ES256 or another signature")
    return text


def _place(text: str) -> str:
    if text == AUTHORIZATION:
        return text
    if text.startswith(METADATA_PREFIX):
        raise ValueError(f"`{text}` holds claims that Envoy has verified; make that a source of its own")
    if not text.startswith(COOKIE_PREFIX):
        raise ValueError(f"`{text}` is no place for a token; use `authorization` or `cookie:NAME`")
    name = text.removeprefix(COOKIE_PREFIX)
    if _COOKIE_NAME.fullmatch(name) is None:
        raise ValueError(f"`{name}` is no name of a cookie")
    if name in {ENROLMENT_COOKIE, HOLDER_COOKIE, NONCE_COOKIE}:
        raise ValueError(f"`{name}` is set by this server; name the cookie that holds the token")
    return text


def _metadata_place(text: str) -> str:
    if not text.startswith(METADATA_PREFIX):
        raise ValueError(f"`{text}` beside a `metadata:` place; what Envoy has not verified needs a source of its own")
    if _METADATA.fullmatch(text) is None:
        raise ValueError(f"`{text}` is no place in the metadata; write `metadata:NAMESPACE/KEY`")
    return text


Text = Annotated[str, Field(min_length=1)]
PublicKeyAlgorithm = Annotated[Algorithm, BeforeValidator(_algorithm)]


def one_or_more(value: object) -> object:
    """A list, for a text that stands for a list of one."""
    return [value] if isinstance(value, str) else value


MostFactors = Annotated[tuple[Factor, ...], BeforeValidator(one_or_more), AfterValidator(distinct), Field(min_length=1)]
MostTexts = Annotated[tuple[Text, ...], BeforeValidator(one_or_more), AfterValidator(distinct), Field(min_length=1)]


class Meanings(Block):
    """What an issuer's words prove to rules with `accept_token: true`. A word that is not there proves nothing."""

    amr: dict[Text, MostFactors] = Field(default_factory=dict)
    """For methods of authentication that the issuer's tokens name, which second factors of rules they are."""
    acr: dict[Text, MostTexts] = Field(default_factory=dict)
    """For classes of authentication that the issuer's tokens name, what rules ask for as `acr`."""

    @model_validator(mode="after")
    def _say_something(self) -> Self:
        if not self.amr and not self.acr:
            raise ValueError("says nothing; write `amr: {otp: totp}` or `acr: {…}`, or remove it")
        return self

    def factors(self, amr: Iterable[str]) -> frozenset[str]:
        """The second factors that these methods are."""
        return frozenset(factor for word in amr for factor in self.amr.get(word, ()))

    def classes(self, acr: str | None) -> frozenset[str]:
        """What rules ask for that this class is."""
        return frozenset() if acr is None else frozenset(self.acr.get(acr, ()))


Audiences = Annotated[tuple[Text, ...], Field(min_length=1)]


class SourceFields(Block):
    """What every source of users says."""

    model_config = ConfigDict(validate_by_alias=True, validate_by_name=False)

    foreign: ClassVar[Mapping[str, str]] = {}
    """Fields that belong to another kind of source, and what to do about one that is there."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_.-]+$")
    """Its name in logs, metrics, records and commands."""
    issuer: Text
    """Exactly the `iss` of its tokens. Subjects are kept apart by it, so a change makes all its users strangers."""
    groups_claim: Text = "groups"
    """The claim that becomes `user.groups`, a list of texts."""
    leeway: Annotated[float, BeforeValidator(seconds), AfterValidator(at_most("5m"))] = 30.0
    """How far the issuer's clock may run ahead of ours, at most `5m`: for `nbf`, `iat` and `auth_time`, never for
    `exp`."""
    proofs: Meanings | None = None
    """What its words prove to rules with `accept_token: true`. Without it, nothing."""

    @model_validator(mode="before")
    @classmethod
    def _of_one_kind(cls, value: object) -> object:
        for field in value if isinstance(value, Mapping) else ():
            if field in cls.foreign:
                raise ValueError(f"`{field}` {cls.foreign[field]}")
        return value


class TokenFields(SourceFields):
    """A source of tokens that clients send."""

    places: Annotated[tuple[Annotated[str, AfterValidator(_place)], ...], AfterValidator(distinct)] = Field(
        default=(AUTHORIZATION,), min_length=1, alias="from"
    )
    """Where tokens are read: `authorization`, or `cookie:NAME`."""
    dpop: DpopMode = "optional"
    """Whether proofs of possession (RFC 9449) are ignored (`off`), checked where they come (`optional`) or asked for
    (`required`). A token that is bound to a key is never good without its proof."""

    @property
    def schemes(self) -> frozenset[Scheme]:
        """How its tokens come in the Authorization header."""
        return _SCHEMES[self.dpop] if AUTHORIZATION in self.places else frozenset()

    @model_validator(mode="after")
    def _proofs_can_come(self) -> Self:
        if self.dpop == "required" and self.places != (AUTHORIZATION,):
            raise ValueError("`dpop: required` is for tokens in the header; write `from: [authorization]`")
        return self


class JwtSource(KeyFields, TokenFields):
    """An issuer of JWTs that are verified here, with its keys."""

    audiences: Audiences
    """This server's or its applications' names, of which a token must have one in `aud`. Tokens for others are refused.
    """
    algorithms: Annotated[tuple[PublicKeyAlgorithm, ...], AfterValidator(distinct)] = Field(
        default=("RS256", "ES256"), min_length=1
    )
    """The signatures that are accepted. Name only those that the issuer makes; `none` and shared secrets are never
    accepted."""

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


class IntrospectionSettings(Block):
    """Whom to ask of a token (RFC 7662), and as whom."""

    url: Annotated[str, AfterValidator(fetch_url)]
    """The issuer's introspection endpoint, with `https://`."""
    client_id: Text
    """As whom this server asks."""
    client_secret_file: SecretFile
    """The file with the secret of `client_id`."""
    auth: Literal["basic", "post"] = "basic"
    """How the secret is sent: as HTTP `basic`, or in the body (`post`), as the issuer wants it (RFC 6749 section
    2.3.1)."""
    ca: Path | None = None
    """The file with the authorities of the endpoint. Without it those of the system."""
    cache: Annotated[float, BeforeValidator(seconds), AfterValidator(at_most("1h"))] = 30.0
    """How long an answer counts for the same token, at most `1h`. So long a token is good after it was revoked; `0s`
    asks for every request."""
    accept_clients: Switch = False
    """Whether a token without `sub` is one of the client itself, by its `client_id`. Only for issuers that give no user
    such a name (RFC 9068 section 5)."""


class IntrospectionSource(TokenFields):
    """An issuer whose tokens only it can read."""

    foreign: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("jwks", "discovery", "algorithms"),
        "beside `introspection`: its issuer verifies the token; remove it, or make it two sources",
    ) | {"ca": "is for keys that are fetched; write it under `introspection`"}

    audiences: Audiences = ()
    """Names of which an answer must have one in `aud`. Without any, whatever the issuer calls active is taken."""
    introspection: IntrospectionSettings
    """Whom to ask of a token (RFC 7662), and as whom."""


class MetadataSource(SourceFields):
    """An issuer whose tokens Envoy's `jwt_authn` has verified."""

    foreign: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("jwks", "discovery", "algorithms", "ca"),
        "beside a `metadata:` place: Envoy has verified the token; remove it, or make it two sources",
    ) | {"dpop": "beside a `metadata:` place: a proof is checked with the token itself; remove it"}

    audiences: Audiences = ()
    """Names of which the claims must have one in `aud`. Without any, what Envoy has let through is taken."""
    places: Annotated[tuple[Annotated[str, AfterValidator(_metadata_place)], ...], AfterValidator(distinct)] = Field(
        min_length=1, alias="from"
    )
    """Where Envoy's `jwt_authn` leaves the claims, as `metadata:NAMESPACE/KEY`. The KEY is its `payload_in_metadata`.
    """

    @property
    def schemes(self) -> frozenset[Scheme]:
        """How the tokens come to Envoy."""
        return frozenset({"Bearer"})


def namespace_and_key(place: str) -> tuple[str, str]:
    """The two parts of a `metadata:NAMESPACE/KEY` that was loaded."""
    namespace, _, key = place.removeprefix(METADATA_PREFIX).partition("/")
    return namespace, key


_JWT: Final = "signed token"
_INTROSPECTION: Final = "introspected token"
_CLAIMS: Final = "claims from Envoy"


def _kind(value: object) -> str:
    match value:
        case IntrospectionSource() | {"introspection": _}:
            return _INTROSPECTION
        case MetadataSource():
            return _CLAIMS
        case {"from": list(places) | tuple(places)}:
            verified = any(isinstance(place, str) and place.startswith(METADATA_PREFIX) for place in places)
            return _CLAIMS if verified else _JWT
        case _:
            return _JWT


UserSource = Annotated[
    Annotated[JwtSource, Tag(_JWT)]
    | Annotated[IntrospectionSource, Tag(_INTROSPECTION)]
    | Annotated[MetadataSource, Tag(_CLAIMS)],
    Discriminator(_kind),
]
"""A closed union of the kinds of sources; what is wrong with one is told in the words of its kind."""
