"""Limiters, holders and fingerprints: the small rules."""

import pytest
from changing import replace
from hypothesis import given
from hypothesis import strategies as st
from stepup.proofs import ALICE, NOW, view

from extauthz.stepup.fingerprint import fingerprint
from extauthz.stepup.holder import choose_holder
from extauthz.stepup.lockout import DAY, FRESH, HOUR, SKEW, Limit, Tally, count, give_back, limits_of
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
    assert count(Tally(locked_until=NOW, empty_at=NOW + 10**9 * DAY), SUBJECT, NOW).locked_until == NOW + DAY


def test_tries_are_forgotten_one_by_one() -> None:
    tally = counted(4)
    assert count(tally, SUBJECT, NOW + 0.9 * DAY).locked_until > NOW + 0.9 * DAY
    assert count(tally, SUBJECT, NOW + DAY).locked_until <= NOW + DAY, "one is forgotten, and this takes its place"
    assert tally.empty_at == NOW + 4 * DAY


def test_clocks_that_differ_by_minutes_count_no_try_twice() -> None:
    tally = FRESH
    for number in range(4):
        tally = count(tally, SUBJECT, NOW - 200 * number)
    assert tally.locked_until <= NOW


WAITS = st.sampled_from([0.0, 1.0, 600.0, HOUR, 0.1 * DAY, 0.5 * DAY, DAY, 2 * DAY, 30 * DAY])


@given(limit=st.sampled_from([SUBJECT, ADDRESS]), rests=st.lists(WAITS, min_size=1, max_size=400))
def test_whoever_guesses_gets_no_more_than_the_bound_however_they_wait(limit: Limit, rests: list[float]) -> None:
    tally, now = FRESH, NOW
    for tries, rest in enumerate(rests):
        now = max(now, tally.locked_until) + rest
        tally = count(tally, limit, now)
        assert tries + 1 <= limit.most + 2 * SKEW + (now - NOW) / limit.memory


@pytest.mark.parametrize(("limit", "most"), [(SUBJECT, 17), (ADDRESS, 37)])
def test_a_guesser_who_never_rests_gets_what_the_page_on_step_up_says(limit: Limit, most: int) -> None:
    tally, now, tries, end = FRESH, NOW, 0, NOW + 365 * DAY
    while now < end:
        tally, tries = count(tally, limit, now), tries + 1
        now = max(now, tally.locked_until)
    assert limit.most == most
    assert tries <= most + 365 * DAY / limit.memory


@given(before=st.integers(0, 12), limit=st.sampled_from([SUBJECT, ADDRESS]), later=st.floats(0, HOUR))
def test_a_right_code_changes_nothing_for_others(before: int, limit: Limit, later: float) -> None:
    tally, now = FRESH, NOW
    for _ in range(before):
        tally = count(tally, limit, now)
        now = max(now, tally.locked_until)
    now += later
    after = give_back(count(tally, limit, now), limit, now)
    assert after.empty_at == pytest.approx(tally.empty_at if tally.empty_at > now else 0.0)
    assert after.locked_until <= now


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
