"""What events come to: whom they mean, what is revoked, what is said, and what changes nothing."""

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signals.transmitting import (
    CAEP,
    ISSUER,
    NOW,
    OTHER,
    RISC,
    SSF,
    claims,
    complex_subject,
    event,
    iss_sub,
    keys_of,
    opaque,
    signed,
    transmitter,
)

from extauthz.identity.lookups import NO_ANSWERS
from extauthz.identity.revocations import Revocation
from extauthz.identity.signals.config import TransmitterSettings
from extauthz.identity.signals.events import Effects, effects_of
from extauthz.identity.signals.facts import LEVELS, Signal, SignalKey, Signals
from extauthz.identity.signals.tokens import EventToken, TokenRefused, read_token
from extauthz.values.identity import Subject

ALICE, NOBODY = Subject(ISSUER, "alice"), Subject(ISSUER, "")
WORKLOAD = Subject("", "spiffe://prod.example.org/ns/shop/sa/web")
KEEP, MAX_AGE = 30 * 86_400.0, 7 * 86_400.0
PLAIN = transmitter()
MAPPED = transmitter(
    about={
        "issuers": [ISSUER, OTHER],
        "opaque": ISSUER,
        "email": ISSUER,
        "account": OTHER,
        "trust_domains": ["prod.example.org"],
        "devices": True,
    }
)
HIGH = {"current_level": "HIGH", "principal": "USER"}
COMPLIANCE = {"previous_status": "compliant", "current_status": "not-compliant"}


def effects(
    events: dict[str, Any], sub_id: Any = None, settings: TransmitterSettings = PLAIN, **changed: Any
) -> Effects:
    said = claims(events, sub_id, now=NOW, **changed)
    token = read_token(signed(said), settings, keys_of(settings), now=NOW, answers=NO_ANSWERS)
    assert isinstance(token, EventToken)
    return effects_of(token, settings, now=NOW)


def refusal(events: dict[str, Any], sub_id: Any = None, settings: TransmitterSettings = PLAIN, **changed: Any) -> str:
    with pytest.raises(TokenRefused) as refused:
        effects(events, sub_id, settings, **changed)
    return refused.value.code


def revocation(kind: str, subject: Subject = ALICE, id_: str = "", at: float = NOW) -> Revocation:
    return Revocation(kind=kind, subject=subject, id=id_, at=at, until=at + KEEP)  # type: ignore[arg-type]  # the kinds are those of the tests


def signal(
    name: str, level: str, subject: Subject = ALICE, *, at: float = NOW, kept: float = KEEP, session: str = ""
) -> Signal:
    key = SignalKey("subject", subject.issuer, subject.id, session, name, "idp")  # type: ignore[arg-type]  # the names are those of the tests
    return Signal(key=key, level=level, at=at, until=at + kept)


def of_device(name: str, level: str, device: str = "d1") -> Signal:
    return Signal(key=SignalKey("device", "", device, "", name, "idp"), level=level, at=NOW, until=NOW + KEEP)  # type: ignore[arg-type]  # the names are those of the tests


@pytest.mark.parametrize(
    ("sub_id", "expected"),
    [
        (iss_sub(), [revocation("tokens")]),
        (complex_subject(user=iss_sub()), [revocation("tokens")]),
        (complex_subject(user=iss_sub(), device=iss_sub("d1"), tenant=opaque("t")), [revocation("tokens")]),
        (complex_subject(user=iss_sub(), session=opaque("s1")), [revocation("session", id_="s1")]),
        (complex_subject(user=iss_sub(), session=iss_sub("s1")), [revocation("session", id_="s1")]),
        (complex_subject(session=iss_sub("s1")), [revocation("session", NOBODY, "s1")]),
        (complex_subject(session=opaque("s1")), []),
        (complex_subject(tenant=opaque("t")), []),
        (opaque("s1"), []),
        ({"format": "email", "email": "alice@example.com"}, []),
        ({"format": "phone_number", "phone_number": "+49"}, []),
        ({"format": "did", "url": "did:example:1"}, []),
    ],
)
def test_a_revoked_session_is_the_one_that_is_named_or_all_of_the_user(
    sub_id: dict[str, Any], expected: list[Revocation]
) -> None:
    found = effects(event("session-revoked"), sub_id)
    assert list(found.revocations) == expected
    assert found.outcomes == {CAEP + "session-revoked": "done" if expected else "nobody"}


def test_an_opaque_identifier_may_be_a_session_or_a_user_and_is_both() -> None:
    found = effects(event("session-revoked"), opaque("x"), MAPPED)
    assert set(found.revocations) == {
        revocation("tokens", Subject(ISSUER, "x")),
        revocation("session", NOBODY, "x"),
    }


def test_whose_tokens_have_no_session_loses_all_of_them() -> None:
    without = transmitter(about={"issuers": [ISSUER], "sid": False})
    found = effects(event("session-revoked"), complex_subject(user=iss_sub(), session=opaque("s1")), without)
    assert list(found.revocations) == [revocation("tokens")]


def test_a_session_of_one_issuer_is_none_of_a_user_of_another() -> None:
    named = complex_subject(user=iss_sub("bob", OTHER), session=iss_sub("s1"))
    assert list(effects(event("session-revoked"), named, MAPPED).revocations) == [revocation("session", NOBODY, "s1")]


@pytest.mark.parametrize(
    ("sub_id", "subject"),
    [
        (iss_sub("bob", OTHER), Subject(OTHER, "bob")),
        (opaque("bob"), Subject(ISSUER, "bob")),
        ({"format": "email", "email": "bob@example.com"}, Subject(ISSUER, "bob@example.com")),
        ({"format": "account", "uri": "acct:bob@example.com"}, Subject(OTHER, "acct:bob@example.com")),
        ({"format": "uri", "uri": WORKLOAD.id}, WORKLOAD),
        ({"format": "aliases", "identifiers": [opaque("bob"), iss_sub("bob")]}, Subject(ISSUER, "bob")),
        (complex_subject(user=opaque("bob"), group=opaque("g")), Subject(ISSUER, "bob")),
    ],
)
def test_an_identifier_names_whom_the_configuration_says(sub_id: dict[str, Any], subject: Subject) -> None:
    found = effects(event(RISC + "account-enabled"), sub_id, MAPPED)
    assert found.signals == (signal("account", "enabled", subject, kept=MAX_AGE),)


def test_all_aliases_are_meant() -> None:
    aliases = {"format": "aliases", "identifiers": [opaque("a"), iss_sub("b", OTHER), {"format": "did", "url": "x"}]}
    found = effects(event("token-claims-change", claims={}), aliases, MAPPED)
    assert [one.subject for one in found.revocations] == [Subject(ISSUER, "a"), Subject(OTHER, "b")]


@pytest.mark.parametrize(
    "sub_id",
    [
        iss_sub("alice", "https://evil.example"),
        iss_sub("alice", ISSUER + "/"),
        iss_sub("alice", OTHER),
        complex_subject(user=iss_sub("alice", OTHER)),
        complex_subject(user=iss_sub(), session=iss_sub("s1", OTHER)),
        {"format": "aliases", "identifiers": [iss_sub(), iss_sub("alice", OTHER)]},
        {"format": "uri", "uri": WORKLOAD.id},
    ],
)
def test_who_is_of_somebody_else_ends_the_token(sub_id: dict[str, Any]) -> None:
    assert refusal(event("session-revoked"), sub_id) == "access_denied"
    both = event("session-revoked") | event(RISC + "account-disabled")
    assert refusal(both, sub_id) == "access_denied"


def test_a_token_of_somebody_else_is_not_ours_to_revoke() -> None:
    named = {"format": "jwt_id", "iss": OTHER, "jti": "j"}
    assert refusal(event("token-claims-change", claims={}), named) == "access_denied"


@pytest.mark.parametrize(
    "sub_id",
    [
        {},
        {"format": 7},
        {"format": "iss_sub", "iss": ISSUER},
        {"format": "iss_sub", "iss": ISSUER, "sub": ""},
        {"format": "iss_sub", "iss": ISSUER, "sub": 7},
        {"format": "iss_sub", "iss": ISSUER, "sub": "x" * 2049},
        {"format": "opaque"},
        {"format": "email"},
        {"format": "aliases"},
        {"format": "aliases", "identifiers": []},
        {"format": "aliases", "identifiers": [iss_sub()] * 17},
        {"format": "aliases", "identifiers": ["alice"]},
        {"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": [iss_sub()]}]},
        complex_subject(),
        complex_subject(user="alice"),
        complex_subject(user={"iss": ISSUER, "sub": "alice"}),
        complex_subject(user=complex_subject(user=iss_sub())),
    ],
)
def test_a_malformed_subject_ends_the_token(sub_id: dict[str, Any]) -> None:
    assert refusal(event("session-revoked"), sub_id) == "invalid_request"


def test_a_subject_may_stand_in_the_event_as_it_did_in_drafts_but_not_twice() -> None:
    found = effects(event("session-revoked", subject=iss_sub("bob")), sub_id=...)
    assert found.revocations == (revocation("tokens", Subject(ISSUER, "bob")),)
    assert refusal(event("session-revoked", subject=iss_sub())) == "invalid_request"
    assert refusal(event("session-revoked", subject="alice"), sub_id=...) == "invalid_request"
    assert refusal(event("session-revoked"), sub_id=...) == "invalid_request"


def test_a_change_of_claims_ends_what_was_issued_before() -> None:
    assert effects(event("token-claims-change", claims={"role": "x"})).revocations == (revocation("tokens"),)
    named = {"format": "jwt_id", "iss": ISSUER, "jti": "j1"}
    found = effects(event("token-claims-change", claims={}), named)
    assert found.revocations == (revocation("token", NOBODY, "j1"),)


@pytest.mark.parametrize("change", LEVELS["credential"])
def test_a_changed_credential_is_told_and_what_it_proved_goes_with_it(change: str) -> None:
    found = effects(event("credential-change", credential_type="fido2-roaming", change_type=change))
    assert found.signals == (signal("credential", change),)
    assert found.voids == (() if change == "create" else (ALICE,))
    assert found.revocations == ()


@pytest.mark.parametrize(
    ("direction", "level", "kept"),
    [("increase", "increased", MAX_AGE), ("decrease", "decreased", KEEP), (None, "unknown", KEEP)],
)
def test_assurance_that_may_be_less_voids_what_was_proven(direction: str | None, level: str, kept: float) -> None:
    payload = {"namespace": "NIST-AAL", "current_level": "nist-aal1"}
    payload |= {} if direction is None else {"change_direction": direction}
    found = effects(event("assurance-level-change", **payload))
    assert found.signals == (signal("assurance", level, kept=kept),)
    assert found.voids == (() if direction == "increase" else (ALICE,))


def test_compliance_is_that_of_the_device_or_where_none_is_named_of_the_user() -> None:
    change = event("device-compliance-change", **COMPLIANCE)
    device = of_device("compliance", "not-compliant")
    assert effects(change, complex_subject(device=iss_sub("d1")), MAPPED).signals == (device,)
    assert effects(change, complex_subject(device=opaque("d1"), user=iss_sub()), MAPPED).signals == (device,)
    assert effects(change, opaque("d1"), MAPPED).signals == (device,)
    assert effects(change, complex_subject(user=iss_sub())).signals == (signal("compliance", "not-compliant"),)
    assert effects(change, complex_subject(device=iss_sub("d1"), user=iss_sub())).outcomes == {
        CAEP + "device-compliance-change": "nobody"
    }


def test_risk_is_that_of_the_principal() -> None:
    def said(principal: str, sub_id: Any, settings: TransmitterSettings = MAPPED) -> tuple[Signal, ...]:
        payload = {"current_level": "HIGH", "principal": principal}
        return effects(event("risk-level-change", **payload), sub_id, settings).signals

    everything = complex_subject(user=iss_sub(), device=opaque("d1"), session=opaque("s1"), tenant=opaque("t"))
    assert said("USER", everything) == (signal("risk", "HIGH"),)
    assert said("DEVICE", everything) == (of_device("risk", "HIGH"),)
    assert said("SESSION", everything) == (signal("risk", "HIGH", session="s1"),)
    for principal in ("TENANT", "ORG_UNIT", "GROUP", "APPLICATION"):
        assert said(principal, everything) == ()
    assert said("DEVICE", everything, PLAIN) == ()


def test_a_disabled_account_stays_so_until_it_is_enabled_and_what_it_had_is_gone() -> None:
    found = effects(event(RISC + "account-disabled", reason="hijacking"))
    (disabled,) = found.signals
    assert (disabled.level, disabled.until, disabled.reason) == ("disabled", inf, "hijacking")
    assert found.revocations == (revocation("tokens"),)


def test_a_credential_in_the_wrong_hands_ends_everything_that_was_issued() -> None:
    found = effects(event(RISC + "credential-compromise", credential_type="password"))
    assert (found.signals, found.revocations) == ((signal("compromise", "compromised"),), (revocation("tokens"),))
    assert effects(event(RISC + "sessions-revoked")).revocations == (revocation("tokens"),)


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("credential-change", {"credential_type": "app"}),
        ("credential-change", {"change_type": "create"}),
        ("credential-change", {"credential_type": "app", "change_type": "steal"}),
        ("assurance-level-change", {"namespace": "x"}),
        ("assurance-level-change", {"namespace": "x", "current_level": "y", "change_direction": "up"}),
        ("device-compliance-change", {"current_status": "not-compliant"}),
        ("device-compliance-change", COMPLIANCE | {"current_status": "fine"}),
        ("risk-level-change", {"current_level": "HIGH"}),
        ("risk-level-change", HIGH | {"current_level": "high"}),
        ("risk-level-change", HIGH | {"current_level": ["HIGH"]}),
        (RISC + "credential-compromise", {}),
        ("session-revoked", {"event_timestamp": "now"}),
        ("session-revoked", {"event_timestamp": -1}),
        ("session-revoked", {"event_timestamp": True}),
        ("session-revoked", {"event_timestamp": NOW + 31}),
        ("session-revoked", {"event_timestamp": (NOW + 31) * 1000}),
    ],
)
def test_a_known_event_that_is_malformed_ends_the_token(name: str, payload: dict[str, Any]) -> None:
    assert refusal(event(name, **payload)) == "invalid_request"


def test_what_nobody_knows_changes_nothing_and_neither_do_events_of_the_stream() -> None:
    unknown = CAEP + "session-established"
    found = effects({unknown: {"anything": 1}} | event("session-revoked"))
    assert found.outcomes == {unknown: "unknown", CAEP + "session-revoked": "done"}
    stream = effects(event(SSF + "verification", state="x"), opaque("stream"))
    assert (stream.outcomes, stream.revocations, stream.signals) == ({SSF + "verification": "noted"}, (), ())


def test_an_event_counts_from_its_own_moment_else_from_that_of_the_token() -> None:
    change = event("session-revoked", event_timestamp=NOW - 100)
    assert effects(change).revocations == (revocation("tokens", at=NOW - 100),)
    drafts = event("session-revoked", event_timestamp=(NOW - 100) * 1000)
    assert effects(drafts).revocations == (revocation("tokens", at=NOW - 100),)
    assert effects(event("session-revoked"), toe=NOW - 50).revocations == (revocation("tokens", at=NOW - 50),)


def test_a_reason_is_short_on_one_line_and_speaks_to_no_terminal() -> None:
    def reason(**payload: Any) -> str:
        return effects(event("risk-level-change", **HIGH, **payload)).signals[0].reason

    assert reason(risk_reason="PASSWORD\x1b[2J\nLEAKED") == "PASSWORD [2J LEAKED"
    assert reason(reason_admin={"de": "Grund", "en": "ground"}) == "ground"
    assert reason(reason_admin={"de": "Grund"}) == "Grund"
    assert reason(risk_reason="x" * 999) == "x" * 200
    assert reason(reason_user={"en": "for users"}) == reason(risk_reason=7) == reason(reason_admin={}) == ""


KINDS = st.sampled_from(
    [
        event("session-revoked"),
        event("token-claims-change", claims={}),
        event("risk-level-change", **HIGH),
        event(RISC + "account-disabled"),
        event(RISC + "account-enabled"),
        event(RISC + "credential-compromise", credential_type="pin"),
    ]
)


@given(st.lists(st.tuples(KINDS, st.sampled_from([ISSUER, OTHER, "https://evil.example"])), max_size=6))
def test_a_transmitter_touches_nobody_but_subjects_of_its_issuers(said: list[tuple[dict[str, Any], str]]) -> None:
    for events, issuer in said:
        if issuer == ISSUER:
            found = effects(events, iss_sub("alice", issuer))
            assert {one.issuer for one in found.subjects} == {ISSUER}
        else:
            assert refusal(events, iss_sub("alice", issuer)) == "access_denied"


levels = st.sampled_from([("account", "enabled"), ("account", "disabled"), ("risk", "LOW"), ("risk", "HIGH")])


@given(
    calm=st.lists(st.tuples(levels, st.integers(0, 50)), max_size=5),
    other=st.lists(st.tuples(levels, st.integers(0, 50)), max_size=5),
)
def test_what_one_transmitter_says_never_takes_back_what_another_has_said(
    calm: list[tuple[tuple[str, str], int]], other: list[tuple[tuple[str, str], int]]
) -> None:
    def known(said: list[tuple[tuple[str, str], int]], source: str) -> list[Signal]:
        newest: dict[SignalKey, Signal] = {}
        for (name, level), at in said:
            one = signal(name, level, at=NOW + at)
            one = Signal(key=one.key._replace(source=source), level=level, at=one.at)
            if one.key not in newest or one.follows(newest[one.key]):
                newest[one.key] = one
        return list(newest.values())

    def rank(signals: list[Signal], name: str) -> int:
        found = Signals(signals).of_subject(ALICE, None, now=NOW + 99)
        return max((LEVELS[one.name].index(one.level) for one in found if one.name == name), default=-1)

    for name in ("account", "risk"):
        assert rank(known(calm, "a") + known(other, "b"), name) >= rank(known(calm, "a"), name)
