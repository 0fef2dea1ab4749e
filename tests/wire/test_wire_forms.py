"""Refusals: everyone gets a form that they read, and every form says the same."""

import json
import math
from base64 import b64decode, b64encode
from hashlib import sha256
from html import escape
from typing import Literal, get_args

import pytest
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]  # no py.typed
from msgspec.structs import replace
from wire.answers import (
    BY_FORM,
    CALL,
    CHALLENGE,
    DENY,
    HOLD,
    OFFER,
    Page,
    answer,
    asked,
    error_info,
    grpc_details,
    problem,
    retry_seconds,
)

from extauthz.errors import STATUS, Reason
from extauthz.values.decisions import Challenge, ChallengeDemand, Decision, Deny, ProofFailure, denial
from extauthz.values.request import Caller
from extauthz.wire.wording import detail

FROZEN = {
    "title": "Forbidden",
    "status": 403,
    "detail": "The request is not allowed.",
    "reason": "account-frozen",
    "decision_id": "d-1",
}
LOCKED = replace(CHALLENGE, reason="locked-out", retry_after=29.2)


@pytest.mark.parametrize("caller", [Caller.API, Caller.PREFLIGHT])
def test_an_api_gets_a_problem_document(caller: Caller) -> None:
    said = answer(DENY, caller=caller)
    assert problem(said) == FROZEN
    assert said.body.endswith('"decision_id":"d-1"}\n'), "the prompt of a terminal does not stand behind it"
    assert said.denied["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("caller", [Caller.NAVIGATION, Caller.FORM_POST])
def test_a_person_gets_a_page(caller: Caller) -> None:
    said = answer(Deny(reason="<script>x</script>"), caller=caller)
    assert said.status == 403
    assert said.denied["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in said.denied["content-security-policy"]
    assert said.denied["x-content-type-options"] == "nosniff"
    page = Page(said.body)
    assert "script" not in page.tags
    assert "<script>x</script>" in page.text
    assert "d-1" in page.text


def test_the_style_of_a_page_is_the_one_that_its_policy_names_and_nothing_else_is_loaded() -> None:
    said = answer(CHALLENGE, caller=Caller.FORM_POST, offer=OFFER)
    style = said.body.partition("<style>")[2].partition("</style>")[0]
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = said.denied["content-security-policy"]
    assert f"style-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert not {"script", "img", "iframe", "object", "form", "base"} & set(Page(said.body).tags)
    assert "url(" not in style
    assert "@import" not in style


HEADINGS = [
    (DENY, "This is not allowed"),
    (Deny(reason="x", status=404), "Not Found"),
    (denial("no-rule-allows", status=401), "Sign in first"),
    (denial("malformed-path"), "This can't be read"),
    (denial("state-unavailable"), "This is not possible now"),
    (CHALLENGE, "Confirm that it is you"),
    (LOCKED, "Too many wrong codes"),
    (HOLD, "Somebody has to approve this"),
]


@pytest.mark.parametrize(("decision", "heading"), HEADINGS)
def test_a_page_is_headed_by_words_for_people(decision: Decision, heading: str) -> None:
    page = answer(decision, caller=Caller.FORM_POST).body
    assert (f"<h1>{escape(heading)}</h1>" in page, f"<title>{escape(heading)}</title>" in page) == (True, True)


def test_a_script_that_wants_html_gets_a_page_and_no_redirect() -> None:
    said = answer(CHALLENGE, request=asked({"accept": "text/html", "sec-fetch-mode": "cors"}), offer=OFFER)
    assert (said.status, said.denied["content-type"]) == (401, "text/html; charset=utf-8")
    assert Page(said.body).links == [OFFER.location]


def test_a_terminal_that_wants_text_gets_text() -> None:
    said = answer(LOCKED, request=BY_FORM["text"], offer=OFFER)
    assert said.denied["content-type"] == "text/plain; charset=utf-8"
    first, *rest = said.body.splitlines()
    assert first == "Too many wrong codes. Try again in 30 seconds."
    assert {"reason: locked-out", "decision_id: d-1", "retry_after: 30", f"challenge_uri: {OFFER.location}"} <= {*rest}


def test_a_head_request_is_answered_as_a_get() -> None:
    """Envoy leaves the body out, and counts its length as HTTP wants it."""
    for accepted in ("*/*", "text/plain", "text/html"):
        headers: dict[str, str | list[str]] = {"accept": accepted, "sec-fetch-mode": "cors"}
        got = answer(DENY, request=asked(headers))
        assert got.body
        assert answer(DENY, request=asked(headers, method="HEAD")) == got


# --- gRPC


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        (DENY, "7"),
        (CHALLENGE, "16"),
        (HOLD, "7"),
        (Deny(reason="x-y", status=400), "3"),
        (Deny(reason="hidden", status=404), "5"),
        (Deny(reason="too-many", status=429), "8"),
        (Deny(reason="x", status=503), "14"),
    ],
)
@pytest.mark.parametrize("form", ["grpc", "grpc-web", "grpc-web-text", "grpc-web-translated"])
def test_a_grpc_client_gets_a_status_of_its_own_kind(decision: Decision, status: str, form: str) -> None:
    said = answer(decision, request=BY_FORM[form], offer=OFFER)
    assert said.denied["grpc-status"] == status
    assert said.denied["grpc-message"].isascii()
    assert said.body == ""
    info = error_info(said)
    assert info.reason == decision.reason.upper().replace("-", "_")
    assert info.domain == "extauthz"
    assert info.metadata["decision_id"] == "d-1"


def test_a_grpc_message_is_percent_encoded() -> None:
    said = answer(Deny(reason="x", body="50 % of caf\u00e9\n"), caller=Caller.GRPC)
    assert said.denied["grpc-message"] == "50 %25 of caf%C3%A9%0A"


def test_a_grpc_answer_fits_into_the_headers_that_a_client_takes() -> None:
    """Else the client reads RESOURCE_EXHAUSTED or INTERNAL where it was denied permission."""
    long = answer(Deny(reason="x", body="\u20ac" * 65_536), caller=Caller.GRPC)
    demands = tuple(
        ChallengeDemand(rule=f"r/{number}", factors=("totp",), max_age=60.0, binding="b", description="long " * 800)
        for number in range(3)
    )
    asked_much = answer(Challenge(rule="r/0", demands=demands), caller=Caller.GRPC)
    for said in (long, asked_much):
        assert sum(len(name) + len(value) for name, value in said.denied.items()) < 8_192
        assert error_info(said).metadata["decision_id"] == "d-1"


@pytest.mark.parametrize(
    "sent",
    [
        {"content-type": "application/grpc-web"},
        {"content-type": "application/grpc-web+proto"},
        {"content-type": "application/grpc-web+json; charset=utf-8"},
        {"content-type": "Application/GRPC-Web-Text+Proto", "accept": "application/grpc-web-text"},
        {"content-type": "application/grpc+proto", "x-grpc-web": "1"},
    ],
)
def test_grpc_web_has_trailers_only_in_the_headers_of_a_200(sent: dict[str, str | list[str]]) -> None:
    """A client in a browser that sees another status makes an error of that and reads no details."""
    said = answer(DENY, request=asked(sent, method="POST"))
    assert (said.code, said.status, said.body) == (7, 200, "")
    assert (said.denied["grpc-status"], said.denied["grpc-message"]) == ("7", FROZEN["detail"])
    assert error_info(said).reason == "ACCOUNT_FROZEN"


def test_a_connect_client_gets_its_error_and_details() -> None:
    said = answer(CHALLENGE, request=BY_FORM["connect"], offer=OFFER)
    assert (said.status, said.denied["content-type"]) == (401, "application/json")
    error = json.loads(said.body)
    assert (error["code"], error["message"]) == ("unauthenticated", "This needs fresh proof of who you are.")
    (given,) = error["details"]
    assert given["type"] == "google.rpc.ErrorInfo"
    info = ErrorInfo.FromString(b64decode(given["value"] + "=" * (-len(given["value"]) % 4)))
    assert (info.reason, info.metadata["challenge_uri"]) == ("PROOF_REQUIRED", OFFER.location)


# --- JSON-RPC


def call(body: bytes, content_type: str = "application/json") -> object:
    """What a POST of this body gets for a denial, where it is an error of JSON-RPC."""
    said = answer(DENY, request=asked({"content-type": content_type}, method="POST", body=body))
    assert (said.status, said.denied["content-type"]) == (403, "application/json")
    parsed: object = json.loads(said.body)
    return parsed


def rpc_error(id: object) -> dict[str, object]:  # noqa: A002 - the member's name
    described = {"code": -32000, "message": FROZEN["detail"], "data": FROZEN}
    return {"jsonrpc": "2.0", "id": id, "error": described}


@pytest.mark.parametrize("given", ["7", '"a\\u20ac"', "null", "-1", "2.5", "12345678901234567890123", '""', "0"])
def test_a_json_rpc_call_gets_an_error_with_its_id(given: str) -> None:
    assert call(f'{{"jsonrpc": "2.0", "method": "m", "id": {given}}}'.encode()) == rpc_error(json.loads(given))


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json-rpc"]
)
def test_a_json_rpc_call_is_known_by_each_of_its_types(content_type: str) -> None:
    assert call(CALL, content_type) == rpc_error(7)


@pytest.mark.parametrize("given", ["true", "[]", "{}", "1e400"])
def test_an_id_that_is_none_is_null_in_the_error(given: str) -> None:
    assert call(f'{{"jsonrpc": "2.0", "method": "m", "id": {given}}}'.encode()) == rpc_error(None)


def test_a_batch_gets_an_error_for_each_call_and_none_for_notifications() -> None:
    first, note = b'{"jsonrpc": "2.0", "method": "a", "id": 1}', b'{"jsonrpc": "2.0", "method": "n"}'
    assert call(b"[" + b",".join([first, note, first.replace(b"1}", b'"x"}')]) + b"]") == [rpc_error(1), rpc_error("x")]
    assert call(b"[" + note + b"]") == rpc_error(None)
    assert call(note) == rpc_error(None)


def test_a_batch_of_very_many_calls_is_answered_once() -> None:
    one = b'{"jsonrpc":"2.0","method":"","id":1}'
    assert len(call(b"[" + b",".join([one] * 100) + b"]")) == 100  # type: ignore[arg-type]  # it is a list
    assert call(b"[" + b",".join([one] * 101) + b"]") == rpc_error(None)


NO_CALLS = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"jsonrpc"',
    b"\xff",
    b"[" * 100_000,
    b'{"jsonrpc": "2.0"}',
    b'{"jsonrpc": "2.0", "method"',
    b'{"jsonrpc": "1.0", "method": "m", "id": 1}',
    b'{"jsonrpc": "2.0", "id": 1, "result": {}}',
    b'{"jsonrpc": "2.0", "method": 1, "id": 1}',
    b'{"jsonrpc": "2.0", "method": "m", "id": 1, "id": 2}',
    b'{"jsonrpc": "2.0", "method": "m", "id": NaN}',
    b'{"jsonrpc": "2.0", "method": "m", "id": ' + b"9" * 5_000 + b"}",
    b'[{"jsonrpc": "2.0", "method": "m", "id": 1}, 1]',
]


@pytest.mark.parametrize("body", NO_CALLS, ids=range(len(NO_CALLS)))
def test_what_is_no_json_rpc_call_or_two_in_one_gets_a_problem_document(body: bytes) -> None:
    assert (
        problem(answer(DENY, request=asked({"content-type": "application/json"}, method="POST", body=body))) == FROZEN
    )


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_json_rpc_call_is_a_post(method: str) -> None:
    said = answer(DENY, request=asked({"content-type": "application/json"}, method=method, body=CALL))
    assert problem(said) == FROZEN


def test_a_body_that_is_not_known_whole_is_no_json_rpc_call() -> None:
    assert problem(answer(DENY, request=asked({"content-type": "application/json"}, method="POST"))) == FROZEN


def test_a_challenged_json_rpc_call_is_told_where_to_go() -> None:
    """The status and `WWW-Authenticate` stay: clients of MCP look at them first."""
    said = answer(CHALLENGE, request=BY_FORM["json-rpc"], offer=OFFER)
    assert said.status == 401
    assert said.denied["www-authenticate"].startswith('Bearer error="insufficient_user_authentication"')
    error = json.loads(said.body)["error"]
    assert error["message"] == "This needs fresh proof of who you are."
    assert error["data"]["challenge_uri"] == OFFER.location


# --- words


@pytest.mark.parametrize("form", ["api", "connect", "grpc", "grpc-web", "json-rpc", "text", "form-post"])
def test_who_is_locked_out_is_told_for_how_long(form: str) -> None:
    said = answer(LOCKED, request=BY_FORM[form], offer=OFFER)
    words = said.body or said.denied["grpc-message"]
    assert "Too many wrong codes. Try again in 30 seconds." in words
    assert said.denied["retry-after"] == "30"
    assert said.facts["reason"] == "locked-out"


def test_a_waiting_time_is_a_member_and_a_retry_info() -> None:
    assert problem(answer(LOCKED))["retry_after"] == 30
    for decision, seconds in ((LOCKED, 30), (HOLD, 5)):
        said = answer(decision, caller=Caller.GRPC)
        assert error_info(said).metadata["retry_after"] == str(retry_seconds(said)) == str(seconds)
    assert len(grpc_details(answer(DENY, caller=Caller.GRPC)).details) == 1


def test_who_calls_by_grpc_is_told_for_which_approvals_it_waits() -> None:
    said = answer(replace(HOLD, approvals=("a1", "a2"), retry_after=3.0), caller=Caller.GRPC)
    assert (said.denied["grpc-status"], retry_seconds(said)) == ("7", 3)
    assert (error_info(said).reason, error_info(said).metadata["approvals"]) == ("APPROVAL_REQUIRED", '["a1","a2"]')


def test_every_failed_proof_says_what_was_wrong_with_it() -> None:
    failures: list[Literal["proof-required", "locked-out"] | ProofFailure] = ["proof-required", "locked-out"]
    failures += get_args(ProofFailure)
    words = {
        problem(answer(replace(CHALLENGE, reason=reason, retry_after=30.0 if reason == "locked-out" else None)))[
            "detail"
        ]
        for reason in failures
    }
    assert len(words) == len(failures)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 second"), (119.5, "120 seconds"), (121, "3 minutes"), (7200, "120 minutes"), (86_400, "24 hours")],
)
def test_who_was_denied_is_told_for_how_long(seconds: float, words: str) -> None:
    denied = Deny(reason="approval-denied", retry_after=seconds)
    page = answer(denied, caller=Caller.NAVIGATION)
    assert f"You can ask again in {words}." in Page(page.body).text
    assert page.denied["retry-after"] == str(math.ceil(seconds))
    assert "ask again" not in problem(answer(Deny(reason="approval-denied")))["detail"]


@pytest.mark.parametrize("reason", get_args(Reason))
def test_every_reason_has_words_in_every_form(reason: Reason) -> None:
    words = detail(reason, STATUS[reason], retry_after=1)
    assert words.endswith(".")
    assert words.isascii()
    assert not {'"', "\\", "<", "&"} & set(words)  # as they stand in a header and on a page
    if STATUS[reason] >= 400:
        assert problem(answer(denial(reason)))["status"] == STATUS[reason]


# --- a rule's own words


@pytest.mark.parametrize("form", ["api", "text", "navigation", "form-post"])
def test_a_rules_body_is_for_those_who_read_any(form: str) -> None:
    rule = Deny(reason="x", body="<p>Frozen", headers={"content-type": "text/html"})
    said = answer(rule, request=BY_FORM[form])
    assert (said.body, said.denied["content-type"]) == ("<p>Frozen", "text/html")
    assert said.denied["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("form", ["grpc", "grpc-web", "connect", "json-rpc"])
def test_a_rules_body_is_the_message_of_an_error_of_a_protocol(form: str) -> None:
    rule = Deny(reason="x", body="Frozen since May", headers={"content-type": "text/html", "x-why": "y"})
    said = answer(rule, request=BY_FORM[form])
    assert "Frozen since May" in (said.body or said.denied["grpc-message"])
    assert said.denied.get("content-type") in (None, "application/json")
    assert said.denied["x-why"] == "y"


def test_a_rules_content_type_is_not_that_of_our_own_body() -> None:
    assert problem(answer(Deny(reason="x", headers={"Content-Type": "text/html"})))["reason"] == "x"


def test_each_form_is_what_its_caller_reads() -> None:
    types = {form: answer(DENY, request=request).denied.get("content-type") for form, request in BY_FORM.items()}
    assert types == {
        "navigation": "text/html; charset=utf-8",
        "form-post": "text/html; charset=utf-8",
        "api": "application/problem+json",
        "grpc": None,
        "preflight": "application/problem+json",
        "tcp": None,
        "text": "text/plain; charset=utf-8",
        "grpc-web": None,
        "grpc-web-text": None,
        "grpc-web-translated": None,
        "connect": "application/json",
        "json-rpc": "application/json",
    }
