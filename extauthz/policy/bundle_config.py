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
    """A signed archive of policies, from `url` or from the file `path`.

    `key` is the file of the public key, `poll` the seconds between two looks at the URL.
    """

    name: Annotated[str, AfterValidator(bundle_name)] = "policies"
    url: Annotated[str, AfterValidator(fetch_url)] | None = None
    path: Path | None = None
    key: Path
    poll: Annotated[Duration, AfterValidator(at_most("24h"))] = 60.0

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.url is None) == (self.path is None):
            raise ValueError("a bundle needs one of `url` and `path`; write `url: https://…/policies.tar.gz`")
        return self
