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
    """Of whom a transmitter may speak. `opaque`, `email` and `account` are formats of identifiers (RFC 9493)."""

    issuers: _Issuers = ()
    """The issuers of whose users it may speak. Without any it may speak of no user."""
    trust_domains: _TrustDomains = ()
    """The trust domains of whose workloads it may speak."""
    devices: Switch = False
    """Whether it may speak of devices."""
    opaque: Text | None = None
    """The issuer, one of `issuers`, whose users have identifiers of the format `opaque` as their `sub`. Without it they
    name nobody."""
    email: Text | None = None
    """The issuer, one of `issuers`, whose users have mail addresses as their `sub`. Without it an address names nobody.
    """
    account: Text | None = None
    """The issuer, one of `issuers`, whose users have `acct:` addresses as their `sub`. Without it they name nobody."""
    sid: Switch = True
    """Whether tokens of these issuers have a `sid`. With `false`, what is said of a session holds for all that its user
    has."""

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
    """Who pushes security event tokens (RFC 8417)."""

    name: Annotated[str, AfterValidator(_name)]
    """The last part of the address to which it pushes, `/.extauthz/signals/NAME`, and its name in logs and metrics."""
    issuer: Text
    """Exactly the `iss` of its tokens."""
    audiences: Audiences
    """Whom its tokens may be for: one of them must be in `aud`."""
    secret: SecretPlace
    """The bearer token that it sends, of at least 16 characters. Without it nothing is read."""
    about: Scope
    """Of whom it may speak. A token about anybody else is refused as a whole."""
    algorithms: Annotated[tuple[PublicKeyAlgorithm, ...], AfterValidator(distinct)] = Field(
        default=("RS256", "ES256"), min_length=1
    )
    """The signatures that are accepted. Name only those that it makes."""
    leeway: Annotated[float, BeforeValidator(seconds), AfterValidator(at_most("5m"))] = 30.0
    """How far its clock may run ahead, at most `5m`."""
    max_age: Annotated[
        float, BeforeValidator(seconds), AfterValidator(longer_than_nothing), AfterValidator(at_most("90d"))
    ] = 7 * 86_400.0
    """How old a token may be, at most `90d`. So long each is remembered, in order to take it once."""
    keep: Annotated[
        float, BeforeValidator(seconds), AfterValidator(longer_than_nothing), AfterValidator(at_most("3650d"))
    ] = 30 * 86_400.0
    """How long what it revokes and warns of holds. Keep it longer than a token of its users lives, or what was revoked
    is good again."""

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
    """What others say of users and devices, by security event tokens that they push."""

    listener: Literal["web", "admin"] = "web"
    """Where tokens are pushed to: `web` with the pages, through Envoy, or `admin` with the probes, for transmitters
    inside of the network."""
    transmitters: tuple[TransmitterSettings, ...] = ()
    """Who may push. Without any the addresses are not there."""

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
