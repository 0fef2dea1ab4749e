"""The `sessions:` block of extauthz.yaml: how often the activity of a session is written, and how long it is kept."""

from typing import Annotated

from pydantic import AfterValidator

from extauthz.policy.field_types import Duration
from extauthz.values.block import Block

_LEAST_TOUCH, _MOST_TOUCH, _LEAST_KEEP = 1.0, 3600.0, 86_400.0


def _touch(seconds: float) -> float:
    if not _LEAST_TOUCH <= seconds <= _MOST_TOUCH:
        raise ValueError("not between a second and an hour; write `60s`")
    return seconds


def _keep(seconds: float) -> float:
    if seconds < _LEAST_KEEP:
        raise ValueError("shorter than a day; write `24h` or more")
    return seconds


class SessionSettings(Block):
    """How often the activity of sessions is written, and how long it is kept."""

    touch_every: Annotated[Duration, AfterValidator(_touch)] = 60.0
    """How often the activity of one session is written, at most; from `1s` to `1h`. To other servers a session may look
    idle for as long, so keep it well below the limits in rules."""
    keep: Annotated[Duration, AfterValidator(_keep)] = 30 * 86_400.0
    """How long the store remembers a session that is not active, at least `24h`. Keep it longer than any limit in a
    rule: a forgotten session counts as new."""
