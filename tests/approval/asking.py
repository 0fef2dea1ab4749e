"""An approval that is asked for, the people around it, and the terms of its rule."""

import dataclasses
from typing import Any

from msgspec.structs import replace

from extauthz.approval.on_call import Right
from extauthz.approval.terms import Circle, Terms
from extauthz.values.approvals import Approval, Approver, BreakGlass, Ended, Proof, Requesters, Stance, Vote, key_of
from extauthz.values.identity import Subject

NOW = 1_795_000_000.0
APP, PEOPLE = "https://idp.example.com", "https://people.example.com"
"""The issuer of those who ask, and that of those who answer."""
RULE = "payments/four-eyes"
CALLER = Subject(APP, "u1")
ROBOT = Subject("", "spiffe://prod.example.org/ns/shop/sa/bot")
CIRCLE = Circle(groups=frozenset({"treasury"}))
PROOF = Proof(factor="hwk", at=NOW)


def person(name: str, *groups: str, issuer: str = PEOPLE, claims: dict[str, Any] | None = None) -> Approver:
    """Somebody who may answer, known as a person by this name."""
    return Approver(subject=Subject(issuer, f"{name}-sub"), person=name, groups=frozenset(groups), claims=claims or {})


ANNA = person("anna", "treasury")
BEN = person("ben", "treasury")
CLEO = person("cleo", "treasury")
DORA = person("dora", "board")
UMA = person("uma", "treasury")
"""Who asks, under the name by which she logs in to answer."""
UMA_ASKING = Approver(subject=CALLER, person="uma", groups=frozenset({"oncall"}))


def terms(**changes: Any) -> Terms:
    """Two persons of the treasury."""
    return dataclasses.replace(Terms(circle=CIRCLE, min=2, valid_for=300.0, uses=1, cooldown=600.0), **changes)


def asked(**changes: Any) -> Approval:
    """What Uma asks for through a robot, for a quarter of an hour."""
    approval = Approval(
        id="a1",
        key=key_of(subject=CALLER, session="s1", holder="cookie:c", rule=RULE, binding="b"),
        rule=RULE,
        binding="b",
        bind="request",
        subject=CALLER,
        session="s1",
        holder="cookie:c",
        requesters=Requesters(persons=("uma",), subjects=(CALLER, ROBOT)),
        opened_at=NOW,
        expires_at=NOW + 900,
        due_at=NOW + 900,
        state_at=NOW,
    )
    return replace(approval, **changes)


def own(approver: Approver) -> tuple[Right, ...]:
    """The right of somebody who stands in for nobody."""
    return (Right(holder=approver, own=True),)


def standing_in(approver: Approver, absent: Approver) -> tuple[Right, ...]:
    """The rights of somebody who stands in for somebody else."""
    return (*own(approver), Right(holder=absent, own=False))


def vote(approver: Approver, stance: Stance = "approve", *, at: float = NOW, **changes: Any) -> Vote:
    """A vote as it is kept."""
    return replace(Vote(approver=approver, stance=stance, at=at), **changes)


APPROVED = asked(state="approved", state_at=NOW + 20, due_at=None, votes=(vote(ANNA), vote(BEN)))
BROKEN = asked(
    state="approved",
    state_at=NOW + 20,
    due_at=None,
    break_glass=BreakGlass(by=UMA_ASKING, reason="the house is on fire", proof=PROOF, at=NOW + 20),
)
DENIED = asked(state="denied", state_at=NOW + 20, due_at=None, votes=(vote(ANNA, "deny"),), cooldown_until=NOW + 620)
EXPIRED = asked(state="expired", state_at=NOW + 900, due_at=None)
CANCELLED = asked(state="cancelled", state_at=NOW + 20, due_at=None, cancelled=Ended(by=CALLER.key, at=NOW + 20))
