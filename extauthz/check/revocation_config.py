"""The `revocations:` block of extauthz.yaml: for how long a store that is silent is believed."""

from math import inf
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from extauthz.values.block import Block
from extauthz.values.duration import DURATION, seconds

NEVER = "never"
_LEAST_STALENESS = 1.0
_WRITTEN = WithJsonSchema({"type": "string", "pattern": f"^(?:{DURATION.pattern}|{NEVER})$"})


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
    """For how long a store that is silent is believed."""

    max_staleness: Annotated[float, BeforeValidator(_staleness), _WRITTEN] = 60.0
    """How long the store may be silent about revocations before requests with a subject are denied; at least `1s`, or
    `never`. A longer one lets blocked subjects in for as long, a shorter one denies during short outages."""
