"""The `signals:` block of extauthz.yaml: who may push security event tokens here, and of whom they may speak.

The rule: a transmitter speaks only of what its `about` names. What says nothing to anybody, or could be said by
anybody, is refused when it is loaded.
"""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from extauthz.identity.key_config import KeyFields, KeySource
from extauthz.identity.spiffe import is_trust_domain
from extauthz.identity.user_config import Audiences, PublicKeyAlgorithm, Text
from extauthz.values.block import Block, Switch, distinct
from extauthz.values.duration import at_most, longer_than_nothing, seconds
from extauthz.values.secret import SecretPlace

SOURCE_PREFIX: Final = "signals/"
"""What the names of transmitters begin with where those of all who publish keys are together."""


_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def _name(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise ValueError(f"`{text}` can't be a part of its address; write up to 63 of `a-z`, `0-9`, `-` and `_`")
    return text


def _trust_domain(text: str) -> str:
    if not is_trust_domain(text):
        raise ValueError(f"`{text}` is no trust domain; write it out in lower case")
    return text


_Issuers = Annotated[tuple[Text, ...], AfterValidator(distinct)]
_TrustDomains = Annotated[tuple[Annotated[str, AfterValidator(_trust_domain)], ...], AfterValidator(distinct)]


class Scope(Block):
    """Of whom a transmitter may speak: users of `issuers`, workloads of `trust_domains`, `devices`.

    `opaque`, `email` and `account` are the issuer, one of `issuers`, whose users have these identifiers (RFC 9493) as
    their `sub`; without it they name nobody.
    """

    issuers: _Issuers = ()
    trust_domains: _TrustDomains = ()
    devices: Switch = False
    opaque: Text | None = None
    email: Text | None = None
    account: Text | None = None
    sid: Switch = True

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if not (self.issuers or self.trust_domains or self.devices):
            raise ValueError("names nobody; write `issuers: [https://idp.example.com]`")
        for name in ("opaque", "email", "account"):
            issuer = getattr(self, name)
            if issuer is not None and issuer not in self.issuers:
                raise ValueError(f"`{name}` is `{issuer}`, which is not among `issuers`; add it there")
        return self


class TransmitterSettings(KeyFields):
    """Who pushes security event tokens to `/.extauthz/signals/NAME`, with `secret` as bearer token.

    `issuer` is exactly the `iss` of its tokens, `audiences` whom they may be for, `about` of whom they may speak. In
    seconds: `leeway` is how far its clock may run ahead, `max_age` how old a token may be, and so for how long each is
    remembered, `keep` for how long what it revokes and warns of holds: longer than a token of its users lives.
    """

    name: Annotated[str, AfterValidator(_name)]
    issuer: Text
    audiences: Audiences
    secret: SecretPlace
    about: Scope
    algorithms: Annotated[tuple[PublicKeyAlgorithm, ...], AfterValidator(distinct)] = Field(
        default=("RS256", "ES256"), min_length=1
    )
    leeway: Annotated[float, BeforeValidator(seconds), AfterValidator(at_most("5m"))] = 30.0
    max_age: Annotated[
        float, BeforeValidator(seconds), AfterValidator(longer_than_nothing), AfterValidator(at_most("90d"))
    ] = 7 * 86_400.0
    keep: Annotated[
        float, BeforeValidator(seconds), AfterValidator(longer_than_nothing), AfterValidator(at_most("3650d"))
    ] = 30 * 86_400.0

    @property
    def keys(self) -> KeySource:
        """Where its keys are, and what is taken of them."""
        place = self.place_of_keys(self.issuer)
        assert place is not None  # noqa: S101 - the validator below has seen to it
        return KeySource(name=SOURCE_PREFIX + self.name, place=place, algorithms=self.algorithms)

    @model_validator(mode="after")
    def _has_keys(self) -> Self:
        if self.place_of_keys(self.issuer) is None:
            raise ValueError("missing field `jwks`; name the file or the URL of its keys, or set `discovery: openid`")
        return self


class SignalSettings(Block):
    """The `signals:` block. `listener` is where the tokens are pushed to: with the pages, or with the probes."""

    listener: Literal["web", "admin"] = "web"
    transmitters: tuple[TransmitterSettings, ...] = ()

    @model_validator(mode="after")
    def _has_distinct_names(self) -> Self:
        names = [one.name for one in self.transmitters]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"`{name}` is the name of two transmitters; give each its own")
        return self

    @property
    def keys(self) -> tuple[KeySource, ...]:
        """All whose keys are needed."""
        return tuple(one.keys for one in self.transmitters)
