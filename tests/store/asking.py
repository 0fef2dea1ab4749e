"""What tests of the contract ask of a store again and again, of Alice."""

from stepup.proofs import ALICE, NOW, SESSION
from store.one_loop import run
from store.parts import enrolment, factor, redemption

from extauthz.store.protocol import Advance, Changed, EnrolledFactor, Redeemed, SpentTicket, Store
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject

BOB = Subject(ALICE.issuer, "bob")


def enroll(store: Store, *factors: EnrolledFactor) -> None:
    """Keep these factors."""
    assert run(store.enroll(enrolment(*factors), now=NOW)) is Changed.DONE


def confirm(store: Store, id_: str, mark: int) -> Changed:
    """How it goes when a factor of Alice is confirmed with this number."""
    return run(store.confirm_factor(ALICE, Advance(factor=id_, mark=mark), now=NOW))


def put(store: Store, *grants: Grant, step: int = 7) -> None:
    """Keep these grants, for a proof with a factor of their own."""
    enroll(store, factor(f"of-step-{step}"))
    assert run(store.redeem(redemption(*grants, of=f"of-step-{step}", step=step), now=NOW)) is Redeemed.DONE


def found(store: Store, *, fingerprint: str = "", now: float = NOW, session: str = SESSION) -> list[str]:
    """The ids of the grants that a look-up for Alice finds."""
    return [one.id for one in run(store.look_up(ALICE, session, fingerprint=fingerprint, now=now)).grants]


def spent(id_: str, until: float = NOW + 300) -> SpentTicket:
    """A ticket that goes with what is done."""
    return SpentTicket(id=id_, expires_at=until)
