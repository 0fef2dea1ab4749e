"""The examples for people through a real Envoy: who passes, who is asked for a proof, what a missing input comes to."""

import time
from collections.abc import Mapping
from typing import Final

import geoip
import pytest
from audit.auditing import lines
from e2e.visitors import Crowd, Visitor
from examples.showing import Shown
from playwright.sync_api import expect

CLIENT: Final = "203.0.113.10"
ASKED: Final = "proof-required"
WASHINGTON: Final = "216.160.83.56"
"""In the database of cities: a town in that state."""


def code(value: str) -> dict[str, str]:
    """The header with a one-time code."""
    return {"x-extauthz-otp": value}


# --- idle-documents

DOCUMENTS: Final = "documents.example.com"
CONFIDENTIAL: Final = "/documents/confidential/plan"


def test_confidential_documents_ask_for_a_proof_after_inactivity(shown: Shown) -> None:
    codes = shown.factors.add_app("reader")
    before_lunch = int(time.time()) - 3600
    token = shown.stage.bearer("reader", groups=["staff"], sid="reader-1", auth_time=before_lunch)

    def read(path: str = CONFIDENTIAL, **headers: str) -> tuple[int, object, object]:
        return shown.reason(shown.ask(DOCUMENTS, path, address=CLIENT, headers={**token, **headers}))

    assert read() == (401, ASKED, "idle-documents/still-there")
    assert read("/documents/menu") == (200, "allowed", "idle-documents/staff-reads")
    assert read()[1] == ASKED, "what is not confidential wakes nobody"
    assert read(**code("000000"))[0] == 401
    assert read(**code(codes(0))) == (200, "allowed", "idle-documents/staff-reads")
    assert read()[0] == 200, "awake"


def test_who_has_just_logged_in_reads_confidential_documents(shown: Shown) -> None:
    token = shown.stage.bearer("fresh", groups=["staff"], auth_time=int(time.time()))
    assert shown.ask(DOCUMENTS, CONFIDENTIAL, address=CLIENT, headers=token).status_code == 200


def test_confidential_documents_stay_shut_where_nobody_knows_since_when_somebody_is_idle(shown: Shown) -> None:
    read = shown.ask(DOCUMENTS, CONFIDENTIAL, address=CLIENT, headers=shown.timeless("ageless", groups=["staff"]))
    assert shown.reason(read) == (403, "policy-error", "idle-documents/still-there")


# --- unusual-transfer

BANK: Final = "bank.example.com"


def transfer(shown: Shown, token: dict[str, str], amount: object, to: str = "b2") -> tuple[int, object, object]:
    asked = {"to": to} if amount is None else {"to": to, "amount": amount}
    return shown.reason(shown.ask(BANK, "/accounts/a1/transfers", "POST", address=CLIENT, headers=token, json=asked))


def test_ten_times_the_usual_amount_is_confirmed(shown: Shown) -> None:
    codes, token = shown.factors.add_app("saver"), shown.stage.bearer("saver", sid="saver-1")
    allowed = (200, "allowed", "unusual-transfer/customers-transfer")
    assert transfer(shown, token, 600) == (401, ASKED, "unusual-transfer/nothing-is-usual-yet")
    for amount in range(20, 40, 2):
        assert transfer(shown, token, amount) == allowed
    unusual = (401, ASKED, "unusual-transfer/more-than-usual")
    deadline = time.monotonic() + 20
    while transfer(shown, token, 600) != unusual:
        assert time.monotonic() < deadline, "what was transferred is written within a second"
        time.sleep(0.1)
    assert transfer(shown, token, 400) == unusual
    assert transfer(shown, token, 40) == allowed
    assert transfer(shown, {**token, **code(codes(0))}, 400) == allowed
    assert transfer(shown, token, 400) == allowed, "the same transfer, a moment later"
    assert transfer(shown, token, 400, to="b3") == unusual, "to somebody else"
    assert transfer(shown, token, 401) == unusual


def test_a_large_amount_is_confirmed_by_everybody(shown: Shown) -> None:
    token = shown.stage.bearer("spender")
    assert transfer(shown, token, 5001) == (401, ASKED, "unusual-transfer/large")


@pytest.mark.parametrize("amount", [None, "NaN", "a lot", [5]])
def test_a_transfer_of_nobody_knows_how_much_is_denied(shown: Shown, amount: object) -> None:
    denied = transfer(shown, shown.stage.bearer("odd"), amount)
    assert denied[:2] == (403, "policy-error")
    assert transfer(shown, {}, 40)[:2] == (403, "policy-error"), "nor of nobody knows who"


# --- privilege-change

DIRECTORY: Final = "directory.example.com"


def give(shown: Shown, token: dict[str, str], role: object, to: str = "bob") -> tuple[int, object, object]:
    """The answer; where the required record was not on a busy disk in time, to another request."""
    asked = {} if role is None else {"role": role}
    while True:
        answer = shown.ask(DIRECTORY, f"/users/{to}/role", "PUT", address=CLIENT, headers=token, json=asked)
        if (told := shown.reason(answer))[1] != "audit-unavailable":
            return told


def test_a_privileged_role_is_given_with_a_fresh_proof_for_this_role_and_this_person(shown: Shown) -> None:
    codes = shown.factors.add_app("chief")
    token = shown.stage.bearer("chief", sid="chief-1", groups=["admins"])
    allowed = (200, "allowed", "privilege-change/admins-give-roles")
    asked = (401, ASKED, "privilege-change/privileged-role")
    assert give(shown, token, "reader") == allowed
    assert give(shown, token, "owner") == asked
    assert give(shown, {**token, **code(codes(0))}, "owner") == allowed
    assert give(shown, token, "owner", to="mallory") == asked
    assert give(shown, token, "admin") == asked
    assert give(shown, token, "owner", to="chief") == (403, "own-role", "privilege-change/not-to-yourself")
    assert give(shown, shown.stage.bearer("mallory", groups=["staff"]), "reader")[:2] == (403, "no-rule-allows")


def test_a_role_that_nobody_names_is_not_given(shown: Shown) -> None:
    token = shown.stage.bearer("chief", sid="chief-2", groups=["admins"])
    assert give(shown, token, None) == (403, "policy-error", "privilege-change/privileged-role")


# --- unusual-place


@pytest.fixture
def databases() -> None:
    """Those of addresses; a skip without them."""
    geoip.city()
    geoip.anonymous()


def at(visitor: Visitor, address: str | None) -> None:
    """Where the next requests of the visitor come from."""
    visitor.context.set_extra_http_headers({} if address is None else {"x-forwarded-for": address})


def is_denied(visitor: Visitor, path: str) -> Mapping[str, tuple[str, float]]:
    """The answer is a refusal, no question; the state of each signal in the record, and what it counted."""
    answer = visitor.page.goto(visitor.site.url + path)
    assert answer is not None
    assert answer.status == 403
    decision_id = answer.header_value("x-extauthz-decision-id")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for line in lines(visitor.site.stage.folder / "audit.jsonl"):
            if line["decision_id"] == decision_id:
                (risk,) = line["risk"]
                assert (line["reason"], risk["model"], risk["level"]) == ("unusual-place", "places", "high")
                return {signal["name"]: (signal["state"], signal["counted"]) for signal in risk["signals"]}
        time.sleep(0.1)
    raise AssertionError("no record of the decision")


@pytest.mark.usefixtures("databases")
def test_a_new_device_and_a_new_place_ask_once(shown: Shown, crowd: Crowd) -> None:
    alice = crowd.visitor("traveller")
    codes = shown.factors.add_app("traveller")
    at(alice, geoip.BOXFORD)
    alice.go("/mail/inbox")
    alice.is_asked()
    alice.enter(codes(0))
    alice.is_at("/mail/inbox")
    alice.go("/mail/inbox")
    alice.is_at("/mail/inbox")

    at(alice, None)
    alice.go("/mail/inbox")
    alice.is_asked()
    at(alice, WASHINGTON)
    alice.go("/mail/inbox")
    alice.is_asked()
    at(alice, geoip.LONDON)
    signals = is_denied(alice, "/mail/inbox")
    assert (signals["hidden"], signals["new-country"]) == (("raised", 30.0), ("quiet", 0.0))
    state, counted = signals["too-fast"]
    assert state == "fading"
    assert 49.0 < counted < 50.0


@pytest.mark.usefixtures("databases")
def test_a_new_device_at_a_place_that_nobody_knows_is_denied(crowd: Crowd) -> None:
    thief = crowd.visitor("traveller")
    signals = is_denied(thief, "/mail/inbox")
    assert (signals["new-device"], signals["hidden"]) == (("raised", 30.0), ("error", 30.0))


# --- large-export


def analyst(shown: Shown, crowd: Crowd, sub: str) -> Visitor:
    """Somebody with a browser who may export."""
    visitor = crowd.visitor(sub)
    token = shown.stage.token(sub, sid=f"exports-of-{sub}", groups=["analysts"])
    visitor.context.add_cookies([{"name": "session", "value": token, "url": shown.url}])
    return visitor


def export(shown: Shown, query: str) -> tuple[int, object, object]:
    token = shown.stage.bearer("clerk", groups=["analysts"])
    return shown.reason(shown.ask("localhost", f"/exports/customers{query}", address=CLIENT, headers=token))


def test_a_large_export_needs_a_fingerprint(shown: Shown, crowd: Crowd) -> None:
    assert export(shown, "?rows=1000") == (200, "allowed", "large-export/analysts-export")
    assert export(shown, "?rows=1001") == (401, ASKED, "large-export/large")

    alice = analyst(shown, crowd, "analyst")
    alice.plug_in()
    alice.go("/exports/customers?rows=50000")
    alice.is_asked()
    for said in ("more than 1,000 rows", "customers", "50000"):
        expect(alice.page.get_by_text(said).first).to_be_visible()
    alice.use_key()
    alice.is_at("/exports/customers?rows=50000")
    alice.go("/exports/customers?rows=50000")
    alice.is_asked()


def test_a_key_that_knows_no_fingerprint_exports_nothing(shown: Shown, crowd: Crowd) -> None:
    bob = analyst(shown, crowd, "touching")
    bob.plug_in(verifies=False)
    bob.go("/exports/customers?rows=50000")
    bob.use_key()
    expect(bob.page.get_by_role("alert")).to_contain_text("Your key was not used")


@pytest.mark.parametrize("query", ["", "?rows=", "?rows=all", "?rows=1&rows=50000", "?Rows=50000"])
def test_an_export_of_nobody_knows_how_many_rows_is_denied(shown: Shown, query: str) -> None:
    before = len(shown.stage.service.received)
    assert export(shown, query) == (403, "policy-error", "large-export/large")
    assert len(shown.stage.service.received) == before


# --- large-refund; test_approval_walk.py has what goes well

REFUNDS: Final = "refunds.example.com"


def refund(shown: Shown, token: dict[str, str], amount: object) -> tuple[int, object, object]:
    asked = {} if amount is None else {"amount": amount}
    return shown.reason(shown.ask(REFUNDS, "/orders/1/refunds", "POST", address=CLIENT, headers=token, json=asked))


def test_a_refund_asks_people_for_clerks_who_can_be_named(shown: Shown) -> None:
    clerk = shown.stage.bearer("clerk", groups=["clerks"], email="clerk@example.com")
    assert refund(shown, clerk, 40) == (200, "allowed", "large-refund/clerks-refund")
    assert refund(shown, clerk, 60_000) == (403, "approval-required", "large-refund/two-of-the-treasury")
    assert refund(shown, clerk, None) == (403, "policy-error", "large-refund/no-amount")
    assert refund(shown, clerk, -1) == (403, "no-amount", "large-refund/no-amount")
    staff = shown.stage.bearer("staff", groups=["staff"], email="staff@example.com")
    assert refund(shown, staff, 60_000)[:2] == (403, "no-rule-allows")
    nameless = shown.stage.bearer("nameless", groups=["clerks"])
    assert refund(shown, nameless, 40)[0] == 200
    assert refund(shown, nameless, 60_000)[:2] == (403, "unmapped-requester")
