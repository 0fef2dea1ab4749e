"""What a met challenge or a given approval leaves behind, and what a decision looks up (design section 4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from extauthz.values.identity import Subject
from extauthz.values.request import EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A proof given for something: an input to the next decision, never a bearer ticket.

    `binding` is the text that `stepup.binding` makes of the rule's `bind`: the grant is good for what has the same
    binding. `rule` is the `policy/rule` that asked for it, by which it can be found and revoked; it decides nothing.
    `factor` is what `stepup.factors` calls it, an `amr` value of RFC 8176 (`otp`, `hwk`, …). `issued_at` and
    `expires_at` are seconds since the epoch.
    `uses` is how often it may still be used up, `None` for as often as wanted until it expires.
    """

    id: str
    subject: Subject
    session: str
    holder: str
    binding: str
    rule: str = ""
    factor: str
    issued_at: float
    expires_at: float
    uses: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTimes:
    """When a session was seen first and last, in seconds since the epoch."""

    started_at: float
    last_seen: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAges:
    """How old a session is and for how long it was idle, in seconds at the time of the decision; `None` is unknown."""

    age: float | None = None
    idle: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The look-ups that the candidate rules of one request need, and no others.

    `grants` are those of the session. `session` is when it was seen, for rules that are obeyed; `shadow_session`, for
    rules in shadow, without which the request is decided all the same.
    """

    grants: bool = False
    session: bool = False
    shadow_session: bool = False

    def __bool__(self) -> bool:
        return self.grants or self.session or self.shadow_session

    @property
    def ages(self) -> bool:
        """Whether any rule looks at the age of the session."""
        return self.session or self.shadow_session


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the look-ups returned. `device` and `geo` are what conditions see under these names.

    `session` is `None` where it was not looked up, or could not be: that is not absent, and reading it is an error.
    """

    grants: tuple[Grant, ...] = ()
    session: SessionAges | None = None
    device: Mapping[str, Any] = EMPTY
    geo: Mapping[str, Any] = EMPTY


NO_FACTS = Facts()
