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
from extauthz.stepup.enrolment import Grounds, Invitation, Seat, invite, open_invitation, user_handle
from extauthz.stepup.relying_party import RelyingParty
from extauthz.stepup.totp import code_at, step_at
from extauthz.stepup.webauthn import Registered, challenge_of, verify_registration
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

    async def with_keys(self, keys: int) -> tuple[Seated, ...]:
        """Alice with so many security keys, and for each a page on which it was proven."""
        store, now = self.server().seating.store, NOW - 60
        devices = [SoftwareAuthenticator(credential_id=bytes([number]) * 32) for number in range(keys)]
        handle = user_handle(link())
        made = [verify(device, handle) for device in devices]
        factors = tuple(
            EnrolledFactor(
                id=f"{number:032x}",
                subject=ALICE,
                kind="webauthn",
                created_at=now + number,
                confirmed=True,
                name=f"Key {number}",
                public=registered.authenticator.to_text(),
                mark=registered.mark,
            )
            for number, registered in enumerate(made)
        )
        await store.enroll(Enrolment(subject=ALICE, factors=factors), now=now)
        pages = []
        for device in devices:
            at = await self.seated()
            server = self.server().seating
            answer = device.sign_in(challenge_of(at.seat.id, "webauthn.get"))
            seat = await server.prove_key(at, US, answer)
            assert isinstance(seat, Seat)
            pages.append(await server.sit(at.invitation, seat))
        return tuple(pages)

    async def add_key(self, at: Seated, number: int) -> Change:
        """Register another key from this page."""
        device = SoftwareAuthenticator(credential_id=bytes([100 + number]) * 32)
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


def verify(device: SoftwareAuthenticator, handle: bytes) -> Registered:
    challenge = b"c" * 32
    return verify_registration(
        device.register(challenge),
        relying_party=US,
        challenge=challenge,
        user_handle=handle,
        registered=[],
        user_verification="preferred",
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


def test_a_reset_that_meets_a_page_leaves_no_factor_of_that_page(tmp_path: Path) -> None:
    """The seat was looked at before the reset, and the key comes in the same instant, or after."""

    async def work(office: Office) -> None:
        (at,) = await office.with_keys(1)
        waiting = await office.server().begin_app(at, "App")
        assert isinstance(waiting, Seat)
        pending = await office.server().waiting_app(at)
        assert pending is not None
        store = office.server().seating.store
        await asyncio.gather(
            office.add_key(at, 0),
            store.reset_factors(ALICE, (), now=NOW),
            office.server().confirm_app(at, code(pending[1])),
            office.server().make_codes(at),
            office.add_key(at, 1),
        )
        assert await store.factors(ALICE) == ()
        assert await office.add_key(at, 2) == "used"
        assert await office.server().make_codes(at) == ("used", ())
        assert await store.factors(ALICE) == ()

    at_work(tmp_path, work)


def test_a_page_that_rests_on_a_key_adds_nothing_once_the_key_is_removed(tmp_path: Path) -> None:
    """Whoever has found the lost key opens a page with it while its owner removes it."""

    async def work(office: Office) -> None:
        finder, owner = await office.with_keys(2)
        removing = asyncio.create_task(office.server().remove(owner, finder.seat.factor))

        async def add(number: int) -> bool:
            is_late = removing.done()
            return isinstance(await office.add_key(finder, number), Seat) and is_late

        late = await asyncio.gather(*(add(number) for number in range(6)))
        assert isinstance(await removing, Seat)
        assert not any([*late, await add(7)])
        assert (await office.server().seating.sit(finder.invitation, finder.seat)).may == "nothing"

    at_work(tmp_path, work)


def test_of_pages_that_remove_each_other_s_key_at_once_one_key_stays(tmp_path: Path) -> None:
    async def work(office: Office) -> None:
        pages = await office.with_keys(4)
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
            office.add_key(key, 0), *(office.server().confirm_app(slow, code(secret)) for _ in range(4))
        )
        assert sum(1 for outcome in outcomes if isinstance(outcome, Seat)) == 1
        assert len(await office.confirmed()) == 1

    at_work(tmp_path, work)
