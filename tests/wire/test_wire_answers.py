"""Answers: each decision for each caller, and what never leaves."""

import pytest
from msgspec.structs import replace
from wire.answers import (
    ALLOW,
    BY_FORM,
    CHALLENGE,
    DECISIONS,
    DENY,
    HOLD,
    OFFER,
    WAITING,
    Answer,
    Page,
    answer,
    error_info,
    problem,
)

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValueOption
from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse, OkHttpResponse
from extauthz.values.decisions import (
    Allow,
    Challenge,
    ChallengeDemand,
    ChallengeOffer,
    Decision,
    Deny,
    HoldOffer,
    Mutations,
)
from extauthz.values.request import Caller
from extauthz.wire.encode import encode_failure
from extauthz.wire.sayable import sayable

REFUSALS: list[Decision] = [DENY, CHALLENGE, HOLD]
# The table of design section 6.
CODES = [
    (ALLOW, 0),
    (DENY, 7),
    (Deny(reason="no-rule-allows"), 7),
    (Deny(reason="no-rule-allows", status=401), 16),
    (Deny(reason="invalid-token", status=401), 16),
    (Deny(reason="malformed-path", status=400), 3),
    (Deny(reason="state-unavailable", status=503), 14),
    (Deny(reason="teapot", status=418), 7),
    (Deny(reason="away", status=302, headers={"location": "https://elsewhere.example/"}), 7),
    (CHALLENGE, 16),
    (HOLD, 7),
]


@pytest.mark.parametrize("form", BY_FORM)
@pytest.mark.parametrize(("decision", "code"), CODES)
def test_the_code_follows_the_decision_whoever_asks(decision: Decision, code: int, form: str) -> None:
    said = answer(decision, request=BY_FORM[form], offer=OFFER)
    assert said.code == code
    assert said.is_explicit


@pytest.mark.parametrize("form", BY_FORM)
@pytest.mark.parametrize("word", DECISIONS)
def test_every_answer_names_its_decision(word: str, form: str) -> None:
    decision = DECISIONS[word]
    said = answer(decision, request=BY_FORM[form], offer=OFFER)
    assert said.facts == {
        "decision": word,
        "decision_id": "d-1",
        "rule": decision.rule,
        "reason": decision.reason,
        "revision": "sha256:abc",
    }
    to_client = (
        said.message.ok_response.response_headers_to_add if word == "allow" else said.message.denied_response.headers
    )
    assert ("x-extauthz-decision-id", "d-1") in [(option.header.key, option.header.value) for option in to_client]


def test_a_decision_without_a_rule_names_none() -> None:
    assert "rule" not in answer(Deny(reason="no-rule-allows")).facts


def test_an_allow_tells_the_upstream_its_decision() -> None:
    assert answer(ALLOW).upstream == {"x-extauthz-decision-id": "d-1"}


@pytest.mark.parametrize("form", BY_FORM)
@pytest.mark.parametrize("decision", REFUSALS)
def test_nothing_that_is_denied_may_be_cached(decision: Decision, form: str) -> None:
    assert answer(decision, request=BY_FORM[form], offer=OFFER).denied["cache-control"] == "no-store"


def test_a_tcp_client_gets_a_code_and_nothing_to_read() -> None:
    said = answer(Deny(reason="needs-http"), caller=Caller.TCP)
    assert (said.code, said.body) == (7, "")


def test_the_rules_own_body_and_headers_win() -> None:
    rule = Deny(reason="x", headers={"Cache-Control": "private", "x-why": "y"}, body='{"error": "frozen"}')
    for caller in (Caller.API, Caller.NAVIGATION):
        said = answer(rule, caller=caller)
        assert said.body == '{"error": "frozen"}'
        assert said.denied == {
            "cache-control": "private",
            "content-type": "application/json",
            "x-content-type-options": "nosniff",
            "x-extauthz-decision-id": "d-1",
            "x-why": "y",
        }
    assert answer(Deny(reason="x", body="frozen")).denied["content-type"] == "text/plain; charset=utf-8"
    page = Deny(reason="x", body="<p>frozen", headers={"content-type": "text/html"})
    assert answer(page).denied["content-type"] == "text/html"


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_status_without_a_body_has_none(status: int) -> None:
    said = answer(Deny(reason="x", status=status))
    assert said.body == ""
    assert "content-type" not in said.denied


INSUFFICIENT = (
    'Bearer error="insufficient_user_authentication", error_description="This needs fresh proof of who you are.", '
    'acr_values="gold q\\"uoted", max_age="60"'
)


def test_a_challenged_navigation_is_redirected_with_its_cookies() -> None:
    said = answer(CHALLENGE, caller=Caller.NAVIGATION, offer=OFFER)
    assert said.status == 302
    assert said.denied["location"] == OFFER.location
    assert said.denied["set-cookie"].split("\n") == list(OFFER.cookies)


def test_a_challenged_form_gets_a_page_that_leads_to_the_challenge() -> None:
    said = answer(CHALLENGE, caller=Caller.FORM_POST, offer=OFFER)
    assert said.status == 401
    assert Page(said.body).links == [OFFER.location]
    assert said.denied["set-cookie"].split("\n") == list(OFFER.cookies)
    assert said.denied["www-authenticate"] == INSUFFICIENT


def test_a_challenged_api_gets_rfc_9470_and_the_address_of_the_challenge() -> None:
    said = answer(CHALLENGE, offer=OFFER)
    assert said.status == 401
    assert said.denied["www-authenticate"] == INSUFFICIENT
    assert said.denied["set-cookie"].split("\n") == list(OFFER.cookies)
    document = problem(said)
    assert document["challenge_uri"] == OFFER.location
    assert document["acr_values"] == 'gold q"uoted'
    assert document["max_age"] == 60
    assert document["demands"] == [
        {"factors": ["totp", "webauthn"], "max_age": 300, "description": "Transfers above 1,000"},
        {"factors": ["totp"], "max_age": 60},
    ]


def test_a_challenged_grpc_call_is_unauthenticated_and_told_the_address() -> None:
    info = error_info(answer(CHALLENGE, caller=Caller.GRPC, offer=OFFER))
    assert info.metadata["challenge_uri"] == OFFER.location
    assert info.metadata["max_age"] == "60"


def test_a_cors_preflight_is_never_redirected() -> None:
    for decision in REFUSALS:
        said = answer(decision, caller=Caller.PREFLIGHT, offer=OFFER)
        assert said.status in (401, 403)
        assert not {"location", "set-cookie"} & said.denied.keys()
    away = Deny(reason="away", status=302, headers={"location": "https://elsewhere.example/"})
    assert (answer(away).status, answer(away, caller=Caller.PREFLIGHT).status) == (302, 403)


def test_what_failure_mode_allow_or_a_deprecated_field_would_turn_around_can_not_be_said() -> None:
    """No `error_response`; nothing that overrides the metadata; no `append` that is unset."""
    message = CheckResponse.DESCRIPTOR
    assert "error_response" not in message.fields_by_name
    assert "dynamic_metadata" not in OkHttpResponse.DESCRIPTOR.fields_by_name
    assert "append" not in HeaderValueOption.DESCRIPTOR.fields_by_name


@pytest.mark.parametrize("caller", Caller)
def test_a_challenge_without_an_offer_is_an_explicit_401(caller: Caller) -> None:
    said = answer(CHALLENGE, caller=caller)
    assert (said.code, said.status) == (16, 401)
    assert "location" not in said.denied
    assert OFFER.location not in said.body


def test_a_hold_says_when_to_come_back() -> None:
    said = answer(HOLD)
    assert said.status == 403
    assert problem(said)["retry_after"] == int(said.denied["retry-after"]) > 0
    later = answer(replace(HOLD, retry_after=29.2))
    assert problem(later)["retry_after"] == int(later.denied["retry-after"]) == 30


def test_a_hold_says_what_it_waits_for_and_where() -> None:
    said = answer(replace(HOLD, approvals=("a1",)), offer=WAITING)
    assert said.denied["location"] == problem(said)["approval_uri"] == WAITING.location
    assert said.denied["set-cookie"] == WAITING.cookies[0]
    assert problem(said)["approvals"] == ["a1"]
    assert problem(said)["demands"] == [{"min": 2, "expires_in": 900}]


def test_a_navigation_waits_on_a_page_and_a_form_leads_there() -> None:
    went = answer(HOLD, caller=Caller.NAVIGATION, offer=WAITING)
    assert (went.code, went.status, went.body) == (7, 302, "")
    assert (went.denied["location"], went.denied["set-cookie"]) == (WAITING.location, WAITING.cookies[0])
    assert went.denied["cache-control"] == "no-store"
    posted = answer(HOLD, caller=Caller.FORM_POST, offer=WAITING)
    assert posted.status == 403
    assert Page(posted.body).links == [WAITING.location]


@pytest.mark.parametrize("caller", [Caller.PREFLIGHT, Caller.TCP])
def test_who_can_wait_nowhere_is_told_of_no_place(caller: Caller) -> None:
    said = answer(HOLD, caller=caller, offer=WAITING if caller is Caller.PREFLIGHT else None)
    assert (said.status, said.code) == (403, 7)
    assert not {"location", "set-cookie"} & set(said.denied)


def demanding(*, max_age: float, acr: str | None = None) -> Challenge:
    demand = ChallengeDemand(rule="r", factors=("totp",), max_age=max_age, binding="b", acr=acr)
    return Challenge(rule="r", demands=(demand,))


UNSAYABLE: list[tuple[str, Decision, ChallengeOffer | HoldOffer | None]] = [
    ("name-of-half-a-pair", Allow(rule="r", mutations=Mutations(headers={"\ud800": "a"})), None),
    ("cr-in-value", Allow(rule="r", mutations=Mutations(headers={"x": "a\rb"})), None),
    ("lf-in-value", Allow(rule="r", mutations=Mutations(headers={"x": "a\nb"})), None),
    ("nul-in-value", Allow(rule="r", mutations=Mutations(headers={"x": "a\0b"})), None),
    ("control-in-value", Allow(rule="r", mutations=Mutations(headers={"x": "a\x07b"})), None),
    ("space-before", Allow(rule="r", mutations=Mutations(headers={"x": " alice"})), None),
    ("space-after", Allow(rule="r", mutations=Mutations(headers={"x": "alice "})), None),
    ("surrogate", Allow(rule="r", mutations=Mutations(headers={"x": "\ud800"})), None),
    ("empty-name", Allow(rule="r", mutations=Mutations(headers={"": "a"})), None),
    ("pseudo-name", Allow(rule="r", mutations=Mutations(headers={":path": "/"})), None),
    ("name-with-space", Allow(rule="r", mutations=Mutations(headers={"x y": "a"})), None),
    ("name-with-lf", Allow(rule="r", mutations=Mutations(headers={"x\n": "a"})), None),
    ("name-twice", Allow(rule="r", mutations=Mutations(headers={"X": "a", "x": "b"})), None),
    ("our-name", Allow(rule="r", mutations=Mutations(headers={"x-extauthz-decision-id": "a"})), None),
    ("appended-value", Allow(rule="r", mutations=Mutations(append_headers={"x": ("a", "b\n")})), None),
    ("appended-nothing", Allow(rule="r", mutations=Mutations(append_headers={"x": ()})), None),
    ("appended-name", Allow(rule="r", mutations=Mutations(append_headers={"x y": ("a",)})), None),
    ("appended-ours", Allow(rule="r", mutations=Mutations(append_headers={"X-Extauthz-Decision-Id": ("a",)})), None),
    ("set-and-appended", Allow(rule="r", mutations=Mutations(headers={"X": "a"}, append_headers={"x": ("a",)})), None),
    ("appended-cookie", Allow(rule="r", mutations=Mutations(append_response_headers={"x": ("a\r",)})), None),
    (
        "response-set-and-appended",
        Allow(rule="r", mutations=Mutations(response_headers={"x": "a"}, append_response_headers={"x": ("a",)})),
        None,
    ),
    ("response-value", Allow(rule="r", mutations=Mutations(response_headers={"x": "a\r\nb: c"})), None),
    ("removed-name", Allow(rule="r", mutations=Mutations(remove_headers=frozenset({"a b"}))), None),
    ("query-surrogate", Allow(rule="r", mutations=Mutations(query={"a": "\udfff"})), None),
    ("metadata-namespace", Allow(rule="r", mutations=Mutations(metadata={"extauthz": {}})), None),
    ("metadata-nan", Allow(rule="r", mutations=Mutations(metadata={"a": float("nan")})), None),
    ("metadata-bytes", Allow(rule="r", mutations=Mutations(metadata={"a": [b""]})), None),
    ("metadata-inexact", Allow(rule="r", mutations=Mutations(metadata={"a": 2**53 + 1})), None),
    ("deny-header", Deny(reason="x", headers={"x": "a\nb"}), None),
    ("deny-body", Deny(reason="x", body="\ud800"), None),
    ("deny-status-low", Deny(reason="x", status=101), None),
    ("deny-status-high", Deny(reason="x", status=600), None),
    ("deny-reason", Deny(reason="\ud800"), None),
    ("no-demand", Challenge(rule="r", demands=()), None),
    ("acr", demanding(max_age=60.0, acr="a\n"), None),
    ("max-age", demanding(max_age=float("inf")), None),
    ("max-age-too-long", demanding(max_age=1e300), None),
    ("retry-too-late", replace(CHALLENGE, retry_after=1e300), None),
    ("retry-after", replace(CHALLENGE, retry_after=float("nan")), None),
    ("retry-before", replace(CHALLENGE, retry_after=-1.0), None),
    ("hold-retry-after", replace(HOLD, retry_after=float("nan")), None),
    ("hold-approval", replace(HOLD, approvals=("\ud800",)), None),
    ("hold-elsewhere", HOLD, HoldOffer(location="//evil.example/")),
    ("hold-cookie-with-lf", HOLD, HoldOffer(location="/a", cookies=("a=b\r\nx: y",))),
    ("other-host", CHALLENGE, ChallengeOffer(location="//evil.example/")),
    ("other-host-backslash", CHALLENGE, ChallengeOffer(location="/\\evil.example/")),
    ("absolute", CHALLENGE, ChallengeOffer(location="https://evil.example/")),
    ("location-with-tab", CHALLENGE, ChallengeOffer(location="/\t/evil.example/")),
    ("location-with-lf", CHALLENGE, ChallengeOffer(location="/a\n")),
    ("cookie-with-lf", CHALLENGE, ChallengeOffer(location="/a", cookies=("a=b\r\nx: y",))),
]  # fmt: skip


@pytest.mark.parametrize("form", BY_FORM)
@pytest.mark.parametrize(("decision", "offer"), [case[1:] for case in UNSAYABLE], ids=[case[0] for case in UNSAYABLE])
def test_what_can_not_be_said_is_a_denial(
    decision: Decision, offer: ChallengeOffer | HoldOffer | None, form: str
) -> None:
    said = answer(decision, request=BY_FORM[form], offer=offer)
    assert (said.code, said.status) == (14, 200 if form.startswith("grpc-web") else 503)
    assert said.is_explicit
    assert said.facts["reason"] == "response-invalid"
    assert sayable(decision, offer=offer) == Deny(reason="response-invalid", status=503)


@pytest.mark.parametrize("decision", DECISIONS.values())
def test_what_can_be_said_is_said_as_it_is(decision: Decision) -> None:
    assert sayable(decision, offer=OFFER) is decision


@pytest.mark.parametrize("decision_id", ["d-1", "", "\ud800", "a\nb", "x" * 10_000])
def test_the_last_resort_is_a_denial_whatever_its_id(decision_id: str) -> None:
    said = Answer.of(encode_failure(decision_id))
    assert (said.code, said.status) == (14, 503)
    assert said.is_explicit
