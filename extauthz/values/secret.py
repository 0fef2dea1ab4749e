"""Where a configuration says that a secret is: never in the configuration itself."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from extauthz.values.block import Block

_OURS = "EXTAUTHZ_"


def _variable(name: str) -> str:
    if not name.isidentifier() or not name.isascii():
        raise ValueError(f"`{name}` is no name of a variable")
    if name.upper().startswith(_OURS):
        raise ValueError(f"`{name}` would be a setting; give the secret a variable that doesn't begin with `{_OURS}`")
    return name


class SecretPlace(Block):
    """A secret in a `file`, relative to the configuration, or in the environment `variable`."""

    file: Path | None = None
    variable: Annotated[str, AfterValidator(_variable)] | None = None

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Self:
        if (self.file is None) == (self.variable is None):
            raise ValueError("a secret is in one place; write `{file: PATH}` or `{variable: NAME}`")
        return self
