"""The secrets that a configuration names by their place, read.

The rule: a message tells the place of a secret, never the secret.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from extauthz.errors import ConfigurationError
from extauthz.lookup.peers import read_secret
from extauthz.values.secret import SecretPlace

SHORTEST: Final = 16
"""Characters of a secret that somebody proves to be somebody with."""


def read_place(
    secret: SecretPlace, *, setting: str, base: Path, environ: Mapping[str, str], shortest: int = SHORTEST
) -> str:
    """The secret that `setting` says the place of; files are relative to `base`. `shortest` is in characters.

    Raises:
        ConfigurationError: there is none, or it is too short.
    """
    if secret.file is not None:
        found, place = read_secret(base / secret.file), f"{base / secret.file}"
    else:
        variable = secret.variable or ""
        found, place = environ.get(variable, ""), f"the variable `{variable}`"
        if not found.isprintable() or not found.isascii() or not found.strip():
            raise ConfigurationError(f"{setting}: {place} is not set to one line of ASCII text; set it to the secret")
    if len(found) < shortest:
        raise ConfigurationError(f"{setting}: {place}: shorter than {shortest} characters; use a longer secret")
    return found
