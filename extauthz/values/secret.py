"""Where a configuration says that a secret is: never in the configuration itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, model_validator

from extauthz.values.block import Block

_OURS = "EXTAUTHZ_"
_PLAIN: Final = frozenset({"HOME", "LANG", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "TZ", "VIRTUAL_ENV"})
_PLAIN_PREFIXES: Final = ("LC_", "LD_", "DYLD_", "PYTHON", "COVERAGE_", "MALLOC_")

CONFIDENTIAL: Final = "secret"
"""Marks the settings that name a file with a secret in it."""
SecretFile = Annotated[Path, CONFIDENTIAL]
"""A file with a secret in it, or the key of a certificate."""


def _variable(name: str) -> str:
    if not name.isidentifier() or not name.isascii():
        raise ValueError(f"`{name}` is no name of a variable")
    if name.upper().startswith(_OURS):
        raise ValueError(f"`{name}` would be a setting; give the secret a variable that doesn't begin with `{_OURS}`")
    return name


class SecretPlace(Block):
    """A secret in a `file`, relative to the configuration, or in the environment `variable`."""

    file: SecretFile | None = None
    """The file that holds it, for the server's user alone. Either this or `variable`."""
    variable: Annotated[str, AfterValidator(_variable)] | None = None
    """The environment variable that holds it. Its name must not begin with `EXTAUTHZ_`, which names settings."""

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Self:
        if (self.file is None) == (self.variable is None):
            raise ValueError("a secret is in one place; write `{file: PATH}` or `{variable: NAME}`")
        return self


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """What a process of ours is given that needs no secret: where things are, and how this machine speaks.

    Any variable may hold a secret, for a configuration names them, and the environment overrides settings.
    """
    return {name: value for name, value in environ.items() if name in _PLAIN or name.startswith(_PLAIN_PREFIXES)}
