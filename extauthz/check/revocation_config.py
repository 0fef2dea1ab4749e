"""The `revocations:` block of extauthz.yaml: for how long a store that is silent is believed."""

from math import inf
from typing import Annotated

from pydantic import BeforeValidator

from extauthz.values.block import Block
from extauthz.values.duration import seconds

NEVER = "never"
_LEAST_STALENESS = 1.0


def _staleness(text: object) -> float:
    if text == NEVER:
        return inf
    try:
        waited = seconds(text)
    except ValueError as error:
        raise ValueError(f"{error}, or `{NEVER}`") from None
    if waited < _LEAST_STALENESS:
        raise ValueError(f"shorter than the store may take; write `1s` or more, or `{NEVER}`")
    return waited


class RevocationSettings(Block):
    """`max_staleness`: how many seconds the store may be silent about revocations before subjects are denied; infinite
    for `never`.
    """

    max_staleness: Annotated[float, BeforeValidator(_staleness)] = 60.0
