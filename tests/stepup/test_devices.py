"""The device cookie: what it says, to whom, and everything that makes it say nothing."""

import os
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stepup.proofs import ALICE, NOW, ring

from extauthz.stepup.devices import (
    LONGEST_COOKIE,
    MOST_SUBJECTS,
    NONCE_BYTES,
    Device,
    Proven,
    read_device,
    write_device,
)
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys, rotate_keys
from extauthz.values.identity import Subject

HOST = "app.example.com"
BOB = Subject(ALICE.issuer, "bob")
KEYS = ring()
DAY = 86_400.0


def cookie(device: Device, host: str = HOST) -> str:
    return write_device(device, KEYS, host=host, nonce=os.urandom(NONCE_BYTES))


def proven_on(device: Device, subject: Subject = ALICE, *, now: float = NOW) -> Device:
    return device.after_proof(subject, now=now, lifetime=90 * DAY)


ALICES = proven_on(Device(id="d1"))


def test_what_is_written_is_what_is_read() -> None:
    assert read_device(cookie(ALICES), KEYS, host=HOST) == ALICES
    assert ALICES.proven_by(ALICE) == Proven(first=int(NOW), last=int(NOW))
    assert ALICES.proven_by(BOB) is None
    assert ALICES.proven_by(Subject("https://other.example.com", ALICE.id)) is None


@given(changed=st.integers(0, 10_000), by=st.integers(1, 63))
def test_a_cookie_with_any_character_changed_says_nothing(changed: int, by: int) -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    text = cookie(ALICES)
    place = changed % (len(text) - 1)  # the last character may have bits that no byte has
    other = letters[(letters.find(text[place]) + by) % 64]
    assert other == text[place] or read_device(text[:place] + other + text[place + 1 :], KEYS, host=HOST) is None


@given(text=st.text(max_size=100) | st.from_regex(r"d1\.[A-Za-z0-9]{1,12}\.[A-Za-z0-9_-]{0,100}", fullmatch=True))
def test_whatever_somebody_makes_up_says_nothing(text: str) -> None:
    assert read_device(text, KEYS, host=HOST) is None
    assert read_device(f"d1.{KEYS.newest.kid}.{text}", KEYS, host=HOST) is None


def test_a_cookie_is_good_on_its_own_host_alone() -> None:
    for host in ("evil.example.com", "example.com", "sub.app.example.com", "", "app.example.com."):
        assert read_device(cookie(ALICES, host), KEYS, host=HOST) is None


def test_a_cookie_of_another_deployment_says_nothing() -> None:
    others = parse_keys(generate_key(os.urandom(SECRET_BYTES), created=int(NOW)))
    foreign = write_device(ALICES, others, host=HOST, nonce=os.urandom(NONCE_BYTES))
    assert read_device(foreign, KEYS, host=HOST) is None
    _, _, body = foreign.split(".")
    assert read_device(f"d1.{KEYS.newest.kid}.{body}", KEYS, host=HOST) is None


def test_what_was_sealed_or_signed_for_another_purpose_is_no_device_cookie() -> None:
    sealed = KEYS.seal(b'["d1",[]]', place=["d1", KEYS.newest.kid, HOST], nonce=os.urandom(NONCE_BYTES))
    body = urlsafe_b64encode(urlsafe_b64decode(sealed.split(".")[2])).rstrip(b"=").decode()
    assert read_device(f"d1.{KEYS.newest.kid}.{body}", KEYS, host=HOST) is None


def test_a_cookie_outlives_a_rotation_and_ends_with_its_key() -> None:
    first = generate_key(os.urandom(SECRET_BYTES), created=int(NOW))
    both = rotate_keys(first, os.urandom(SECRET_BYTES), created=int(NOW) + 1)
    text = write_device(ALICES, parse_keys(first), host=HOST, nonce=os.urandom(NONCE_BYTES))
    assert read_device(text, parse_keys(both), host=HOST) == ALICES
    anew = write_device(ALICES, parse_keys(both), host=HOST, nonce=os.urandom(NONCE_BYTES))
    assert read_device(anew, parse_keys(first), host=HOST) is None, "the newest key makes"


def test_a_cookie_tells_nobody_who_has_proven_there() -> None:
    body = urlsafe_b64decode(cookie(ALICES).split(".")[2] + "==")
    assert b"alice" not in body
    assert cookie(ALICES) != cookie(ALICES)


def test_each_proof_moves_the_last_moment_and_keeps_the_first() -> None:
    again = proven_on(ALICES, now=NOW + 10 * DAY)
    assert again.proven_by(ALICE) == Proven(first=int(NOW), last=int(NOW + 10 * DAY))
    assert again.id == ALICES.id
    late = proven_on(again, now=NOW + 101 * DAY)
    assert late.proven_by(ALICE) == Proven(first=int(NOW + 101 * DAY), last=int(NOW + 101 * DAY)), "it was forgotten"


def test_several_subjects_prove_on_one_device_and_the_latest_stay() -> None:
    device = ALICES
    people = [Subject(ALICE.issuer, f"p{number}") for number in range(MOST_SUBJECTS)]
    for number, one in enumerate(people, start=1):
        device = proven_on(device, one, now=NOW + number)
    assert device.proven_by(ALICE) is None
    assert all(device.proven_by(one) is not None for one in people)
    assert len(cookie(device)) < LONGEST_COOKIE
    assert read_device(cookie(device), KEYS, host=HOST) == device


@pytest.mark.parametrize("value", [None, "", "d1", "d1..", "d1.k.", "d2.k.AAAA", "d1.k." + "A" * LONGEST_COOKIE])
def test_what_has_another_form_says_nothing(value: str | None) -> None:
    assert read_device(value, KEYS, host=HOST) is None
