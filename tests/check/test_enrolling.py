"""The enrolment guard where requests race: whatever order they come in, one link makes one first factor."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from stepup.authenticator import SoftwareAuthenticator
from stepup.proofs import ALICE, NOW, ring

from extauthz.check.enrolling import Change, Enrolling
from extauthz.check.proof.proving import LockedOut
from extauthz.check.seating import Seated, Seating
from extauthz.stepup.authenticators import challenge_of
from extauthz.stepup.enrolment import Grounds, Invitation, Seat, invite, open_invitation, user_handle
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.totp import code_at, step_at
from extauthz.stepup.webauthn import verify_registration
from extauthz.store.open import open_store
from extauthz.store.protocol import EnrolledFactor, Enrolment

RING = ring()
RACERS = 20
US = RelyingParty(id="example.com", name="Example", origins=("https://app.example.com",))


class Office:
    """Servers on one store, each with a connection of its own."""

    def __init__(self, folder: Path, servers: int = 2) -> None:
        stores = [open_store("sqlite:///extauthz.db", base=folder) for _ in range(servers)]
        self._seatings = [Seating(store=store, keys=RING, clock=lambda: NOW, entropy=os.urandom) for store in stores]
        self._turn = 0

    def server(self) -> Enrolling:
        """The next one."""
        self._turn += 1
        return Enrolling(seating=self._seatings[self._turn % len(self._seatings)])

    async def close(self) -> None:
        for seating in self._seatings:
            await seating.store.close()

    async def seated(self, grounds: Grounds = "administrator") -> Seated:
        """Somebody who has begun with a new link."""
        server = self.server().seating
        invitation = link(grounds)
        seat = await server.take_seat(invitation, os.urandom(8).hex())
        assert seat is not None
        return await server.sit(invitation, seat)

    async def with_an_app(self) -> tuple[Seated, bytes]:
        """Somebody who waits for the first code of an app, and its secret."""
        at = await self.seated()
        await self.server().begin_app(at, "App")
        waiting = await self.server().waiting_app(at)
        assert waiting is not None
        return at, waiting[1]

    async def with_keys(self, *pages: int) -> tuple[tuple[Seated, ...], ...]:
        """Alice with a security key for each number, and so many pages on which it was proven."""
        devices = [SoftwareAuthenticator(credential_id=bytes([number]) * 32) for number in range(len(pages))]
        handle = user_handle(link())
        factors = tuple(registered(device, handle) for device in devices)
        await self.server().seating.store.enroll(Enrolment(subject=ALICE, factors=factors), now=NOW - 60)
        return tuple(
            [
                tuple([await self.proven(device) for _ in range(many)])
                for device, many in zip(devices, pages, strict=True)
            ]
        )

    async def proven(self, device: SoftwareAuthenticator) -> Seated:
        """Somebody who has begun with a new link and has proven this key."""
        at, server = await self.seated(), self.server().seating
        seat = await server.prove_key(at, US, device.sign_in(challenge_of(at.seat.id, "webauthn.get")))
        assert isinstance(seat, Seat)
        return await server.sit(at.invitation, seat)

    async def add_key(self, at: Seated) -> Change:
        """Register another key from this page."""
        device = SoftwareAuthenticator(credential_id=os.urandom(32))
        answer = device.register(challenge_of(at.seat.id, "webauthn.create"))
        return await self.server().add_key(at, US, answer=answer, name="Another")

    async def confirmed(self) -> tuple[EnrolledFactor, ...]:
        """What Alice has."""
        factors = await self.server().seating.store.factors(ALICE)
        return tuple(factor for factor in factors if factor.confirmed)


def link(grounds: Grounds = "administrator") -> Invitation:
    text = invite(ALICE, grounds=grounds, issued_at=NOW, expires_at=NOW + 3600, keys=RING, entropy=os.urandom)
    return open_invitation(text, RING)


def code(secret: bytes, ahead: int = 0) -> str:
    return code_at(secret, step_at(NOW) + ahead)


def registered(device: SoftwareAuthenticator, handle: bytes) -> EnrolledFactor:
    challenge = b"c" * 32
    new = verify_registration(
        device.register(challenge),
        relying_party=US,
        challenge=challenge,
        user_handle=handle,
        registered=[],
        user_verification="preferred",
    )
    return EnrolledFactor(
        id=os.urandom(16).hex(),
        subject=ALICE,
        kind="webauthn",
        created_at=NOW - 60,
        confirmed=True,
        public=new.authenticator.to_text(),
        mark=new.mark,
    )


def at_work(folder: Path, work: Callable[[Office], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        office = Office(folder)
        try:
            await work(office)
        finally:
            await office.close()

    asyncio.run(run())


def test_one_browser_takes_the_seat_of_a_link(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        invitation = link()
        seats = await asyncio.gather(
            *(office.server().seating.take_seat(invitation, f"browser {number}") for number in range(RACERS))
        )
        assert sum(1 for seat in seats if seat is not None) == 1

    at_work(tmp_path, work)


def test_a_first_code_that_is_sent_many_times_confirms_once(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        at, secret = await office.with_an_app()
        changes = await asyncio.gather(*(office.server().confirm_app(at, code(secret)) for _ in range(RACERS)))
        assert sum(1 for change in changes if isinstance(change, Seat)) == 1
        assert len(await office.confirmed()) == 1

    at_work(tmp_path, work)


def test_of_many_links_one_makes_the_first_factor(tmp_path: Path) -> None:
    async def race(office: Office) -> Change:
        at = await office.seated()
        if at.may != "add-first":
            return "not-first"
        begun = await office.server().begin_app(at, "App")
        waiting = await office.server().waiting_app(at)
        if not isinstance(begun, Seat) or waiting is None:
            return "gone"
        return await office.server().confirm_app(at, code(waiting[1]))

    async def work(office: Office) -> None:
        changes = await asyncio.gather(*(race(office) for _ in range(RACERS)))
        assert sum(1 for change in changes if isinstance(change, Seat)) == len(await office.confirmed()) <= 1
        # Whoever comes last, when nobody else is there, is let in or has to prove.
        assert (await office.seated()).may == ("prove" if await office.confirmed() else "add-first")

    at_work(tmp_path, work)


def test_an_app_that_waited_is_gone_when_another_link_was_first(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        slow, slow_secret = await office.with_an_app()
        fast, fast_secret = await office.with_an_app()
        assert isinstance(await office.server().confirm_app(fast, code(fast_secret)), Seat)
        # `slow` still believes that there is no factor.
        assert await office.server().confirm_app(slow, code(slow_secret)) == "gone"
        assert await office.server().begin_app(slow, "App") == "not-first"
        assert len(await office.confirmed()) == 1

    at_work(tmp_path, work)


def test_a_seat_adds_once(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        at, secret = await office.with_an_app()
        seat = await office.server().confirm_app(at, code(secret))
        assert isinstance(seat, Seat)
        proven = await office.server().seating.sit(at.invitation, seat)
        made = await asyncio.gather(*(office.server().make_codes(proven) for _ in range(RACERS)))
        assert sum(1 for change, _ in made if isinstance(change, Seat)) == 1
        assert {change for change, _ in made if not isinstance(change, Seat)} == {"used"}
        assert sum(1 for factor in await office.confirmed() if factor.kind == "recovery") == 10

    at_work(tmp_path, work)


def test_a_recovery_code_opens_one_page_of_many(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        at, secret = await office.with_an_app()
        seat = await office.server().confirm_app(at, code(secret))
        assert isinstance(seat, Seat)
        _, codes = await office.server().make_codes(await office.server().seating.sit(at.invitation, seat))
        pages = [await office.seated() for _ in range(4)]
        proofs = await asyncio.gather(*(office.server().seating.prove_code(page, codes[0], "") for page in pages))
        assert sum(1 for proof in proofs if isinstance(proof, Seat)) == 1
        assert all(isinstance(proof, Seat | LockedOut) or proof in ("wrong-code", "code-used") for proof in proofs)

    at_work(tmp_path, work)


@pytest.mark.parametrize("grounds", ["administrator", "provider", "session"])
def test_what_a_link_is_good_for_depends_on_who_let_it_be(tmp_path: Path, grounds: Grounds) -> None:
    async def work(office: Office) -> None:
        at = await office.seated(grounds)
        assert at.may == ("ask" if grounds == "session" else "add-first")
        begun = await office.server().begin_app(at, "App")
        assert isinstance(begun, Seat) == (grounds != "session")
        first, secret = await office.with_an_app()
        assert isinstance(await office.server().confirm_app(first, code(secret)), Seat)
        assert (await office.seated(grounds)).may == "prove"

    at_work(tmp_path, work)


def test_a_reset_that_meets_pages_leaves_no_factor_of_theirs(tmp_path: Path) -> None:
    """Their seats were looked at before the reset; the keys come in the same instant, or after."""

    async def work(office: Office) -> None:
        ((*early, one, another, late),) = await office.with_keys(8)
        assert isinstance(await office.server().begin_app(one, "App"), Seat)
        pending = await office.server().waiting_app(one)
        assert pending is not None
        store = office.server().seating.store
        await asyncio.gather(
            *(office.add_key(page) for page in early[:3]),
            store.reset_factors(ALICE, (), now=NOW),
            office.server().confirm_app(one, code(pending[1])),
            office.server().make_codes(another),
            *(office.add_key(page) for page in early[3:]),
        )
        assert await store.factors(ALICE) == ()
        assert await office.add_key(late) == "used"
        assert await office.server().begin_app(late, "App") == "used"
        assert await office.server().make_codes(late) == ("used", ())
        assert await store.factors(ALICE) == ()

    at_work(tmp_path, work)


def test_pages_that_rest_on_a_key_add_nothing_once_it_is_removed(tmp_path: Path) -> None:
    """Whoever has found the lost key opens pages with it while its owner removes it."""

    async def work(office: Office) -> None:
        (*pages, late), (owner,) = await office.with_keys(7, 1)
        removing = asyncio.create_task(office.server().remove(owner, late.seat.factor))

        async def add(page: Seated) -> bool:
            is_late = removing.done()
            return isinstance(await office.add_key(page), Seat) and is_late

        assert not any(await asyncio.gather(*(add(page) for page in pages)))
        assert isinstance(await removing, Seat)
        assert await office.add_key(late) == "used"
        assert await office.server().remove(late, owner.seat.factor) == "used"
        assert (await office.server().seating.sit(late.invitation, late.seat)).may == "nothing"

    at_work(tmp_path, work)


def test_of_pages_that_remove_each_other_s_key_at_once_one_key_stays(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        pages = [page for (page,) in await office.with_keys(1, 1, 1, 1)]
        others = [page.seat.factor for page in (*pages[1:], pages[0])]
        await asyncio.gather(
            *(office.server().remove(page, other) for page, other in zip(pages, others, strict=True)),
            *(office.server().remove(page, page.seat.factor) for page in pages),
        )
        (left,) = await office.confirmed()
        keeper = next(page for page in pages if page.seat.factor == left.id)
        assert await office.server().remove(keeper, left.id) == "last"

    at_work(tmp_path, work)


def test_an_app_that_was_begun_as_the_first_is_not_confirmed_beside_a_key(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        slow, secret = await office.with_an_app()
        key = await office.seated()
        outcomes = await asyncio.gather(
            office.add_key(key), *(office.server().confirm_app(slow, code(secret)) for _ in range(4))
        )
        assert sum(1 for outcome in outcomes if isinstance(outcome, Seat)) == 1
        assert len(await office.confirmed()) == 1

    at_work(tmp_path, work)
