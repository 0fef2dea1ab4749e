"""`mode: {enforce_for: …}` and `audit: required`."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy.making import WEB, caller, compiled, document, evaluate, http, rule

from extauthz.policy import staging
from extauthz.policy.decide import needs
from extauthz.policy.staging import Staged
from extauthz.values.decisions import Deny, Mode
from extauthz.values.identity import Identity, Subject, User

PERCENT = st.floats(0, 100)
SUBJECTS = st.builds(Subject, st.sampled_from(("", "https://a.example", "https://b.example")), st.text(max_size=20))
SOME = [Subject("https://idp.example", f"user-{number}") for number in range(4000)]


def staged(percent: float) -> Staged:
    none: frozenset[Subject] = frozenset()
    return Staged(share=staging.share(percent), subjects=frozenset(), exact_subjects=none, workloads=())


def person(subject: Subject) -> Identity:
    return Identity(user=User(sub=subject.id, iss=subject.issuer))


@given(PERCENT, PERCENT, SUBJECTS)
def test_a_larger_share_only_adds_subjects(one: float, other: float, subject: Subject) -> None:
    smaller, larger = sorted((one, other))
    if staged(smaller).mode_for("p/a", person(subject)) == "enforce":
        assert staged(larger).mode_for("p/a", person(subject)) == "enforce"


@given(SUBJECTS)
def test_none_is_nobody_and_all_is_every_subject(subject: Subject) -> None:
    assert staged(0).mode_for("p/a", person(subject)) == "shadow"
    assert staged(100).mode_for("p/a", person(subject)) == "enforce"


@pytest.mark.parametrize("percent", [1, 10, 12.5, 50, 90])
def test_the_share_of_subjects_is_about_the_percentage(percent: float) -> None:
    count = sum(staged(percent).mode_for("p/a", person(subject)) == "enforce" for subject in SOME)
    spread = 4 * (len(SOME) * percent / 100 * (1 - percent / 100)) ** 0.5  # four standard deviations
    assert abs(count - len(SOME) * percent / 100) < spread


def test_each_rule_draws_subjects_of_its_own() -> None:
    first, second = (
        {subject for subject in SOME if staged(10).mode_for(name, person(subject)) == "enforce"}
        for name in ("p/a", "p/b")
    )
    assert 0 < len(first & second) < len(SOME) * 0.02


def test_a_place_is_fixed_for_ever() -> None:
    """It is part of the format: replicas of two versions must agree."""
    assert staging.place("p/a", Subject("https://idp.example", "u1")) == 0xF7716F28157924CA


@pytest.mark.parametrize(
    ("stage", "identity", "mode"),
    [
        ({"percent": 100}, caller(), "shadow"),
        ({"percent": 100}, caller(workload=WEB), "enforce"),
        ({"subjects": ["u1"]}, caller(sub="u1"), "enforce"),
        ({"subjects": ["u2"]}, caller(sub="u1"), "shadow"),
        ({"subjects": [WEB]}, caller(workload=WEB), "enforce"),
        ({"subjects": [WEB]}, caller(sub="u1", workload=WEB), "shadow"),
        ({"subjects": [{"issuer": "https://idp.example", "sub": "u1"}]}, caller(sub="u1"), "enforce"),
        ({"subjects": [{"issuer": "https://other.example", "sub": "u1"}]}, caller(sub="u1"), "shadow"),
        ({"workloads": ["spiffe://prod.example.org/**"]}, caller(sub="u1", workload=WEB), "enforce"),
        ({"workloads": ["spiffe://dev.example.org/**"]}, caller(sub="u1", workload=WEB), "shadow"),
        ({"percent": 0, "subjects": ["u2"], "workloads": [WEB]}, caller(sub="u1"), "shadow"),
    ],
)
def test_a_staged_rule_is_obeyed_for_those_in_the_stage_and_in_shadow_for_the_rest(
    stage: Mapping[str, object], identity: Identity, mode: Mode
) -> None:
    policies = compiled(
        document("p", rule("all", "allow"), rule("no", "deny", mode={"enforce_for": stage}, audit="required"))
    )
    evaluation = evaluate(policies, http(), identity)
    assert {one.rule: (one.mode, one.result) for one in evaluation.rules}["p/no"] == (mode, "match")
    assert isinstance(evaluation.decision, Deny) == (mode == "enforce")
    assert evaluation.audit_required == (mode == "enforce")


@pytest.mark.parametrize(("sub", "wanted"), [("u1", True), ("u2", False)])
def test_a_challenge_in_shadow_for_a_caller_needs_no_look_up_for_it(sub: str, wanted: bool) -> None:
    policies = compiled(
        document("p", rule("all", "allow"), rule("proof", "challenge", mode={"enforce_for": {"subjects": ["u1"]}}))
    )
    assert needs(policies.candidates(http(), caller(sub=sub))).obeyed == ({"grants"} if wanted else set())


@pytest.mark.parametrize("mode", ["enforce", {"enforce_for": {"percent": 1}}])
def test_what_a_staged_allow_can_set_never_comes_from_the_client(mode: object) -> None:
    policies = compiled(document("p", rule("a", "allow", mode=mode, allow={"headers": {"x-who": "user.sub"}})))
    assert policies.settable_headers == {"x-who"}


@pytest.mark.parametrize(
    ("effect", "when", "required"),
    [
        ("allow", "true", True),
        ("allow", "false", False),
        ("allow", "user.sub == 'u1'", False),
        ("deny", "false", False),
        ("deny", "user.sub == 'u1'", True),
        ("challenge", "true", True),
    ],
)
def test_a_record_is_required_by_a_rule_that_matches_and_by_a_guard_that_errors(
    effect: str, when: str, required: bool
) -> None:
    audited = rule("audited", effect, when=when, audit="required")
    assert evaluate(compiled(document("p", rule("all", "allow"), audited))).audit_required is required
    silent = {**audited, "mode": "shadow"}
    assert evaluate(compiled(document("p", rule("all", "allow"), silent))).audit_required is False
