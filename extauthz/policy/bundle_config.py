"""The `bundles:` block of extauthz.yaml: where signed policies come from.

The rule: a bundle has one source, and a key; nothing is taken from it without.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from extauthz.policy.bundle import bundle_name
from extauthz.policy.field_types import Duration
from extauthz.values.block import Block
from extauthz.values.duration import at_most
from extauthz.values.url import fetch_url


class BundleSettings(Block):
    """A signed archive of policies, from a URL or from a file."""

    name: Annotated[str, AfterValidator(bundle_name)] = "policies"
    """The name that the bundle was built with; a bundle of another name is refused. The default is that of `extauthz
    bundle build`."""
    url: Annotated[str, AfterValidator(fetch_url)] | None = None
    """Where the archive is fetched, with `https://`; its signature is looked for at the same address with `.sig`.
    Either this or `path`."""
    path: Path | None = None
    """The file of the archive, with its signature beside it. Either this or `url`."""
    key: Path
    """The file with the public key that the signature is checked by, as `extauthz bundle keygen` makes it."""
    poll: Annotated[Duration, AfterValidator(at_most("24h"))] = 60.0
    """How long after an answer the URL is asked again, at most `24h`. So long may a new version wait."""

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.url is None) == (self.path is None):
            raise ValueError("a bundle needs one of `url` and `path`; write `url: https://…/policies.tar.gz`")
        return self
