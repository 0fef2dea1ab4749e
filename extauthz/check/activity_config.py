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
    """`touch_every`: how many seconds pass, at least, between two times that the activity of one session is written.
    `keep`: for how many seconds the store remembers a session that is not active.
    """

    touch_every: Annotated[Duration, AfterValidator(_touch)] = 60.0
    keep: Annotated[Duration, AfterValidator(_keep)] = 30 * 86_400.0
