"""The lifecycle of an approval: which happening leads from which state to which.

The rule: this table is all of it. What is not in it does not happen; a state from which nothing but itself is reached
is final. How many votes make an answer is counted elsewhere (`approval.counting`); here an answer is one happening.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from extauthz.values.approvals import State

Happening = Literal[
    "voted", "escalated", "approved", "denied", "expired", "cancelled", "broken-glass", "reviewed", "revoked"
]
"""What can happen to an approval once it is there.

`voted`: a vote that is no answer yet. `approved` and `denied`: the answer, by the last vote that it needs or by an
automatic rule. `escalated`: more people are asked. `expired`: nobody has answered in time. `cancelled`: who has asked
wants it no more. `broken-glass`: who has asked went through without an answer. `reviewed`: somebody has looked at that
afterwards. `revoked`: what was given is taken back.
"""

NEXT: Final[Mapping[tuple[State, Happening], State]] = MappingProxyType(
    {
        ("pending", "voted"): "pending",
        ("pending", "escalated"): "pending",
        ("pending", "approved"): "approved",
        ("pending", "denied"): "denied",
        ("pending", "expired"): "expired",
        ("pending", "cancelled"): "cancelled",
        ("pending", "broken-glass"): "approved",
        ("approved", "reviewed"): "approved",
        ("approved", "revoked"): "approved",
    }
)


def after(state: State, happening: Happening) -> State:
    """The state after it.

    Raises:
        KeyError: it can't happen in this state.
    """
    return NEXT[state, happening]


def is_final(state: State) -> bool:
    """Whether no other state comes after this one."""
    return all(after == state for (before, _), after in NEXT.items() if before == state)
