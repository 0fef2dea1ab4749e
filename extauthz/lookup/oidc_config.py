"""The `stepup.oidc:` list of extauthz.yaml: the providers that users are sent to, and who this server is there.

The rule: a provider that could meet no challenge, or two that could meet one, are refused when they are loaded.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from extauthz.identity.discovery import metadata_url
from extauthz.identity.key_config import DiscoveredKeys, KeySource
from extauthz.identity.keys import Algorithm
from extauthz.identity.user_config import MostTexts, Text
from extauthz.lookup.client_authentication import ClientAuthentication
from extauthz.stepup.oidc import Provider
from extauthz.values.block import Block, Switch, distinct
from extauthz.values.duration import at_most, seconds
from extauthz.values.secret import SecretFile

Texts = Annotated[tuple[Text, ...], AfterValidator(distinct), Field(min_length=1)]

_OPENID: Final = "openid"


def _issuer(text: str) -> str:
    metadata_url(text, "openid")
    return text


class OidcSettings(Block):
    """One provider, found by OpenID Connect Discovery."""

    issuer: Annotated[str, AfterValidator(_issuer)]
    """The provider's issuer, by which its metadata is found and its ID tokens are known."""
    client_id: Text
    """As whom this server is registered there."""
    client_secret_file: SecretFile | None = None
    """The file with the secret of `client_id`. Without it this server is a public client, which PKCE alone protects."""
    auth: ClientAuthentication = "basic"
    """How the secret is sent: as HTTP `basic`, or in the body (`post`), as the provider wants it."""
    ca: Path | None = None
    """The file with the authorities of the provider. Without it those of the system."""
    scopes: Texts = (_OPENID,)
    """The scopes that are asked for; `openid` is one of them."""
    algorithms: Annotated[tuple[Algorithm, ...], AfterValidator(distinct), Field(min_length=1)] = ("RS256", "ES256")
    """The signatures of ID tokens that are accepted."""
    subjects: dict[Text, Text] = Field(default_factory=dict)
    """For users of other issuers, the claim of this provider's ID tokens that is their `sub`. A claim that users can
    edit lets one prove himself as another."""
    acr: dict[Text, MostTexts] = Field(default_factory=dict)
    """For what rules ask for as `acr`, the provider's own words, of which an ID token must have one."""
    amr: Annotated[tuple[Text, ...], AfterValidator(distinct)] = ()
    """Methods of which the ID token's `amr` must have one. Without any, a new login is proof enough."""
    login_hint: Switch = False
    """Whether the user's `sub` is sent along, so that the provider asks for the right account."""
    first_factor: Switch = False
    """Whether a user who has no factor may set one up after a new login there. Whoever can log in there, say by a
    password alone, can then do so for everybody who has none."""
    leeway: Annotated[float, BeforeValidator(seconds), AfterValidator(at_most("5m"))] = 30.0
    """How far the provider's clock may run ahead, at most `5m`."""

    @model_validator(mode="after")
    def _asks_for_an_id_token(self) -> Self:
        if _OPENID not in self.scopes:
            raise ValueError("`scopes` are without `openid`, and so there would be no ID token; add it")
        if self.issuer in self.subjects:
            raise ValueError("`subjects` names the provider itself, whose users are known by `sub`; remove it")
        return self

    @property
    def keys_place(self) -> DiscoveredKeys:
        """Where the keys of its ID tokens are."""
        return DiscoveredKeys(issuer=self.issuer, metadata_url=self.metadata_url, ca=self.ca)

    @property
    def key_source(self) -> KeySource:
        """What is taken of these keys."""
        return KeySource(name=self.issuer, place=self.keys_place, algorithms=self.algorithms)

    @property
    def metadata_url(self) -> str:
        """Where it publishes its metadata."""
        return metadata_url(self.issuer, "openid")

    def provider(self, *, authorization_endpoint: str, sends_issuer: bool) -> Provider:
        """The provider, with what its metadata says."""
        return Provider(
            issuer=self.issuer,
            authorization_endpoint=authorization_endpoint,
            client_id=self.client_id,
            subject_claims={**self.subjects, self.issuer: "sub"},
            scopes=self.scopes,
            acr=self.acr,
            amr=frozenset(self.amr),
            sends_issuer=sends_issuer,
            leeway=self.leeway,
        )


def provider_of(settings: tuple[OidcSettings, ...]) -> Mapping[str, OidcSettings]:
    """Which provider is asked about the subjects of an issuer.

    Raises:
        ValueError: two are.
    """
    found: dict[str, OidcSettings] = {}
    for one in settings:
        for issuer in (one.issuer, *one.subjects):
            if found.setdefault(issuer, one) is not one:
                raise ValueError(f"users of `{issuer}` would be sent to two providers; remove one of them")
    return found
