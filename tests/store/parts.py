"""Builders of what stores keep."""

from typing import Any

from stepup.proofs import ALICE, NOW, SESSION

from extauthz.stepup.lockout import Limit
from extauthz.store.protocol import Advance, EnrolledFactor, Enrolment, FactorKind, Ground, Redemption, SpentTicket
from extauthz.values.approvals import APPROVAL_FACTOR, Approval, Requesters
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject
from extauthz.values.letters import Letter

LIMIT = Limit(key="subject:a", free=3, pause=10.0, longest=100.0, memory=1000.0)
ADDRESS = Limit(key="address:b", free=5, pause=10.0, longest=100.0, memory=1000.0)
FIRST = Ground(laid_at=NOW)
"""That there is no factor yet, as somebody found at `NOW`."""


def grant(id_: str = "g1", **changed: object) -> Grant:
    """A grant of Alice, as often as wanted for five minutes."""
    values: dict[str, object] = {
        "id": id_,
        "subject": ALICE,
        "session": SESSION,
        "holder": "cookie:x",
        "binding": "action:p/r",
        "rule": "p/r",
        "factor": "otp",
        "issued_at": NOW,
        "expires_at": NOW + 300,
        **changed,
    }
    return Grant(**values)  # type: ignore[arg-type]  # the types are those of the fields that a test names


def factor(
    id_: str = "f1",
    subject: Subject = ALICE,
    *,
    kind: FactorKind = "totp",
    confirmed: bool = True,
    created_at: float = NOW,
    mark: int = -1,
) -> EnrolledFactor:
    """An authenticator app, or something else."""
    return EnrolledFactor(
        id=id_,
        subject=subject,
        kind=kind,
        created_at=created_at,
        confirmed=confirmed,
        name="My phone",
        sealed="s1.k.x",
        public="key",
        mark=mark,
    )


def enrolment(*factors: EnrolledFactor, **changed: Any) -> Enrolment:
    """New factors of the subject of the first one."""
    return Enrolment(**{"subject": factors[0].subject, "factors": factors, **changed})


def redemption(
    *grants: Grant, step: int = 7, of: str = "f1", ticket: str | None = None, limits: tuple[Limit, ...] = ()
) -> Redemption:
    """What a right code of step `step` leaves."""
    spent = SpentTicket(id=ticket, expires_at=NOW + 300) if ticket is not None else None
    return Redemption(subject=ALICE, burn=Advance(factor=of, mark=step), grants=grants, limits=limits, ticket=spent)


def approval(id_: str = "a1", **changed: object) -> Approval:
    """An approval that Alice asks for, pending for a quarter of an hour; each is for something else."""
    values: dict[str, object] = {
        "id": id_,
        "key": f"key of {id_}",
        "rule": "p/r",
        "binding": f"request:{id_}:p/r",
        "bind": "request",
        "subject": ALICE,
        "session": SESSION,
        "holder": "cookie:x",
        "requesters": Requesters(persons=("alice",), subjects=(ALICE,)),
        "since": NOW - 60,
        "opened_at": NOW,
        "expires_at": NOW + 900,
        "due_at": NOW + 900,
        "state_at": NOW,
        **changed,
    }
    return Approval(**values)  # type: ignore[arg-type]  # the types are those of the fields that a test names


def given(of: str = "a1", **changed: object) -> Grant:
    """The grant of an approval of Alice, for one use."""
    return grant(of, **{"factor": APPROVAL_FACTOR, "uses": 1, **changed})


def letter(id_: str = "l1", **changed: object) -> Letter:
    """A letter to the webhook `hook` that says that `a1` was opened."""
    values: dict[str, object] = {
        "id": id_,
        "sink": "hook",
        "to": "",
        "event": f"event of {id_}",
        "kind": "opened",
        "approval": "a1",
        "at": NOW,
        "content": b"\x00\xff {}",
        **changed,
    }
    return Letter(**values)  # type: ignore[arg-type]  # the types are those of the fields that a test names
