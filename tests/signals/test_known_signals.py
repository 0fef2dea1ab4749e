"""What is known of signals in memory: held against a naive account, and asked about identities."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.errors import SubjectBlocked
from extauthz.identity.signals.facts import LEVELS, Signal, SignalKey, Signals, key_text, signal_key, signal_of
from extauthz.values.identity import Credential, Identity, Subject, User, Workload
from extauthz.values.signals import OutsideSignal, SignalName

NOW = 1_800_000_000.0
ISSUER = "https://idp.example.com"
ALICE, BOB = Subject(ISSUER, "alice"), Subject(ISSUER, "bob")
WEB = Subject("", "spiffe://example.org/web")

keys = st.builds(
    SignalKey,
    about=st.sampled_from(["subject", "device"]),
    issuer=st.sampled_from([ISSUER, ""]),
    id=st.sampled_from(["alice", "bob"]),
    session=st.sampled_from(["", "s1"]),
    name=st.sampled_from(sorted(LEVELS)),
    source=st.sampled_from(["a", "b"]),
)
signals = keys.flatmap(
    lambda key: st.builds(
        Signal,
        key=st.just(key),
        level=st.sampled_from(LEVELS[key.name]),
        reason=st.sampled_from(["", "r"]),
        at=st.integers(0, 3).map(lambda late: NOW + late),
        until=st.sampled_from([NOW + 5, inf]),
    )
)


def naive(
    known: list[Signal], subject: Subject, session: str | None, now: float
) -> dict[SignalName, tuple[int, float]]:
    """How bad and how new each name is."""
    found: dict[SignalName, tuple[int, float]] = {}
    for one in known:
        is_about_it = one.key.about == "subject" and one.subject == subject and one.key.session in ("", session)
        if is_about_it and one.until > now:
            found[one.key.name] = max(found.get(one.key.name, (-1, 0.0)), (one.rank, one.at))
    return found


def ranked(said: tuple[OutsideSignal, ...]) -> dict[SignalName, tuple[int, float]]:
    return {one.name: (LEVELS[one.name].index(one.level), one.at) for one in said}


@given(
    rounds=st.lists(st.lists(signals, max_size=4), max_size=5),
    session=st.sampled_from([None, "s1", "s2"]),
    now=st.sampled_from([NOW, NOW + 10]),
)
def test_of_all_that_is_put_the_worst_that_holds_is_known(
    rounds: list[list[Signal]], session: str | None, now: float
) -> None:
    known, there = Signals(), dict[SignalKey, Signal]()
    for some in rounds:
        before, count = known, len(known)
        known = known.changed(some)
        there |= {one.key: one for one in some}
        assert len(before) == count, "what was known never changes"
    for one in (known, Signals(there.values()), known.without_ended(now)):
        for subject in (ALICE, BOB, Subject("", "alice")):
            assert ranked(one.of_subject(subject, session, now=now)) == naive(
                list(there.values()), subject, session, now
            )


@given(signals)
def test_a_signal_is_kept_as_it_is(signal: Signal) -> None:
    key = signal_key(key_text(signal.key))
    assert key == signal.key
    assert signal_of(key, signal.content, at=signal.at, until=signal.until) == signal


def test_the_key_of_something_else_is_none() -> None:
    assert signal_key('["block","https://idp.example.com","alice"]') is None


@given(st.lists(signals, min_size=2, max_size=3))
def test_of_two_signals_of_one_key_one_follows_the_other_unless_they_say_the_same(found: list[Signal]) -> None:
    one, other = (
        found[0],
        Signal(key=found[0].key, level=found[0].level, reason=found[1].reason, at=found[1].at, until=found[1].until),
    )
    same = (one.at, one.rank, one.content) == (other.at, other.rank, other.content)
    assert [one.follows(other), other.follows(one)].count(True) == (0 if same else 1)


def disabled(subject: Subject, level: str = "disabled", until: float = inf) -> Signal:
    key = SignalKey("subject", subject.issuer, subject.id, "", "account", "idp")
    return Signal(key=key, level=level, at=NOW, until=until)


@given(known=st.lists(signals, max_size=4), person=st.sampled_from([ALICE, BOB, Subject("", "alice")]))
def test_of_whom_nothing_is_said_nothing_is_ever_refused(known: list[Signal], person: Subject) -> None:
    said, identity = Signals(known), Identity(credentials=(Credential(subjects=(person,)),))
    assert said.names(identity) is any(one.key.about == "subject" and one.subject == person for one in known)
    if not said.names(identity):
        said.check(identity, now=-inf)
        said.check(identity, now=NOW)


def caller(*about: Subject, workload: bool = False) -> Identity:
    web = Workload(id=WEB.id, trust_domain="example.org", path="/web", verified_by="")
    credentials = (Credential(subjects=about),) if about else ()
    user = User(sub=about[0].id, iss=about[0].issuer) if about else None
    return Identity(user=user, workload=web if workload else None, credentials=credentials)


@pytest.mark.parametrize(
    ("identity", "subject", "who"),
    [
        (caller(ALICE), ALICE, "the subject"),
        (caller(ALICE, BOB), BOB, "an actor"),
        (caller(ALICE, WEB), WEB, "an actor"),
        (caller(ALICE, workload=True), WEB, "the workload"),
        (caller(workload=True), WEB, "the workload"),
    ],
)
def test_whoever_is_disabled_ends_the_request_wherever_he_is_in_it(
    identity: Identity, subject: Subject, who: str
) -> None:
    with pytest.raises(SubjectBlocked, match=who):
        Signals([disabled(subject)]).check(identity, now=NOW)
    Signals([disabled(subject, until=NOW)]).check(identity, now=NOW)
    Signals([disabled(subject, "enabled")]).check(identity, now=NOW)
    Signals([disabled(Subject("https://other.example", subject.id))]).check(identity, now=NOW)
    Signals().check(identity, now=NOW)


def test_a_device_is_no_subject_whatever_its_id() -> None:
    key = SignalKey("device", "", WEB.id, "", "account", "idp")
    known = Signals([Signal(key=key, level="disabled", at=NOW)])
    known.check(caller(workload=True), now=NOW)
    assert known.of_subject(WEB, None, now=NOW) == ()
    assert [one.level for one in known.of_device(WEB.id, now=NOW)] == ["disabled"]
