"""Builders of what stores keep."""

from stepup.proofs import ALICE, NOW, SESSION

from extauthz.stepup.lockout import Limit
from extauthz.store.protocol import Redemption, SpentTicket, TotpFactor, TotpStep
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

LIMIT = Limit(key="subject:a", free=3, pause=10.0, longest=100.0, memory=1000.0, resets=True)
ADDRESS = Limit(key="address:b", free=5, pause=10.0, longest=100.0, memory=1000.0, resets=False)


def grant(id_: str = "g1", **changed: object) -> Grant:
    """A grant of Alice, as often as wanted for five minutes."""
    values: dict[str, object] = {
        "id": id_,
        "subject": ALICE,
        "session": SESSION,
        "holder": "cookie:x",
        "binding": "action:p/r",
        "factor": "otp",
        "issued_at": NOW,
        "expires_at": NOW + 300,
        **changed,
    }
    return Grant(**values)  # type: ignore[arg-type]  # the types are those of the fields that a test names


def factor(id_: str = "f1", subject: Subject = ALICE, *, confirmed: bool = True, created_at: float = NOW) -> TotpFactor:
    """An authenticator app."""
    return TotpFactor(id=id_, subject=subject, sealed="s1.k.x", created_at=created_at, confirmed=confirmed)


def redemption(
    *grants: Grant, step: int = 7, of: str = "f1", ticket: str | None = None, limits: tuple[Limit, ...] = ()
) -> Redemption:
    """What a right code of step `step` leaves."""
    spent = SpentTicket(id=ticket, expires_at=NOW + 300) if ticket is not None else None
    return Redemption(step=TotpStep(factor=of, step=step), grants=grants, limits=limits, ticket=spent)
