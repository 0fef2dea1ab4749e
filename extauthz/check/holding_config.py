"""How many calls may be held open for an approval: the settings."""

from typing import Annotated, Final

from pydantic import Field

from extauthz.values.block import Block, Count

AT_ONCE: Final = 10_000
PER_SUBJECT: Final = 16


class HoldingSettings(Block):
    """Calls that may wait in one worker: `at_once` of all subjects, `per_subject` of one. With 0 nobody's call waits,
    and callers ask again."""

    at_once: Annotated[Count, Field(ge=0, le=100_000)] = AT_ONCE
    per_subject: Annotated[Count, Field(ge=1, le=10_000)] = PER_SUBJECT
