"""The pipeline from bytes to bytes: what it decides, what it keeps, and that every path ends in an explicit answer."""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from checking import POLICY, Bench, told
from hypothesis import given
from hypothesis import strategies as st

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.errors import StateUnavailable
from extauthz.policy.load import load_text
from extauthz.store.protocol import Consumed
from extauthz.store.sqlite import SqliteStore
from extauthz.values.decisions import Allow, Deny
from extauthz.values.identity import Subject

OK, INVALID_ARGUMENT, PERMISSION_DENIED, UNAVAILABLE, UNAUTHENTICATED = 0, 3, 7, 14, 16


def test_an_allow_carries_the_rules_headers_and_is_recorded(bench: Bench) -> None:
    response = bench.answer(bench.as_user("/pay?amount=5"))
    sent = {option.header.key: option.header.value for option in response.ok_response.headers}
    assert sent["x-authz-subject"] == "alice"
    (record,) = bench.records.kept
    assert isinstance(record.decision, Allow)
    assert record.identity is not None
    assert record.identity.user is not None
    assert (record.identity.user.sub, record.decision.rule) == ("alice", "payments/users-may-pay")
    assert sent["x-extauthz-decision-id"] == record.decision_id


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"\xff\xff not a message", ("deny", "malformed-check", INVALID_ARGUMENT)),
        (b"", ("deny", "no-rule-allows", UNAUTHENTICATED)),
    ],
)
def test_bytes_that_say_nothing_are_denied_explicitly(bench: Bench, payload: bytes, expected: object) -> None:
    assert bench.decision(payload) == expected


def test_an_ambiguous_path_is_400(bench: Bench) -> None:
    assert bench.decision(bench.as_user("/pay/..%2fadmin"))[2] == INVALID_ARGUMENT


def test_an_invalid_token_is_never_anonymous(bench: Bench) -> None:
    payload = bench.request("/health", headers={"authorization": "Bearer eyJhbGciOiJub25lIn0.e30."})
    assert bench.decision(payload) == ("deny", "invalid-token", UNAUTHENTICATED)


def test_nobody_without_a_rule_is_401_and_somebody_403(bench: Bench) -> None:
    assert bench.decision(bench.request("/other")) == ("deny", "no-rule-allows", UNAUTHENTICATED)
    assert bench.decision(bench.as_user("/other")) == ("deny", "no-rule-allows", PERMISSION_DENIED)


@pytest.mark.parametrize("path", ["/.extauthz", "/.extauthz/challenge?ticket=x", "/%2eextauthz/challenge"])
def test_a_check_that_names_our_own_pages_is_denied(bench: Bench, path: str) -> None:
    assert bench.decision(bench.as_user(path)) == ("deny", "reserved-path", PERMISSION_DENIED)


def test_an_exception_inside_a_guard_denies(bench: Bench) -> None:
    assert bench.decision(bench.as_user("/crash?by=0")) == ("deny", "policy-error", PERMISSION_DENIED)


def test_an_exception_of_our_own_is_503_with_its_detail_in_the_record(
    bench: Bench,
) -> None:
    bench.decide_wrongly(ZeroDivisionError("the detail"))
    response = bench.answer(bench.request("/health"))
    assert response.status.code == UNAVAILABLE
    assert response.denied_response.status.code == 503
    assert b"the detail" not in response.SerializeToString()
    assert "the detail" in str(bench.records.kept[0].detail)


def test_an_answer_that_can_not_be_encoded_is_503(bench: Bench) -> None:
    bench.have_no_words()
    response = bench.answer(bench.request("/health"))
    assert (response.status.code, response.denied_response.status.code) == (UNAVAILABLE, 503)
    assert bench.records.kept[0].decision == Deny(reason="internal-error", status=503)


def test_a_recorder_that_fails_changes_no_decision(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(bench.records, "record", fail)
    assert bench.answer(bench.request("/health")).status.code == OK


class TestChallenge:
    """Step-up in the pipeline."""

    def test_a_large_payment_is_challenged_and_a_small_one_is_not(self, bench: Bench) -> None:
        assert bench.decision(bench.as_user("/pay?amount=5000")) == ("challenge", "proof-required", UNAUTHENTICATED)
        assert bench.decision(bench.as_user("/pay?amount=50"))[0] == "allow"

    def test_a_code_with_the_request_is_enough_and_carries_the_next_request(self, bench: Bench) -> None:
        assert bench.decision(bench.as_user("/pay?amount=5000", code=bench.code()))[0] == "allow"
        assert bench.decision(bench.as_user("/pay?amount=6000"))[0] == "allow"

    def test_the_proof_ends_with_max_age(self, bench: Bench) -> None:
        bench.decision(bench.as_user("/pay?amount=5000", code=bench.code()))
        bench.now[0] += 299
        assert bench.decision(bench.as_user("/pay?amount=5000"))[0] == "allow"
        bench.now[0] += 2
        assert bench.decision(bench.as_user("/pay?amount=5000"))[0] == "challenge"

    def test_a_step_is_good_once(self, bench: Bench) -> None:
        code = bench.code()
        assert bench.decision(bench.as_user("/pay?amount=5000", code=code))[0] == "allow"
        other = bench.request(
            "/pay?amount=5000",
            headers={"authorization": f"Bearer {bench.token(sid='other')}", "x-extauthz-otp": code},
        )
        assert bench.decision(other) == ("challenge", "code-used", UNAUTHENTICATED)

    def test_a_wrong_code_says_so_and_is_no_proof(self, bench: Bench) -> None:
        wrong = f"{(int(bench.code()) + 1) % 1_000_000:06}"
        assert bench.decision(bench.as_user("/pay?amount=5000", code=wrong))[:2] == ("challenge", "wrong-code")

    def test_who_guesses_is_locked_out_and_told_for_how_long(self, bench: Bench) -> None:
        wrong = f"{(int(bench.code()) + 1) % 1_000_000:06}"
        for _ in range(5):
            bench.answer(bench.as_user("/pay?amount=5000", code=wrong))
        locked = bench.answer(bench.as_user("/pay?amount=5000", code=bench.code()))
        assert (locked.status.code, told(locked)["reason"]) == (UNAUTHENTICATED, "locked-out")
        headers = {option.header.key: option.header.value for option in locked.denied_response.headers}
        assert headers["retry-after"] == "30"
        problem = json.loads(locked.denied_response.body)
        assert problem["retry_after"] == 30
        assert problem["detail"] == "Too many wrong codes. Try again in 30 seconds."

    def test_a_code_of_somebody_without_an_authenticator_says_so(self, bench: Bench) -> None:
        headers = {"authorization": f"Bearer {bench.token('bob')}", "x-extauthz-otp": "123456"}
        assert bench.decision(bench.request("/pay?amount=5000", headers=headers))[:2] == ("challenge", "not-enrolled")

    def test_a_code_is_not_spent_on_a_request_that_needs_none(self, bench: Bench) -> None:
        code = bench.code()
        assert bench.decision(bench.as_user("/pay?amount=5", code=code))[0] == "allow"
        assert bench.decision(bench.as_user("/pay?amount=5000", code=code))[0] == "allow"

    def test_the_code_never_reaches_the_upstream(self, bench: Bench) -> None:
        response = bench.answer(bench.as_user("/pay?amount=5000", code=bench.code()))
        assert "x-extauthz-otp" in response.ok_response.headers_to_remove

    def test_a_proof_of_another_session_does_not_count(self, bench: Bench) -> None:
        bench.decision(bench.as_user("/pay?amount=5000", code=bench.code()))
        other = bench.request("/pay?amount=5000", headers={"authorization": f"Bearer {bench.token(sid='s2')}"})
        assert bench.decision(other)[0] == "challenge"

    def test_a_proof_of_another_subject_does_not_count(self, bench: Bench) -> None:
        bench.decision(bench.as_user("/pay?amount=5000", code=bench.code()))
        other = bench.request("/pay?amount=5000", headers={"authorization": f"Bearer {bench.token('mallory')}"})
        assert bench.decision(other)[0] == "challenge"

    def test_a_stolen_token_from_another_address_does_not_ride_on_the_proof(self, bench: Bench) -> None:
        bench.decision(bench.as_user("/pay?amount=5000", code=bench.code()))
        stolen = bench.request(
            "/pay?amount=5000",
            headers={"authorization": f"Bearer {bench.token()}"},
            source_ip="198.51.100.66",
        )
        assert bench.decision(stolen)[0] == "challenge"


class TestSingleUse:
    """`bind: request`: this very request, once."""

    PATH = "/pay?amount=5&once=1"

    def payload(self, bench: Bench, *, request_id: str, code: str | None = None) -> bytes:
        headers = {"authorization": f"Bearer {bench.token()}"}
        if code is not None:
            headers["x-extauthz-otp"] = code
        return bench.request(self.PATH, headers=headers, request_id=request_id, time=(1_700_000_000, 5), body=b"")

    def test_a_single_use_proof_is_spent_by_the_first_allow(self, bench: Bench) -> None:
        assert bench.decision(self.payload(bench, request_id="a", code=bench.code()))[0] == "allow"
        assert bench.decision(self.payload(bench, request_id="b"))[0] == "challenge"

    def test_the_same_check_sent_again_is_served_again(self, bench: Bench) -> None:
        first = self.payload(bench, request_id="a", code=bench.code())
        assert bench.decision(first)[0] == "allow"
        assert bench.decision(first)[0] == "allow"

    def test_a_deadline_that_is_too_near_uses_nothing_up(self, bench: Bench) -> None:
        payload = self.payload(bench, request_id="a", code=bench.code())
        near = time.monotonic() + 0.03
        assert bench.decision(payload, deadline=near) == ("deny", "state-unavailable", UNAVAILABLE)
        assert bench.decision(self.payload(bench, request_id="b"))[0] == "allow"

    def test_of_many_at_once_one_wins(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bench.store, "consume", _once_then_lost(bench))
        assert bench.decision(self.payload(bench, request_id="a", code=bench.code()))[0] == "challenge"


def _once_then_lost(bench: Bench) -> object:
    consume = bench.store.consume

    async def lost(subject: Subject, grants: list[str], *, fingerprint: str, now: float) -> Consumed:
        await consume(subject, grants, fingerprint="somebody else", now=now)
        return await consume(subject, grants, fingerprint=fingerprint, now=now)

    return lost


class TestStoreGone:
    """Nothing is allowed because something is down, and nothing else is denied."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> SqliteStore:
        return SqliteStore(tmp_path / "state.db")

    def test_what_needs_no_look_up_is_decided_as_always(self, bench: Bench) -> None:
        asyncio.run(bench.store.close())
        assert bench.decision(bench.request("/health"))[0] == "allow"

    def test_what_needs_one_is_503(self, bench: Bench) -> None:
        asyncio.run(bench.store.close())
        with pytest.raises(StateUnavailable):
            asyncio.run(bench.store.ping())
        assert bench.decision(bench.as_user("/pay?amount=5000")) == ("deny", "state-unavailable", UNAVAILABLE)


def test_every_decision_has_an_id_of_its_own(bench: Bench) -> None:
    for _ in range(50):
        bench.answer(bench.request("/health"))
    assert len({record.decision_id for record in bench.records.kept}) == 50


@given(payload=st.binary(max_size=300))
def test_any_bytes_get_an_explicit_denial(shared_bench: Bench, payload: bytes) -> None:
    response: CheckResponse = shared_bench.answer(payload)
    assert response.status.code != OK
    assert response.WhichOneof("http_response") == "denied_response"


def test_a_grpc_caller_whose_request_is_malformed_still_gets_a_grpc_status(bench: Bench) -> None:
    payload = bench.request("/pay//x", headers={"content-type": "application/grpc"})
    headers = {option.header.key: option.header.value for option in bench.answer(payload).denied_response.headers}
    assert headers["grpc-status"] == str(INVALID_ARGUMENT)


def test_what_can_not_be_said_is_recorded_as_what_is_said_instead(bench: Bench) -> None:
    """A number that the metadata of Envoy can't hold exactly."""
    exact = POLICY.replace("headers: {x-authz-subject: user.sub}", f"metadata: {{level: '{2**53 + 1}'}}")
    bench.checker.swap(replace(bench.checker.ruling, policies=load_text(exact)))
    response = bench.answer(bench.as_user("/pay?amount=5"))
    assert (response.status.code, response.denied_response.status.code) == (UNAVAILABLE, 503)
    assert bench.records.kept[0].decision == Deny(reason="response-invalid", status=503)
