"""`session.age` and `session.idle`: what a condition sees, which rules need a look-up, and what the two count from."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from policy.making import NOW, Document, caller, compiled, definitions, document, evaluate, function, http, rule

from extauthz.policy.decide import needs
from extauthz.policy.problems import PolicyErrors
from extauthz.policy.sessions import session_ages
from extauthz.values.grants import Facts, Lookup, Needs, SessionAges, SessionTimes
from extauthz.values.identity import Identity, User

USER = caller(sub="alice")
SESSION: frozenset[Lookup] = frozenset({"session"})
SEEN = Facts(session=SessionAges(age=7200.0, idle=1200.5))
NEVER = Facts(session=SessionAges())

_ago = st.floats(min_value=0, max_value=1e8, allow_nan=False)
_times = st.one_of(st.none(), _ago.map(lambda ago: int(NOW - ago)))


def result(when: str, facts: Facts, identity: Identity = USER) -> tuple[str, str]:
    """How a rule with this condition comes out, and the words of its error."""
    (one,) = evaluate(compiled(document("p", rule("a", "allow", when=when))), identity=identity, facts=facts).rules
    return one.result, one.error or ""


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ('session.idle > duration("20m")', "match"),
        ('session.idle == duration("1200.5s")', "match"),
        ('session.idle > duration("21m")', "no-match"),
        ('session.age == duration("2h")', "match"),
        ("has(session.idle) && has(session.age)", "match"),
        ('session.?idle.orValue(duration("0s")) > duration("20m")', "match"),
    ],
)
def test_a_condition_sees_durations(when: str, expected: str) -> None:
    assert result(when, SEEN) == (expected, "")


def test_their_types_are_known_when_they_are_loaded() -> None:
    with pytest.raises(PolicyErrors, match="`>` does not take"):
        compiled(document("p", rule("a", "allow", when="session.idle > 900")))


@pytest.mark.parametrize(("facts", "identity"), [(NEVER, USER), (SEEN, replace(USER, session=None)), (SEEN, caller())])
def test_without_a_session_or_any_time_of_it_they_are_absent(facts: Facts, identity: Identity) -> None:
    assert result("has(session.idle) || has(session.age)", facts, identity) == ("no-match", "")
    assert result('session.idle > duration("1s")', facts, identity)[0] == "error"


@pytest.mark.parametrize(
    "when",
    [
        "has(session.idle)",
        "session.?idle.hasValue()",
        'session.?age.orValue(duration("0s")) == duration("0s")',
        'session.idle < duration("1h")',
    ],
)
def test_what_could_not_be_looked_up_is_no_absence(when: str) -> None:
    outcome, error = result(when, Facts())
    assert outcome == "error"
    assert "could not be looked up" in error


IDLE = 'session.idle > duration("15m")'


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({}, {"when": IDLE}),
        ({}, {"when": "has(session.age)"}),
        ({"variables": {"tired": IDLE}}, {"when": "variables.tired"}),
        (
            {"variables": {"tired": IDLE, "asked": "variables.tired"}},
            {"when": "request.path == '/' && variables.asked"},
        ),
        ({}, {"when": "definitions.tired(session)"}),
        ({}, {"allow": {"headers": {"x-idle": "string(session.idle)"}}}),
    ],
)
def test_a_rule_that_reads_them_needs_a_look_up(spec: Document, fields: Document) -> None:
    tired = definitions("d", functions={"tired": function(IDLE.replace("session", "one"), one="session")})
    policies = compiled(tired, document("p", rule("a", "allow", **fields), **spec))
    assert needs(policies.candidates(http(), USER)) == Needs(obeyed=SESSION)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"when": 'session.id == "s1" && has(session.id)'},
        {"when": "[1].all(session, session > 0)"},
    ],
)
def test_no_other_rule_needs_one(fields: Document) -> None:
    policies = compiled(document("p", rule("a", "allow", **fields), variables={"unused": IDLE}))
    assert not needs(policies.candidates(http(), USER))


def test_what_is_needed_in_shadow_is_told_apart() -> None:
    shadow = compiled(document("p", rule("a", "allow"), rule("s", "deny", when=IDLE, mode="shadow")))
    assert needs(shadow.candidates(http(), USER)) == Needs(shadow=SESSION)
    both = compiled(document("p", rule("c", "challenge", when=IDLE), rule("s", "deny", when=IDLE, mode="shadow")))
    assert needs(both.candidates(http(), USER)) == Needs(obeyed=SESSION | {"grants"}, shadow=SESSION)


def ages(seen: SessionTimes | None = None, **told: int) -> tuple[float | None, float | None]:
    user: dict[str, Any] = {"sub": "alice", "iss": "https://idp.test", **told}
    found = session_ages(User(**user), seen, now=NOW)
    return found.age, found.idle


def seen(*, began: float, last: float) -> SessionTimes:
    return SessionTimes(started_at=NOW - began, last_seen=NOW - last)


def test_a_session_that_was_never_seen_counts_from_the_login_else_from_the_token() -> None:
    now = int(NOW)
    assert ages(issued_at=now - 60) == (60, 60)
    assert ages(issued_at=now - 60, auth_time=now - 3600) == (3600, 3600)
    assert ages() == (None, None)


def test_a_renewed_token_is_no_activity_and_a_login_is() -> None:
    now, idle = int(NOW), seen(began=7200, last=3600)
    assert ages(idle) == (7200, 3600)
    assert ages(idle, issued_at=now - 60) == (7200, 3600)
    assert ages(idle, issued_at=now - 60, auth_time=now - 60) == (7200, 60)
    assert ages(idle, auth_time=now - 86400) == (86400, 3600)


def test_clocks_that_run_ahead_make_no_negative_ages() -> None:
    assert ages(seen(began=-5, last=-5), issued_at=int(NOW) + 30) == (0, 0)


@given(times=st.tuples(_ago, _ago), auth_time=_times, issued_at=_times)
def test_a_session_is_never_less_idle_than_it_is_known_to_be(
    times: tuple[float, float], auth_time: int | None, issued_at: int | None
) -> None:
    last, began = sorted(times)
    known = User(sub="alice", iss="https://idp.test", auth_time=auth_time, issued_at=issued_at)
    found = session_ages(known, seen(began=began, last=last), now=NOW)
    logins = [NOW - last] + ([auth_time] if auth_time is not None else [])
    assert found.idle == NOW - max(logins)
    assert found.age is not None
    assert found.age >= NOW - (NOW - began)
    assert found.age >= found.idle
    never = session_ages(known, None, now=NOW)
    assert never.idle is None or (never.age is not None and never.age >= never.idle)
