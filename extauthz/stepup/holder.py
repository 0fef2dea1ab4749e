"""Which of the things that a caller holds a new grant is tied to (design section 4, holder)."""

from collections.abc import Set as AbstractSet
from typing import Final

_PREFERENCE: Final = ("cookie:", "dpop:", "cert:", "peer:")
"""From what only this browser has to what everybody behind one address may share."""


def choose_holder(holders: AbstractSet[str]) -> str | None:
    """The holder that is hardest to share, `None` if there is nothing to tie a grant to."""
    for prefix in _PREFERENCE:
        fitting = [holder for holder in holders if holder.startswith(prefix)]
        if fitting:
            return min(fitting)
    return None
