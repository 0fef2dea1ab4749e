"""Where the keys of an issuer are: the fields of extauthz.yaml that say it, and what they come to.

The rule: one place for one issuer. Two places that could disagree, or one that nobody can vouch for, are refused when
they are loaded.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import msgspec
from pydantic import AfterValidator, Field, model_validator

from extauthz.identity.discovery import DiscoveryKind, metadata_url
from extauthz.identity.keys import Algorithm, KeySet, KeyUse, read_keys
from extauthz.values.block import Block
from extauthz.values.url import fetch_url

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class KeyFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file, relative to the configuration."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAddress:
    """A URL; `ca` is the file with the authorities that its certificate may come from, `None` for those of the system.

    `token` is the file of a bearer token that is sent along, for those who ask for one.
    """

    url: str
    ca: Path | None = None
    token: Path | None = None


class DiscoveredKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The URL that the issuer's own metadata, at `metadata_url`, names; `ca` as in `KeyAddress`."""

    issuer: str
    metadata_url: str
    ca: Path | None = None


class WorkloadApi(msgspec.Struct, frozen=True, kw_only=True):
    """The SPIFFE Workload API behind the Unix socket `socket`, which hands out the keys of `trust_domain`."""

    socket: Path
    trust_domain: str


KeyPlace = KeyFile | KeyAddress | DiscoveredKeys | WorkloadApi
"""A closed union of where keys can be."""


class KeySource(msgspec.Struct, frozen=True, kw_only=True):
    """One publisher of keys: where they are and what is taken of them.

    `name` is that of a source of users, or the SPIFFE ID of a trust domain: `FetchKeys` and `Resolver.with_keys` go by
    it.
    """

    name: str
    place: KeyPlace
    algorithms: tuple[Algorithm, ...]
    use: KeyUse = "sig"

    def read(self, document: str, *, setting: str = "") -> KeySet:
        """The keys in what it publishes; raises `ConfigurationError` for what can't be used, as `read_keys` does.

        `setting` is the key of extauthz.yaml that names the file, which the message then tells.
        """
        of_file = f"{setting}: `{self.place.path}`" if isinstance(self.place, KeyFile) and setting else ""
        place = of_file or f"jwks of `{self.name}`"
        return read_keys(document, place=place, algorithms=self.algorithms, use=self.use)


def _file_or_url(text: str) -> str:
    return fetch_url(text) if _URL.match(text) is not None else text


FileOrUrl = Annotated[str, Field(min_length=1), AfterValidator(_file_or_url)]


def place_of(written: str, *, ca: Path | None) -> KeyFile | KeyAddress:
    """The place that a `FileOrUrl` writes; `ca` as in `KeyAddress`."""
    return KeyAddress(url=written, ca=ca) if _URL.match(written) is not None else KeyFile(path=Path(written))


class KeyFields(Block):
    """Where the keys of an issuer are."""

    jwks: FileOrUrl | None = None
    """The file or the URL of the JWK Set with the keys. Either this or `discovery`."""
    discovery: DiscoveryKind | None = None
    """By which metadata the issuer names the URL of its keys: `openid` (OpenID Connect Discovery) or `oauth` (RFC
    8414)."""
    ca: Path | None = None
    """The file with the authorities of whoever is asked for keys. Without it those of the system."""

    @model_validator(mode="after")
    def _in_one_place(self) -> Self:
        if self.jwks is not None and self.discovery is not None:
            raise ValueError("`jwks` and `discovery` both say where the keys are; keep one of them")
        if self.ca is not None and self.jwks is not None and _URL.match(self.jwks) is None:
            raise ValueError("`ca` is for keys that are fetched, and `jwks` names a file; remove it")
        return self

    def place_of_keys(self, issuer: str) -> KeyPlace | None:
        """Where the keys of `issuer` are, `None` if nothing says it. Raises `ValueError` for an issuer without
        metadata."""
        if self.discovery is not None:
            return DiscoveredKeys(issuer=issuer, metadata_url=metadata_url(issuer, self.discovery), ca=self.ca)
        return None if self.jwks is None else place_of(self.jwks, ca=self.ca)
