"""The enrolment link and the seat: one reading, one kind, one browser, until its time."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepup.proofs import ALICE, NOW, counted_entropy, ring

from extauthz.stepup.authenticators import USER_HANDLE_BYTES
from extauthz.stepup.enrolment import (
    ENROL_PATH,
    Grounds,
    Invitation,
    Seat,
    invite,
    open_invitation,
    page_of,
    read_seat,
    seat_value,
    user_handle,
)
from extauthz.stepup.keys import KeyRing
from extauthz.stepup.ticket import InvalidTicket, open_ticket
from extauthz.values.identity import ENROLMENT_COOKIE, Subject

RING = ring("first")
SEAT = Seat(id="a" * 32, invitation="b" * 32, until=int(NOW) + 60, factor="c" * 32)


def link(subject: Subject = ALICE, grounds: Grounds = "administrator", keys: KeyRing = RING) -> str:
    return invite(subject, grounds=grounds, issued_at=NOW, expires_at=NOW + 60, keys=keys, entropy=counted_entropy())


def invitation(id_: str = SEAT.invitation) -> Invitation:
    return Invitation(id=id_, subject=ALICE, grounds="administrator", issued_at=NOW, expires_at=NOW + 60)


def read(value: str, *, id_: str = SEAT.invitation, now: float = NOW, keys: KeyRing = RING) -> Seat | None:
    return read_seat([f"a=1; {ENROLMENT_COOKIE}={value}"], invitation(id_), keys, now)


@given(
    issuer=st.text(),
    sub=st.text(alphabet=st.characters(exclude_categories=())),
    grounds=st.sampled_from(["administrator", "provider"]),
)
def test_a_link_comes_back_as_it_was_made(issuer: str, sub: str, grounds: Grounds) -> None:
    opened = open_invitation(link(Subject(issuer, sub), grounds), RING)
    assert (opened.subject, opened.grounds, opened.expires_at) == (Subject(issuer, sub), grounds, NOW + 60)


def test_a_link_hides_whose_it_is() -> None:
    assert "alice" not in link()
    # AES-GCM under a nonce of its own: the same invitation is another text each time.
    entropy = counted_entropy()
    texts = {
        invite(ALICE, grounds="administrator", issued_at=NOW, expires_at=NOW, keys=RING, entropy=entropy)
        for _ in range(3)
    }
    assert len(texts) == 3


@given(st.data())
def test_a_link_that_was_changed_anywhere_opens_nothing(data: st.DataObject) -> None:
    text = link()
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters().filter(lambda one: one != text[place]))
    changed = text[:place] + letter + text[place + 1 :]
    try:
        opened = open_invitation(changed, RING)
    except InvalidTicket:
        return
    # Base64 has spare bits at its end, and its reader skips what is none: the content is the same or nothing.
    assert opened == open_invitation(text, RING)


def test_a_link_survives_a_rotation_and_not_the_loss_of_its_key() -> None:
    assert open_invitation(link(), ring("first", "second")).subject == ALICE
    with pytest.raises(InvalidTicket):
        open_invitation(link(), ring("second"))


@pytest.mark.parametrize("place", [("extauthz", "x"), (ALICE.key, "f1"), ("extauthz enrolment",)])
def test_what_was_sealed_for_another_place_is_no_link(place: tuple[str, ...]) -> None:
    sealed = RING.seal(b'{"i":"1","s":["",""],"g":"administrator","t":1,"x":1}', place=place, nonce=b"n" * 12)
    with pytest.raises(InvalidTicket):
        open_invitation(sealed, RING)


@pytest.mark.parametrize("text", ["", "s1", "s1.x", "s1..", "é", "t2.a.b.c", "s1." + "a" * 30_000])
def test_what_is_no_link_is_refused(text: str) -> None:
    with pytest.raises(InvalidTicket):
        open_invitation(text, RING)


def test_a_link_is_no_challenge_ticket() -> None:
    with pytest.raises(InvalidTicket):
        open_ticket(link(), RING)


def test_the_page_of_a_link_carries_it_whole() -> None:
    text = link()
    parts = urlsplit(page_of(text))
    assert parts.path == ENROL_PATH
    assert parse_qs(parts.query) == {"ticket": [text]}


@pytest.mark.parametrize("seat", [SEAT, replace(SEAT, factor="")])
def test_a_seat_comes_back_as_it_was_given(seat: Seat) -> None:
    assert read(seat_value(seat, RING)) == seat
    assert read(seat_value(seat, RING), keys=ring("first", "second")) == seat
    assert seat.proven == (seat.factor != "")


def test_a_seat_is_that_of_its_link_and_ends() -> None:
    value = seat_value(SEAT, RING)
    assert read(value, id_="d" * 32) is None
    assert read(value, now=SEAT.until) is None
    assert read(value, keys=ring("second")) is None


def test_a_seat_can_not_be_made_a_better_one() -> None:
    opened, proven = (seat_value(replace(SEAT, factor=factor), RING).split(".") for factor in ("", SEAT.factor))
    longer = [*proven[:3], str(SEAT.until + 1), proven[4]]
    for forged in ([*opened[:2], SEAT.factor, *opened[3:]], longer, [*proven[:4], opened[4]], proven[:4]):
        assert read(".".join(forged)) is None


@given(st.text(alphabet=st.characters(codec="latin-1"), max_size=200))
def test_no_text_of_somebody_else_is_a_seat(text: str) -> None:
    assert read(text) is None


def test_two_cookies_of_one_name_are_no_seat() -> None:
    value = seat_value(SEAT, RING)
    assert read(f"{value}; {ENROLMENT_COOKIE}={value}") is None


def test_an_authenticator_knows_its_user_by_nothing_that_names_them() -> None:
    handle = user_handle(invitation())
    assert len(handle) == USER_HANDLE_BYTES
    assert handle != user_handle(invitation("d" * 32))
