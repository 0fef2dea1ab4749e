"""What every store works out of an approval, and the texts in which it is kept.

The rule: a text is ASCII, whatever a claim or a reason had in it.
"""

import json
from collections.abc import Iterable
from math import inf
from typing import Final, Literal

import msgspec

from extauthz.identity.revocations import Revocation
from extauthz.store.approvals import MOST_ALIKE, is_unreviewed
from extauthz.store.protocol import Redeemed, Redemption
from extauthz.values.approvals import Absence, Approval, Approved, State
from extauthz.values.grants import Grant

_LATEST: Final = "~"
"""Comes behind every id."""


def has_key_until(approval: Approval) -> float:
    """Until when nothing else is opened with its key, beside what its grant keeps; seconds since the epoch."""
    if approval.state == "pending":
        return approval.expires_at
    return approval.cooldown_until or 0.0


def denies_until(approval: Approval) -> float:
    """Until when nothing that is alike is opened; seconds since the epoch."""
    return 0.0 if approval.state == "pending" else has_key_until(approval)


HAS_A_PLACE: Final = frozenset[State]({"pending", "cancelled"})
"""What counts among the pending ones of a subject until it would have expired: whoever asks and takes it back again and
again would else tell everybody of it as often as they like."""


def most_alike(approval: Approval) -> float:
    """How many may have a place that are alike; a workload alone stands for many, each known by its address."""
    return MOST_ALIKE if approval.subject.issuer else inf


def is_wanted(approval: Approval, now: float) -> bool:
    """Whether it goes last of those that are over: who has asked must not get rid of a denial that still counts, nor of
    a break-glass that nobody has looked at, by asking for more."""
    return is_unreviewed(approval) or has_key_until(approval) > now


def kept_until(approval: Approval, keep: float) -> float:
    """Until when it is kept that is kept for `keep` seconds after it is over."""
    return (approval.expires_at if approval.state == "pending" else approval.state_at) + keep


def rests_since(approval: Approval) -> float:
    """When the oldest token was issued that it rests on, as `Redemption.since`."""
    return -inf if approval.since is None else approval.since


def barred(
    approval: Approval, grants: tuple[Grant, ...], revocations: Iterable[Revocation], now: float
) -> Literal["blocked", "revoked"] | None:
    """What stands against the grants that it would leave, as against those of a proof."""
    if not grants:
        return None
    left = Redemption(subject=approval.subject, burn=None, grants=grants, since=rests_since(approval))
    how = left.barred_by(revocations, now)
    if how is None:
        return None
    return "blocked" if how is Redeemed.BLOCKED else "revoked"


def age(approval: Approval) -> tuple[float, str]:
    """By what pages are in order."""
    return approval.opened_at, approval.id


def mark_of(approval: Approval) -> str:
    """Where a page goes on whose last one this is."""
    return f"{approval.opened_at!r} {approval.id}"


def from_mark(before: str) -> tuple[float, str]:
    """What is before this is on the page that begins there; before the end of time for the first one.

    Raises:
        ValueError: nobody has said so.
    """
    if not before:
        return inf, _LATEST
    opened_at, _, id_ = before.partition(" ")
    return float(opened_at), id_


def to_text(what: Approval | Absence | Approved) -> str:
    """As JSON."""
    return json.dumps(msgspec.to_builtins(what), separators=(",", ":"))


def approval_in(text: str | bytes) -> Approval:
    """The approval in its text. Raises `ValueError`."""
    return msgspec.convert(json.loads(text), Approval)


def absence_in(text: str | bytes) -> Absence:
    """The absence in its text. Raises `ValueError`."""
    return msgspec.convert(json.loads(text), Absence)


def approved_in(text: object) -> Approved | None:
    """What a grant says of its approval. Raises `ValueError`."""
    return None if text is None else msgspec.convert(text, Approved)
