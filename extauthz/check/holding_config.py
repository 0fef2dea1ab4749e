"""How many calls may be held open for an approval: the settings."""

from typing import Annotated, Final

from pydantic import Field

from extauthz.values.block import Block, Count

AT_ONCE: Final = 10_000
PER_SUBJECT: Final = 16


class HoldingSettings(Block):
    """How many calls may wait for an approval in one worker."""

    at_once: Annotated[Count, Field(ge=0, le=100_000)] = AT_ONCE
    """How many calls one worker holds, of all subjects. Envoy's cluster needs room for more (`max_requests`); with 0
    nobody's call waits, and callers ask again."""
    per_subject: Annotated[Count, Field(ge=1, le=10_000)] = PER_SUBJECT
    """How many calls one worker holds of one subject, so that nobody takes all places."""
