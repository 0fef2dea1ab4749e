"""What conditions see of what others say of the caller and of the device."""

from collections.abc import Mapping
from typing import Any

import pytest

from extauthz import cel
from extauthz.identity.signals.facts import Signal, SignalKey, Signals
from extauthz.policy.context import REPORTED
from extauthz.policy.reported_view import ReportedFields
from extauthz.values.facts import Local
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity, User, Workload

NOW = 1_800_000_000.0
ISSUER = "https://idp.example.com"
ALICE = Identity(user=User(sub="alice", iss=ISSUER, sid="s1"), session="sid:1")
WEB = "spiffe://example.org/web"
WORKLOAD = Identity(workload=Workload(id=WEB, trust_domain="example.org", path="/web", verified_by=""))


def said(name: str, level: str, *, source: str = "idp", at: float = NOW - 60, reason: str = "", **of: str) -> Signal:
    about, issuer, id_ = ("device", "", of["device"]) if "device" in of else ("subject", ISSUER, of.get("sub", "alice"))
    if id_ == WEB:
        issuer = ""
    key = SignalKey(about, issuer, id_, of.get("session", ""), name, source)  # type: ignore[arg-type]  # those of the tests
    return Signal(key=key, level=level, at=at, until=NOW + 60, reason=reason)


def seen(
    condition: str, *signals: Signal, identity: Identity = ALICE, device: str | None = "d1", facts: Facts | None = None
) -> object:
    fields: Mapping[str, Any] = {} if device is None else {"id": device}
    known = Facts(local=Local(reported=Signals(signals))) if facts is None else facts
    view = ReportedFields(known, identity, lambda: fields, NOW)
    return cel.compile(condition, variables={"reported": REPORTED})({"reported": view})


EVERYTHING = (
    said("risk", "HIGH", reason="LEAKED"),
    said("compliance", "not-compliant"),
    said("assurance", "decreased"),
    said("credential", "revoke"),
    said("compromise", "compromised"),
    said("account", "disabled"),
    said("risk", "MEDIUM", device="d1", reason="JAILBREAK"),
    said("compliance", "compliant", device="d1"),
)


def test_each_field_is_what_was_said_under_its_name() -> None:
    for field, expected in {
        "risk_level": "HIGH",
        "risk_reason": "LEAKED",
        "compliance": "not-compliant",
        "assurance": "decreased",
        "credential_change": "revoke",
        "device_risk_level": "MEDIUM",
        "device_risk_reason": "JAILBREAK",
        "device_compliance": "compliant",
    }.items():
        assert seen(f"reported.{field}", *EVERYTHING) == expected
    for field in REPORTED.fields:
        assert seen(f"has(reported.{field})", *EVERYTHING) is True
        if field.endswith("_at"):
            assert seen(f"reported.{field} == timestamp({int(NOW) - 60})", *EVERYTHING) is True


def test_what_nobody_has_said_is_unset() -> None:
    for field in REPORTED.fields:
        assert seen(f"has(reported.{field})") is False
        assert seen(f"has(reported.{field})", facts=Facts()) is False
        with pytest.raises(cel.EvalError):
            seen(f"reported.{field}", said("risk", "HIGH", sub="bob"))


def test_of_what_several_say_the_worst_is_seen_and_of_a_session_only_in_it() -> None:
    low, high = said("risk", "LOW", at=NOW), said("risk", "HIGH", source="other", at=NOW - 300)
    assert seen("reported.risk_level", low, high) == seen("reported.risk_level", high, low) == "HIGH"
    assert seen("reported.risk_level", low, said("risk", "HIGH", session="s1")) == "HIGH"
    assert seen("reported.risk_level", low, said("risk", "HIGH", session="s2")) == "LOW"
    assert seen("reported.risk_level", said("risk", "HIGH", sub=WEB), identity=WORKLOAD) == "HIGH"
    assert seen("has(reported.risk_level)", *EVERYTHING, identity=Identity()) is False


def test_of_a_device_nobody_knows_nothing_is_said() -> None:
    for device in (None, "d2"):
        assert seen("has(reported.device_risk_level)", *EVERYTHING, device=device) is False
    assert seen("has(reported.risk_level)", said("risk", "HIGH", device="alice")) is False


def test_what_is_given_stands_in_front() -> None:
    given = Facts(reported={"risk_level": "LOW", "risk_at": NOW}, local=Local(reported=Signals(EVERYTHING)))
    assert seen("reported.risk_level", facts=given) == "LOW"
    assert seen(f"reported.risk_at == timestamp({int(NOW)})", facts=given) is True
    assert seen("has(reported.compliance)", facts=given) is False
