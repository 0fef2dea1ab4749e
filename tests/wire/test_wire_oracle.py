"""Every decision in every form is what the oracle's table says."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from wire.answers import BY_FORM, CHALLENGE, HOLD, OFFER, answer
from wire.forms_oracle import FAMILIES, Told, check_refusal

from extauthz.errors import STATUS, Reason
from extauthz.values.decisions import Challenge, Decision, Deny, ProofFailure, denial
from extauthz.wire.sayable import sayable

REFUSING: list[Reason] = [reason for reason in get_args(Reason) if STATUS[reason] >= 400]
# Whatever a rule may deny with (`policy.models`), but for statuses without a body.
RULES = [400, 401, 403, 404, 405, 409, 410, 421, 422, 426, 429, 431, 500, 501, 502, 503, 504, 507, 511]
PROOFS: list[Challenge] = [replace(CHALLENGE, reason=reason) for reason in ("proof-required", *get_args(ProofFailure))]


@pytest.mark.parametrize("form", FAMILIES)
@pytest.mark.parametrize("reason", REFUSING)
def test_every_reason_of_ours_in_every_form(reason: Reason, form: str) -> None:
    said = answer(denial(reason), request=BY_FORM[form])
    check_refusal(said, form, status=STATUS[reason], told=Told(reason=reason, decision_id="d-1"))


@pytest.mark.parametrize("form", FAMILIES)
@pytest.mark.parametrize("status", RULES)
def test_every_status_of_a_rule_in_every_form(status: int, form: str) -> None:
    said = answer(Deny(reason="rules-word", rule="p/r", status=status), request=BY_FORM[form])
    check_refusal(said, form, status=status, told=Told(reason="rules-word", decision_id="d-1"))


@pytest.mark.parametrize("form", FAMILIES)
@pytest.mark.parametrize("offered", [True, False])
@pytest.mark.parametrize("challenge", PROOFS, ids=lambda challenge: challenge.reason)
def test_every_challenge_in_every_form(challenge: Challenge, form: str, *, offered: bool) -> None:
    said = answer(challenge, request=BY_FORM[form], offer=OFFER if offered else None)
    if form == "navigation" and offered:
        assert (said.code, said.status, said.body) == (16, 302, "")
        assert said.denied["location"] == OFFER.location
    else:
        check_refusal(said, form, status=401, told=Told(reason=challenge.reason, decision_id="d-1"))
    # Whoever can open the page has its address and the cookies that open it; a preflight never has.
    given = offered and form != "preflight"
    assert said.denied.get("set-cookie", "").split("\n") == (list(OFFER.cookies) if given else [""])


@pytest.mark.parametrize("form", FAMILIES)
def test_whatever_is_to_be_tried_again_says_when_in_every_form(form: str) -> None:
    locked = answer(replace(CHALLENGE, reason="locked-out", retry_after=29.2), request=BY_FORM[form])
    check_refusal(locked, form, status=401, told=Told(reason="locked-out", decision_id="d-1", retry_after=30))
    held = answer(HOLD, request=BY_FORM[form])
    check_refusal(held, form, status=403, told=Told(reason="approval-required", decision_id="d-1", retry_after=5))


@given(
    st.sampled_from(sorted(FAMILIES)),
    st.builds(
        Deny,
        reason=st.sampled_from(["denied", "rules-word"]),
        status=st.sampled_from(RULES),
        headers=st.dictionaries(st.sampled_from(["x-why", "retry-after", "content-type"]), st.just("1"), max_size=2),
        body=st.text(max_size=20),
    ),
)
def test_no_words_of_a_rule_change_the_outcome(form: str, decision: Deny) -> None:
    said = answer(decision, request=BY_FORM[form])
    if sayable(decision) is decision:
        check_refusal(said, form, status=decision.status, told=None)
    else:
        check_refusal(said, form, status=503, told=Told(reason="response-invalid", decision_id="d-1"))


DECISIONS: st.SearchStrategy[Decision] = st.one_of(
    st.sampled_from(REFUSING).map(denial), st.sampled_from(PROOFS), st.just(HOLD)
)


@given(DECISIONS)
def test_every_form_of_one_decision_has_one_code_and_one_reason(decision: Decision) -> None:
    answers = [answer(decision, request=request, offer=OFFER) for request in BY_FORM.values()]
    assert len({(said.code, said.facts["reason"]) for said in answers}) == 1
