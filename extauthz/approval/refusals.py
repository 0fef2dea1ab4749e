"""Why what somebody wants of an approval does not happen, in one word each, the same at every door."""

from typing import Literal

import msgspec

RefusalWord = Literal[
    "not-found",
    "not-pending",
    "rule-gone",
    "requester",
    "voted-already",
    "not-an-approver",
    "needs-reason",
    "reason-too-long",
    "needs-factor",
    "not-the-requester",
    "not-approved",
    "not-break-glass",
    "reviewed-already",
    "subject-blocked",
    "conflict",
]
"""`not-found`: there is none with this id. `not-pending`: it is over, see its state. `rule-gone`: no rule in force asks
for it. `requester`: who has asked, or acts for them, does not answer. `voted-already`: one person, one vote.
`not-an-approver`: the rule does not ask them (yet). `needs-factor`: the rule wants a fresh proof first.
`not-the-requester`: only who has asked may do that. `not-approved`: nothing was given, or it was taken back.
`subject-blocked`: whoever asks is blocked or revoked, so that it was cancelled. `conflict`: others have changed it
again and again at the same moment; try once more.
"""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """With `needs-factor`, any one of `factors` (`amr` values) within the last `max_age` seconds would do."""

    word: RefusalWord
    factors: frozenset[str] = frozenset()
    max_age: float = 0.0
