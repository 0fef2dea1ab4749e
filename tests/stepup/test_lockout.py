"""Limiters, holders and fingerprints: the small rules."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from stepup.proofs import ALICE, NOW, view

from extauthz.stepup.fingerprint import fingerprint
from extauthz.stepup.holder import choose_holder
from extauthz.stepup.lockout import DAY, FRESH, Tally, count, give_back, limits_of
from extauthz.values.identity import Subject, holder_of_cookie
from extauthz.values.request import Peer, RequestView

SUBJECT, ADDRESS = limits_of(ALICE, "198.51.100.7")


def counted(times: int, now: float = NOW) -> Tally:
    tally = FRESH
    for _ in range(times):
        tally = count(tally, SUBJECT, now)
    return tally


def test_four_wrong_codes_cost_nothing() -> None:
    assert counted(4).locked_until <= NOW


def test_pauses_double_up_to_a_day() -> None:
    pauses = [counted(times).locked_until - NOW for times in range(5, 25)]
    assert pauses[:4] == [30, 60, 120, 240]
    assert pauses[-1] == DAY
    assert pauses == sorted(pauses)


def test_no_number_of_tries_overflows() -> None:
    assert count(Tally(tries=10**9, locked_until=NOW, forgotten_at=NOW + 1), SUBJECT, NOW).locked_until == NOW + DAY


def test_what_was_counted_is_forgotten_after_a_while() -> None:
    tally = counted(7)
    assert count(tally, SUBJECT, tally.forgotten_at - 1).tries == 8
    assert count(tally, SUBJECT, tally.forgotten_at).tries == 1


@given(st.integers(1, 60))
def test_a_guesser_who_never_rests_gets_few_tries(days: int) -> None:
    tally, now, tries = FRESH, NOW, 0
    while now < NOW + days * DAY:
        tally, tries = count(tally, SUBJECT, now), tries + 1
        now = max(now, tally.locked_until)
    assert tries <= 18 + days


def test_a_right_code_forgets_the_subjects_wrong_ones() -> None:
    assert give_back(counted(20), SUBJECT, NOW) == FRESH


def test_a_right_code_gives_an_address_back_its_own_try_only() -> None:
    tally = Tally(tries=40, locked_until=NOW + 100, forgotten_at=NOW + 1000)
    assert give_back(tally, ADDRESS, NOW) == dataclasses.replace(tally, tries=39, locked_until=NOW)


def test_the_same_sub_at_another_issuer_has_a_limiter_of_its_own() -> None:
    assert limits_of(Subject("https://other.example", "alice"), "")[0].key != SUBJECT.key


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("198.51.100.7", "address:198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "address:2001:db8:1:2::/64"),
    ],
)
def test_an_ipv6_client_can_not_leave_its_limiter(address: str, key: str) -> None:
    assert limits_of(ALICE, address)[1].key == key


def test_an_unknown_address_has_no_limiter() -> None:
    assert len(limits_of(ALICE, "")) == 1


@pytest.mark.parametrize(
    ("holders", "chosen"),
    [
        ({"peer:p", "cert:c", "cookie:k"}, "cookie:k"),
        ({"peer:p", "cert:c"}, "cert:c"),
        ({"peer:p", "cert:c", "dpop:j"}, "dpop:j"),
        ({"peer:p"}, "peer:p"),
        ({"cert:b", "cert:a"}, "cert:a"),
        ({"other:x"}, None),
        (set(), None),
    ],
)
def test_a_grant_is_tied_to_what_is_hardest_to_share(holders: set[str], chosen: str | None) -> None:
    assert choose_holder(holders) == chosen


def test_the_holder_of_a_cookie_does_not_tell_the_cookie() -> None:
    assert holder_of_cookie("secret") == ("cookie:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b")


def test_the_same_check_sent_again_has_the_same_fingerprint() -> None:
    assert fingerprint(view()) == fingerprint(view(headers={"x-envoy-attempt-count": ("2",)})) != ""


@pytest.mark.parametrize(
    "other",
    [
        replace(view(), time=(1, 2)),
        replace(view(), source=Peer(ip="203.0.113.9", port=4712)),
        replace(view(), source=Peer(ip="203.0.113.8", port=4711)),
        view(id="req-2"),
        view(method="POST"),
        view(raw_path="/pay/a2"),
        view(raw_path="/pay/a1a", raw_query="mount=5"),
    ],
)
def test_another_check_has_another_fingerprint(other: RequestView) -> None:
    assert fingerprint(other) != fingerprint(view())


@pytest.mark.parametrize("request_", [RequestView(), view(id=""), replace(view(), time=(0, 0))])
def test_a_check_that_can_not_be_told_apart_has_none(request_: RequestView) -> None:
    assert fingerprint(request_) == ""
