"""What a decision carries beside its word: demands, grants, bindings, mutations; and what `needs` asks for."""

from dataclasses import replace

import msgspec
import pytest
from policy.making import KEY, NOW, WEB, Document, caller, compiled, document, evaluate, grant, http, rule

from extauthz.policy.decide import needs
from extauthz.stepup.binding import bind
from extauthz.values.decisions import Allow, Challenge, Deny, Hold
from extauthz.values.grants import Facts

ALL = rule("all", "allow")
USER = caller(sub="u1")


def challenged(*rules: Document, **more: object) -> Challenge:
    decision = evaluate(compiled(document("p", ALL, *rules)), more.get("request"), USER).decision  # type: ignore[arg-type]  # it is a request
    assert isinstance(decision, Challenge)
    return decision


def test_a_challenge_shows_together_what_is_not_met() -> None:
    policies = compiled(
        document(
            "p",
            ALL,
            rule("b", "challenge", challenge={"factors": ["totp"], "max_age": "1m", "acr": "high"}, description="Why"),
            rule("c", "challenge", challenge={"factors": ["webauthn", "totp"], "bind": "session"}),
            rule("a", "challenge"),
        )
    )
    met = Facts(grants=(grant("action:p/a"),))
    decision = evaluate(policies, identity=USER, facts=met).decision
    assert isinstance(decision, Challenge)
    assert decision.rule == "p/b"
    first, second = decision.demands
    assert (first.rule, first.factors, first.max_age, first.acr) == ("p/b", ("totp",), 60.0, "high")
    assert (first.binding, first.uses, first.description) == ("action:p/b", None, "Why")
    assert (second.rule, second.factors, second.max_age) == ("p/c", ("webauthn", "totp"), 300.0)


def test_a_request_bound_challenge_is_good_once_and_for_these_bytes() -> None:
    one = challenged(
        rule("a", "challenge", challenge={"factors": ["totp"], "bind": "request"}), request=http(body=b"1")
    )
    two = challenged(
        rule("a", "challenge", challenge={"factors": ["totp"], "bind": "request"}), request=http(body=b"2")
    )
    assert one.demands[0].uses == 1
    assert one.demands[0].binding != two.demands[0].binding


def test_a_scope_bound_challenge_is_good_for_these_values() -> None:
    scoped = rule("a", "challenge", challenge={"factors": ["totp"], "bind": {"scope": ["request.query.to"]}})
    bindings = [challenged(scoped, request=http(f"/?to={to}&x={x}")).demands[0].binding for to, x in ("a1", "a2", "b1")]
    assert bindings[0] == bindings[1] != bindings[2]


def test_what_a_page_shows_is_text() -> None:
    show = {"Amount": "double(request.query.amount)", "To": "request.query.to", "At": "now", "List": "[1, 'ä']"}
    decision = challenged(
        rule("a", "challenge", challenge={"factors": ["totp"], "show": show}), request=http("/?amount=5&to=a1")
    )
    assert decision.demands[0].show == {"Amount": "5.0", "At": "2026-11-18T11:06:40Z", "List": '[1, "ä"]', "To": "a1"}


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ({"bind": "request"}, "not-bindable"),
        ({"bind": {"scope": ["request.query.nothing"]}}, "policy-error"),
        ({"bind": {"scope": ["0.0 / 0.0"]}}, "not-bindable"),
        ({"show": {"To": "request.query.nothing"}}, "policy-error"),
    ],
)
@pytest.mark.parametrize("effect", ["challenge", "approve"])
def test_a_guard_whose_own_terms_can_not_be_worked_out_denies(
    effect: str, block: dict[str, object], reason: str
) -> None:
    needed = {"factors": ["totp"]} if effect == "challenge" else {"approvers": {"groups": ["chiefs"]}}
    policies = compiled(document("p", ALL, rule("a", effect, **{effect: {**needed, **block}})))
    evaluation = evaluate(policies, http(method="POST"), USER)
    assert evaluation.decision == Deny(reason=reason, rule="p/a")
    assert [one.error is not None for one in evaluation.rules] == [True, False]


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({}, True),
        ({"factor": "hwk"}, False),
        ({"issued_at": NOW - 299.9}, True),
        ({"issued_at": NOW - 300}, False),
        ({"issued_at": NOW + 299.9}, True),
        ({"issued_at": NOW + 301, "expires_at": NOW + 601}, False),
        ({"expires_at": NOW + 0.1}, True),
        ({"expires_at": NOW}, False),
        ({"uses": 1}, True),
        ({"uses": 0}, False),
        ({"subject": caller(sub="u2").subject}, False),
        ({"session": "s2"}, False),
        ({"holder": "cookie:h2"}, False),
        ({"binding": "action:p/b"}, False),
        ({"binding": "session"}, False),
    ],
)
def test_a_grant_meets_a_challenge_only_if_everything_fits(changes: dict[str, object], met: bool) -> None:
    policies = compiled(document("p", ALL, rule("a", "challenge")))
    facts = Facts(grants=(grant(**{"binding": "action:p/a", **changes}),))  # type: ignore[arg-type]  # the changes are a grant's
    decision = evaluate(policies, identity=USER, facts=facts).decision
    assert isinstance(decision, Allow) == met
    if isinstance(decision, Allow):
        assert decision.grants == facts.grants


def test_the_same_sub_at_another_issuer_is_another_subject() -> None:
    policies = compiled(document("p", ALL, rule("a", "challenge")))
    facts = Facts(grants=(grant("action:p/a"),))
    assert USER.user is not None
    other = msgspec.structs.replace(USER, user=replace(USER.user, iss="https://other.example"))
    assert isinstance(evaluate(policies, identity=other, facts=facts).decision, Challenge)


def test_an_allow_lists_each_grant_that_it_rests_on_once() -> None:
    block = {"factors": ["totp"], "bind": "session"}
    policies = compiled(
        document("p", ALL, rule("a", "challenge"), rule("b", "challenge", challenge=block), rule("c", "challenge"))
    )
    unlimited, once = grant("session", id="s"), grant("session", id="t", uses=1, issued_at=NOW - 1)
    facts = Facts(grants=(once, unlimited, grant("action:p/a", id="a", uses=2), grant("action:p/c", id="c")))
    decision = evaluate(policies, identity=USER, facts=facts).decision
    assert isinstance(decision, Allow)
    assert [one.id for one in decision.grants] == ["a", "s", "c"]


def test_a_grant_bound_with_an_older_key_is_still_good_and_new_ones_use_the_newest() -> None:
    scoped = rule("a", "challenge", challenge={"factors": ["totp"], "bind": {"scope": ["request.path"]}})
    policies = compiled(document("p", ALL, scoped))
    request = http()
    old, new = (
        bind("scope", rule="p/a", scope=["/"], request=request, identity=USER, key=key) for key in (KEY, b"newer key")
    )
    keys = (KEY, b"newer key")
    decision = evaluate(policies, request, USER, keys=keys).decision
    assert isinstance(decision, Challenge)
    assert decision.demands[0].binding == new != old
    allowed = evaluate(policies, request, USER, keys=keys, facts=Facts(grants=(grant(old),))).decision
    assert isinstance(allowed, Allow)


def test_a_hold_names_what_must_be_approved() -> None:
    block = {"approvers": {"groups": ["chiefs"]}, "min": 2, "hold": "20s", "expires_in": "15m"}
    policies = compiled(document("p", ALL, rule("a", "approve", approve=block), rule("b", "approve")))
    decision = evaluate(policies, identity=caller(workload=WEB)).decision
    assert isinstance(decision, Hold)
    first, second = decision.demands
    assert (first.rule, first.binding, first.min, first.hold, first.expires_in) == ("p/a", "action:p/a", 2, 20, 900)
    assert (second.rule, second.min, second.hold) == ("p/b", 1, 0)


def test_shadow_rules_set_no_header_and_need_no_grant() -> None:
    policies = compiled(
        document(
            "p",
            rule("a", "allow", mode="shadow", allow={"headers": {"x-a": "'1'"}}),
            rule("b", "challenge", mode="shadow"),
        )
    )
    assert policies.settable_headers == frozenset()
    assert not needs(policies.candidates(http(), USER))


def test_grants_are_needed_only_where_a_candidate_asks_for_a_proof() -> None:
    policies = compiled(
        document("p", ALL, rule("a", "challenge", paths=["/pay"]), rule("b", "approve", paths=["/close"]))
    )
    assert not needs(policies.candidates(http("/"), USER))
    assert needs(policies.candidates(http("/pay"), USER)).obeyed == {"grants"}
    assert needs(policies.candidates(http("/close"), USER)).obeyed == {"grants"}


def test_an_allow_expires_at_its_moment() -> None:
    policies = compiled(document("p", rule("a", "allow", expires="2026-11-18T11:06:40Z")))
    assert isinstance(evaluate(policies, now=NOW - 0.001).decision, Allow)
    assert isinstance(evaluate(policies, now=NOW).decision, Deny)
