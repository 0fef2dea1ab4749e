"""Tokens of workloads in extauthz.yaml: whose are read, where, and who vouches for them.

The rule: a token is for this server (`audiences`), from one place that is named, and vouched for by the keys of one
trust domain or one cluster.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from extauthz.identity.key_config import (
    FileOrUrl,
    KeyAddress,
    KeyFields,
    KeyFile,
    KeyPlace,
    KeySource,
    WorkloadApi,
    place_of,
)
from extauthz.identity.keys import Algorithm
from extauthz.identity.spiffe import is_trust_domain
from extauthz.values.block import Block, distinct
from extauthz.values.duration import at_most, longer_than_nothing, seconds
from extauthz.values.secret import SecretFile
from extauthz.values.url import fetch_url

AUTHORIZATION: Final = "authorization"
HEADER_PREFIX: Final = "header:"
KUBERNETES: Final = "workload:kubernetes"
"""The name of the cluster among those whose keys are needed; no source of users can have it."""

# JWT-SVID section 2.1; the same is good for service accounts.
ALGORITHMS: Final[tuple[Algorithm, ...]] = (
    *("RS256", "RS384", "RS512"),
    *("ES256", "ES384", "ES512"),
    *("PS256", "PS384", "PS512"),
)

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
# What other parts of identity read, or Envoy writes.
_TAKEN = frozenset({"authorization", "client-cert", "client-cert-chain", "cookie", "dpop", "host"})
_TAKEN_PREFIXES = ("x-extauthz-", "x-forwarded-", "x-envoy-")
_SOCKET = re.compile(r"unix:/[^\x00-\x1f\x7f]+")


def trust_domain(text: str) -> str:
    """`text`, if it is a trust domain's name; raises `ValueError` otherwise."""
    if not is_trust_domain(text):
        raise ValueError(f"`{text}` is no trust domain; use lower case letters, digits, `.`, `-` and `_` only")
    return text


def _place(text: str) -> str:
    if text == AUTHORIZATION:
        return text
    if not text.startswith(HEADER_PREFIX):
        raise ValueError(f"`{text}` is no place for a workload's token; use `authorization` or `header:NAME`")
    name = text.removeprefix(HEADER_PREFIX)
    if _HEADER.fullmatch(name) is None:
        raise ValueError(f"`{name}` is no name of a header in lower case")
    if name in _TAKEN or name.startswith(_TAKEN_PREFIXES):
        raise ValueError(f"`{name}` holds something else; name a header of its own, such as `header:x-workload-token`")
    return text


def _socket(text: str) -> str:
    if _SOCKET.fullmatch(text) is None:
        raise ValueError("not a socket; write `unix:/run/spire/agent/api.sock`")
    return text


TrustDomain = Annotated[str, AfterValidator(trust_domain)]
Audiences = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
Places = Annotated[
    tuple[Annotated[str, AfterValidator(_place)], ...],
    AfterValidator(distinct),
    Field(default=(AUTHORIZATION,), min_length=1, alias="from"),
]


class JwtSvidSettings(Block):
    """How JWT-SVIDs are read. The keys of a trust domain are in its bundle, or come from the Workload API."""

    model_config = ConfigDict(validate_by_alias=True, validate_by_name=False)

    audiences: Audiences
    """This server's names, of which a token must have one in `aud`. A token for another service is refused."""
    bundles: Mapping[TrustDomain, FileOrUrl] = Field(default_factory=dict)
    """The file or the URL of the SPIFFE bundle of each trust domain, with the keys that tokens are verified by."""
    ca: Path | None = None
    """The file with the authorities of the servers of bundles. Without it those of the system."""
    workload_api: Annotated[str, AfterValidator(_socket)] | None = None
    """The socket of the SPIFFE Workload API, `unix:/path`, which hands out the keys of the trust domains that have no
    bundle here."""
    places: Places
    """Where tokens are read: `authorization`, or `header:NAME` with a header that is used for nothing else."""

    @model_validator(mode="after")
    def _somebody_vouches(self) -> Self:
        if not self.bundles and self.workload_api is None:
            raise ValueError("needs keys; write `bundles: {prod.example.org: bundle.json}`, or name a `workload_api`")
        if self.ca is not None and not any(isinstance(place, KeyAddress) for place in self._bundle_places().values()):
            raise ValueError("`ca` is for bundles that are fetched, and all are files; remove it")
        return self

    def keys_of(self, trust_domains: tuple[str, ...] | None) -> tuple[KeySource, ...]:
        """The trust domains whose tokens are accepted: those with a bundle, and with the Workload API all others."""
        places: dict[str, KeyPlace] = {}
        if self.workload_api is not None:
            socket = Path(self.workload_api.removeprefix("unix:"))
            places = {domain: WorkloadApi(socket=socket, trust_domain=domain) for domain in trust_domains or ()}
        places.update(self._bundle_places())
        return tuple(
            KeySource(name=key_name(domain), place=place, algorithms=ALGORITHMS, use="jwt-svid")
            for domain, place in places.items()
        )

    def _bundle_places(self) -> Mapping[str, KeyFile | KeyAddress]:
        return {domain: place_of(written, ca=self.ca) for domain, written in self.bundles.items()}


def key_name(domain: str) -> str:
    """The name under which the keys of a trust domain go."""
    return f"spiffe://{domain}"


class KubernetesSettings(KeyFields):
    """How tokens of Kubernetes service accounts are read.

    They are verified with the cluster's keys (`jwks`, `discovery`), or by the API server (`token_review`).
    """

    model_config = ConfigDict(validate_by_alias=True, validate_by_name=False)

    trust_domain: TrustDomain
    """The trust domain of the workloads: a token is that of `spiffe://TRUST_DOMAIN/ns/NAMESPACE/sa/NAME`."""
    issuer: str = Field(min_length=1)
    """Exactly the `iss` of the cluster's tokens."""
    audiences: Audiences
    """This server's names, of which a token must have one in `aud`. Do not name the API server's, which every pod's
    default token has."""
    token_review: Annotated[str, AfterValidator(fetch_url)] | None = None
    """The URL of the API server, which is asked whether a token is good. Then one ends with its pod; either this or
    `jwks` or `discovery`."""
    token: SecretFile | None = None
    """The file with this server's own credential for the API server. It is needed for `token_review`."""
    remember: Annotated[
        float, BeforeValidator(seconds), AfterValidator(longer_than_nothing), AfterValidator(at_most("5m"))
    ] = 10.0
    """How long an answer of `token_review` counts, at most `5m`. So long a token is good after it was revoked."""
    places: Places
    """Where tokens are read: `authorization`, or `header:NAME` with a header that is used for nothing else."""

    @property
    def keys(self) -> KeySource | None:
        """Where the cluster's keys are; `None` where the API server is asked instead."""
        place = self.place_of_keys(self.issuer)
        if place is None:
            return None
        if isinstance(place, KeyAddress):
            place = replace(place, token=self.token)
        return KeySource(name=KUBERNETES, place=place, algorithms=ALGORITHMS)

    @model_validator(mode="after")
    def _somebody_vouches(self) -> Self:
        place = self.place_of_keys(self.issuer)
        if (place is None) == (self.token_review is None):
            raise ValueError(
                "needs one of `jwks` (or `discovery`) and `token_review`; name the cluster's keys or its API server"
            )
        if self.token_review is not None and self.token is None:
            raise ValueError("`token_review` needs `token`, the file with this server's own credential")
        if self.token is not None and self.token_review is None and not isinstance(place, KeyAddress):
            raise ValueError("`token` is for asking the API server, and nothing asks it; remove it")
        if "remember" in self.model_fields_set and self.token_review is None:
            raise ValueError("`remember` is for answers of `token_review`; remove it")
        return self
