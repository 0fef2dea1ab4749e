"""The protocol of stores: grants, what is good once, factors, limiters, sessions, revocations (design section 5).

The rules: what must be atomic is one call; a call that raises has changed nothing that the caller may count on; and
when a store is out of reach, for whatever reason, every call raises `StateUnavailable`, never anything else. All times
are seconds since the epoch and come from the caller.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import Final, Literal, Protocol

import msgspec

from extauthz.identity.revocations import Revocation
from extauthz.stepup.enrolment import LONGEST_INVITATION
from extauthz.stepup.lockout import Limit
from extauthz.store.approvals import ApprovalStore
from extauthz.store.audit_heads import AuditHeadStore
from extauthz.store.devices import DeviceStore
from extauthz.store.habits import HabitStore
from extauthz.store.letters import LetterStore
from extauthz.store.revocations import RevocationStore
from extauthz.store.signals import SignalStore
from extauthz.values.facts import Question
from extauthz.values.grants import Grant, SessionTimes
from extauthz.values.identity import Subject

CLOCK_SKEW: Final = 300.0
"""How long what was burned is remembered beyond its own end: other replicas' clocks may be behind."""
SWEEP_SECONDS: Final = 60.0
"""How often, at most, what has expired is removed in passing."""
MOST_GRANTS: Final = 64
"""How many grants a subject has, beside those that come at one time: what a look-up costs is bounded."""

RESET_SECONDS: Final = LONGEST_INVITATION + CLOCK_SKEW
"""How long a reset of factors is remembered: longer than anything lives that it ends."""

FactorKind = Literal["totp", "webauthn", "recovery"]
"""What is kept of a subject; a proof at the identity provider leaves nothing to keep."""
AUTHENTICATORS: Final[frozenset[FactorKind]] = frozenset({"totp", "webauthn"})
"""What somebody has for good. Only these make a first and a last one: a recovery code is for the day without them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledFactor:
    """One factor of a subject: an authenticator app, a security key, one recovery code.

    `sealed` is its secret, as `KeyRing.seal` made it for the place (subject, id); `public` is what needs no secrecy,
    such as the public key of an authenticator; `name` is the subject's own word for it. `mark` is the highest number
    that was burned (a TOTP step, a signature counter): none up to it is good again. A factor that is not `confirmed`
    proves nothing yet.
    """

    id: str
    subject: Subject
    kind: FactorKind
    created_at: float
    confirmed: bool
    name: str = ""
    sealed: str = ""
    public: str = ""
    mark: int = -1

    @property
    def counts(self) -> bool:
        """Whether its subject has one of AUTHENTICATORS in it, in force."""
        return self.confirmed and self.kind in AUTHENTICATORS


class SpentTicket(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket (of a challenge, of an enrolment) that is good once and is burned along.

    It is one subject's; whether the same id may be burned again by another is up to the store.
    """

    id: str
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """Burns a number of a factor: good only above every one that was burned of it."""

    factor: str
    mark: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UseUp:
    """Burns a whole factor: a recovery code."""

    factor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Burns nothing of a factor that must be there: an authenticator that does not count."""

    factor: str


Burn = Advance | UseUp | Presence


class Redemption(msgspec.Struct, frozen=True, kw_only=True):
    """A proof of `subject` that was found right: what it burns, what it leaves, and the limiters that get the try back.

    `burn` is `None` for a proof that was given elsewhere; then the ticket alone makes it good once. The grants are the
    subject's. `since` is when the oldest token of the subject was issued that it rests on, in seconds since the epoch;
    who can't say leaves it at the beginning of time. `limits` are those in which the try was `Tried.counted`;
    `known_to` is the one that knows its holder from now on, and forgets what that holder got wrong if it `forgives`.
    """

    subject: Subject
    burn: Burn | None
    grants: tuple[Grant, ...]
    since: float = -inf
    limits: tuple[Limit, ...] = ()
    known_to: Limit | None = None
    ticket: SpentTicket | None = None

    def barred_by(self, revocations: Iterable[Revocation], now: float) -> "Redeemed | None":
        """How it goes if these are the revocations; `None` if none stands against it.

        A single token is left out: what it proves in a session is good beside other tokens of that session alone, and
        those are not revoked.
        """
        barred: Redeemed | None = None
        for one in revocations:
            if one.subject != self.subject or one.until <= now:
                continue
            if one.kind == "block":
                return Redeemed.BLOCKED
            in_session = one.kind == "session" and any(grant.session == one.session for grant in self.grants)
            if in_session or (one.kind == "tokens" and self.since <= one.at):
                barred = Redeemed.REVOKED
        return barred


class Redeemed(Enum):
    """How a redemption went; anything but `DONE` has changed nothing.

    `BLOCKED`: the subject is. `REVOKED`: its tokens of then are, or the session of the grants.
    """

    DONE = "done"
    BLOCKED = "blocked"
    REVOKED = "revoked"
    TICKET_USED = "ticket-used"
    MARK_USED = "mark-used"
    FACTOR_GONE = "factor-gone"


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of factors rests on; a store looks at it in the same step that makes the change.

    `factor` is one of the subject's, by id, that is confirmed and still there; empty for a first one: then none of
    AUTHENTICATORS is confirmed. Times in seconds since the epoch. A reset at `laid_at` or later has ended it. `since`
    is when the oldest thing was issued that it rests on, a token or a link: a block has ended it, and a revocation of
    the tokens of then, or of `session`. Only whoever runs the server rests on none of these.
    """

    factor: str = ""
    laid_at: float = inf
    since: float = inf
    session: str = ""

    def is_ended_by(self, subject: Subject, revocations: Iterable[Revocation], now: float) -> bool:
        """Whether one of these revocations ends what rests on it for this subject."""
        return self.since < inf and any(
            one.kind == "block"
            or (one.kind == "tokens" and self.since <= one.at)
            or (one.kind == "session" and one.session == self.session)
            for one in revocations
            if one.subject == subject and one.until > now
        )


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """New factors of `subject`, which come all together, under ids that are new.

    All its factors of the kinds in `replaces` go, and those of the new kinds that were never confirmed. Without a
    `ground` it rests on nothing but the word of whoever runs the server.
    """

    subject: Subject
    factors: tuple[EnrolledFactor, ...]
    replaces: frozenset[FactorKind] = frozenset()
    ground: Ground | None = None
    ticket: SpentTicket | None = None

    def drops(self, kind: FactorKind, confirmed: bool) -> bool:
        """Whether a factor of this kind that the subject has goes."""
        return kind in self.replaces or (not confirmed and any(factor.kind == kind for factor in self.factors))


class Changed(Enum):
    """How a change of factors went; anything but `DONE` has changed nothing.

    `GROUND_GONE`: what it rests on is there no more. `NOT_FIRST`: the subject has one of AUTHENTICATORS. `LAST`: it has
    no other one.
    """

    DONE = "done"
    TICKET_USED = "ticket-used"
    GROUND_GONE = "ground-gone"
    NOT_FIRST = "not-first"
    FACTOR_GONE = "factor-gone"
    MARK_USED = "mark-used"
    LAST = "last"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a look-up finds: the grants that are good, oldest first, and when the session was seen (`None`: never).

    `answers` are those to the questions that were asked: a count for a `rate`, whether it came before for `seen`,
    `Quantiles` for a `baseline`, a `LastPlace` or `None` for the `place`, and for `raised` when which signal of the
    model was raised last. A question about a subject has none where there is no subject.
    """

    grants: tuple[Grant, ...] = ()
    session: SessionTimes | None = None
    answers: Mapping[Question, object] = field(default_factory=dict)


class Consumed(msgspec.Struct, frozen=True, kw_only=True):
    """How using up went: all that was asked for is `done`, or nothing is. True if it is.

    `used` are the ids of those that have lost a use by it: not those that the same Check has used before, or that are
    good as often as wanted.
    """

    done: bool
    used: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return self.done


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a try: the seconds to `wait` if it must not be made, else the limiters that have counted it.

    They are none if the limiter knows the holder, whose own tally has counted it. `locks` are the seconds for which
    no other try is made after this one, unless it is given back.
    """

    wait: float = 0.0
    counted: tuple[Limit, ...] = ()
    locks: float = 0.0


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """A session of `subject` was active at `at`; it is remembered until `until`, when it can't go on any more."""

    subject: Subject
    session: str
    at: float
    until: float


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which grants are meant: those with this subject, session and rule; `None` is any."""

    subject: Subject | None = None
    session: str | None = None
    rule: str | None = None

    def includes(self, grant: Grant) -> bool:
        """Whether this grant is meant."""
        return (
            self.subject in (None, grant.subject)
            and self.session in (None, grant.session)
            and self.rule in (None, grant.rule)
        )


class Store(
    RevocationStore, SignalStore, HabitStore, DeviceStore, ApprovalStore, LetterStore, AuditHeadStore, Protocol
):
    """State shared by all processes that open the same one. Every method raises `StateUnavailable`."""

    async def look_up(
        self,
        subject: Subject | None,
        session: str | None,
        *,
        fingerprint: str,
        now: float,
        questions: Sequence[Question] = (),
    ) -> Found:
        """What is known of this subject in this session, and what is usual, in one round trip.

        Each key and window of a `rate` counts this request, once however often it is asked about, whatever becomes of
        it; what follows from that alone is told to it. Without a subject nothing but that is known.

        A grant whose last use was spent by `fingerprint` no more than REPEAT_SECONDS ago is among the grants, with one
        use: the same Check sent again may rest on it again. An empty fingerprint is that of no Check.
        """

    async def consume(self, subject: Subject, grants: Sequence[str], *, fingerprint: str, now: float) -> Consumed:
        """Use up one use of each of these grants, by id; nothing is used if one of them has none left.

        What `fingerprint` has used no more than REPEAT_SECONDS ago costs it nothing again.
        """

    async def redeem(self, redemption: Redemption, *, now: float) -> Redeemed:
        """Burn the ticket and what the proof burns and leave the grants, all of it or nothing; then give the try back.

        A ticket is burned once; a number only above every one that was burned of its factor. Nothing is left once
        `put_revocation` of what stands against it has returned, whatever the caller has heard of that. Of older grants
        no more than MOST_GRANTS stay, together with the new ones: first those go that are used up, then the oldest.
        """

    async def use_proof(self, proof: str, *, expires_at: float, fingerprint: str, now: float) -> bool:
        """Remember that a proof of possession was used, by its id, until `expires_at`; false if it was used before.

        The Check that has used it, sent again no more than REPEAT_SECONDS later, uses it no second time. An empty
        fingerprint is that of no Check.
        """

    async def attempt(self, limits: Sequence[Limit], *, now: float) -> Tried:
        """Count one try in each limiter, or say how long one of them must be waited for and count nothing.

        At most one of the limits has a holder. If it knows that holder, then the holder's own tally counts, and nothing
        else.
        """

    async def touch(self, activities: Sequence[Activity]) -> None:
        """Remember that these sessions were active. When one began stays; when it was seen last only moves forward."""

    async def grants(self, selection: Selection, *, now: float) -> tuple[Grant, ...]:
        """The selected grants that are good at `now`, oldest first; those that were used up are not."""

    async def revoke(self, selection: Selection, *, now: float) -> int:
        """Forget the selected grants that are there when it is called; how many of them were still good."""

    async def enroll(self, enrolment: Enrolment, *, now: float) -> Changed:
        """Burn the ticket and let the new factors take their place, all of it or nothing."""

    async def confirm_factor(
        self,
        subject: Subject,
        advance: Advance,
        *,
        now: float,
        ground: Ground | None = None,
        ticket: SpentTicket | None = None,
    ) -> Changed:
        """Burn the ticket and this number, and let the factor prove from now on: all of it or nothing."""

    async def factors(self, subject: Subject | None) -> tuple[EnrolledFactor, ...]:
        """The factors of a subject, of everybody for `None`; oldest first."""

    async def rename_factor(
        self, subject: Subject, factor: str, name: str, *, now: float, ground: Ground | None = None
    ) -> Changed:
        """Call a factor, by id, by another name."""

    async def remove_factor(
        self, subject: Subject, factor: str, *, now: float, ground: Ground | None = None
    ) -> Changed:
        """Forget one factor, by id, unless it is the last one that `counts`. What it proved stays good."""

    async def reset_factors(self, subject: Subject, limits: Sequence[Limit], *, now: float) -> int:
        """Forget the factors and the grants of a subject, and what these limiters hold and know; how many factors that
        were.

        Grants go with the factors: who resets because a phone was stolen wants what it proved to end, too. So does what
        would bring new ones: every ground that was laid until `now`.
        """

    async def ping(self) -> None:
        """Return if the store can be written to.

        Raises `ConfigurationError` if it can, but must not be used as it is set up.
        """

    async def close(self) -> None:
        """Let go of it; closing twice is fine. Every other call raises `StateUnavailable` from then on."""
