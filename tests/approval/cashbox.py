"""A cashbox with three rules, as the real code knows it: who asks and who answers, under the names that they go by."""

from typing import Literal

from approval.asking import APP, terms
from approval.asking import PEOPLE as ISSUER
from approval.model import BOARD, COOLDOWN, DENIALS, NEEDED, RULES, TREASURY, VALID, WIDENS, Rule

from extauthz.approval.config import PersonsSettings
from extauthz.approval.persons import Persons
from extauthz.approval.schedule_config import ShiftSettings
from extauthz.approval.terms import Circle, Step, Terms
from extauthz.values.approvals import Approver, Requesters
from extauthz.values.identity import Identity, Subject, User

Spelling = Literal["plain", "shouted", "elsewhere"]
HOLDER = "cookie:c"
AT_CASHBOX = Circle(groups=frozenset({"treasury"}))
ON_DUTY = Circle(groups=frozenset({"on-call:cashbox"}))
TERMS: dict[Rule, Terms] = {
    name: terms(
        circle=ON_DUTY if name == "duty" else AT_CASHBOX,
        min=NEEDED[name],
        deny_min=DENIALS[name],
        escalate=(Step(after=WIDENS, circle=Circle(groups=frozenset({"board"}))),) if name == "two" else (),
        valid_for=VALID,
        uses=1,
        cooldown=COOLDOWN,
    )
    for name in RULES
}
SCHEDULES = {
    "cashbox": tuple(
        ShiftSettings.model_validate({"zone": "UTC", "from": begin, "to": end, "persons": [person]}).shift()
        for begin, end, person in (("00:00", "12:00", "ANNA@example.com"), ("12:00", "24:00", "ben@example.com"))
    )
}
PERSONS = Persons(PersonsSettings(claim="email"))


def claims(name: str, spelling: Spelling = "plain") -> dict[str, object]:
    email = f"{name}@example.com"
    return {"email": email.upper() if spelling == "shouted" else email, "email_verified": True}


def approver(name: str, spelling: Spelling) -> Approver:
    """Somebody who has logged in: plainly, with a name in capitals, or as another subject."""
    subject = Subject(APP if spelling == "elsewhere" else ISSUER, f"{name}-1")
    person = PERSONS.person(subject, claims(name, spelling))
    assert person is not None
    groups = [group for group, members in (("treasury", TREASURY), ("board", BOARD)) if name in members]
    return Approver(subject=subject, person=person, groups=frozenset([*groups, "on-call:cashbox"]))


def requesters(name: str, actor: str | None) -> Requesters:
    acts = None if actor is None else {"sub": f"{actor}-2", "iss": APP, **claims(actor)}
    found = PERSONS.requesters(Identity(user=User(sub=f"{name}-1", iss=APP, claims=claims(name), actor=acts)))
    assert found is not None
    return found


def rule_named(name: str) -> Rule:
    """The rule with this name in decisions."""
    return next(one for one in RULES if name == f"cashbox/{one}")
