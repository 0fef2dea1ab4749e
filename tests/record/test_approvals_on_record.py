"""What audit line, span and picture say of approvals: who has answered, and nothing that could be used again."""

import msgspec
from policy.making import NOW, WEB, approval, caller, compiled, document, evaluate, http, rule, vote
from record.span_making import span_of

from extauthz.record.audit_line import DecisionLine
from extauthz.record.config import KeepSettings
from extauthz.record.decision import DecisionRecord
from extauthz.record.masking import Keep, line_of
from extauthz.record.picture import picture_of
from extauthz.values.approvals import BreakGlass, Picture, Proof
from extauthz.values.decisions import Allow, AutoAnswer, Decision, Hold
from extauthz.values.grants import Facts
from extauthz.values.origin import Origin

SECRET = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"
STOOD_IN = vote("b1", groups=[], in_place_of=vote("b2", claims={"limit": 1}).approver)
GLASS = BreakGlass(by=vote("u1").approver, reason="fire", proof=Proof(factor="otp", at=NOW - 15), at=NOW - 10)


def record(decision: Decision) -> DecisionRecord:
    at = int(NOW) * 1_000_000_000
    return DecisionRecord(decision_id="d", revision="r", decision=decision, started_ns=at, ended_ns=at)


def line(decision: Decision) -> DecisionLine:
    written = msgspec.json.encode(line_of(record(decision), Keep()))
    return msgspec.json.decode(written, type=DecisionLine)


def attributes(decision: Decision) -> dict[str, object]:
    found = span_of(record(decision)).attributes or {}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}


def test_who_has_approved_is_on_record_with_whose_right_it_was() -> None:
    (given,) = line(Allow(rule="p/all", grants=(approval("action:p/a", STOOD_IN),))).grants
    assert (given.bind, given.rule, given.factor, given.uses) == ("action", "p/a", "approval", 1)
    assert given.approval is not None
    (voted,) = given.approval.votes
    assert (voted.person, voted.groups, voted.after_s) == ("b1", [], 10.0)
    assert voted.in_place_of is not None
    assert (voted.in_place_of.person, voted.in_place_of.groups) == ("b2", ["chiefs"])


def test_claims_of_approvers_are_not_on_record() -> None:
    decision = Allow(rule="p/all", grants=(approval("action:p/a", vote("b1", claims={"salary": 4711})),))
    assert b"4711" not in msgspec.json.encode(line_of(record(decision), Keep()))


def test_a_broken_glass_is_flagged() -> None:
    decision = Allow(rule="p/all", grants=(approval("action:p/a", break_glass=GLASS),))
    told = line(decision)
    assert told.break_glass
    assert told.grants[0].approval is not None
    assert told.grants[0].approval.break_glass is not None
    assert told.grants[0].approval.break_glass.reason == "fire"
    assert attributes(decision)["extauthz.break_glass"] is True
    assert attributes(decision)["extauthz.approval.ids"] == ("a1",)


def test_an_ordinary_allow_says_nothing_of_approvals() -> None:
    assert not line(Allow(rule="p/all")).break_glass
    assert not [name for name in attributes(Allow(rule="p/all")) if "approval" in name or "glass" in name]


def test_what_a_hold_waits_for_and_what_was_automatic_is_told() -> None:
    hold = Hold(rule="p/a", demands=(), approvals=("a1", "a2"))
    assert line(hold).approvals == ["a1", "a2"]
    assert attributes(hold)["extauthz.approval.ids"] == ("a1", "a2")
    auto = Allow(rule="p/all", auto=(AutoAnswer(rule="p/a", answer="approve", reason="small"),))
    assert [(one.rule, one.reason) for one in line(auto).auto] == [("p/a", "small")]
    assert attributes(auto)["extauthz.approval.auto"] == ("p/a:small",)


def picture(keep: Keep) -> Picture:
    block = {"approvers": {"groups": ["chiefs"]}, "show": {"amount": "request.query.amount"}}
    policies = compiled(
        document(
            "p", rule("all", "allow"), rule("a", "approve", when="has(user.sub)", approve=block, description="Why")
        )
    )
    request = http(
        f"/pay?amount=5&token={SECRET}",
        host="app.example:8443",
        headers={"authorization": f"Bearer {SECRET}", "cookie": "s=1"},
        body=b"x=hidden",
    )
    identity = caller(
        sub="u1", workload=WEB, claims={"tenant": "t1", "phone": "0815"}, actor={"sub": "agent", "act": {"sub": "cron"}}
    )
    facts = Facts(geo={"country": "FR"})
    evaluation = evaluate(policies, request, identity, facts=facts)
    assert isinstance(evaluation.decision, Hold)
    return picture_of(
        evaluation.decision.demands[0],
        request=request,
        identity=identity,
        facts=facts,
        evaluation=evaluation,
        revision="r",
        origin=Origin(decision_id="d"),
        keep=keep,
    )


def test_approvers_see_what_is_asked() -> None:
    seen = picture(Keep.of(KeepSettings(query=frozenset({"amount"}), claims=frozenset({"tenant"}))))
    assert (seen.user, seen.actors, seen.workload) == ("u1", ("agent", "cron"), WEB)
    assert (seen.method, seen.host, seen.path, seen.body_bytes) == ("GET", "app.example", "/pay", 8)
    assert seen.target == "app.example:8443/pay"
    assert (seen.show, seen.why, seen.description) == ({"amount": "5"}, "has(user.sub)", "Why")
    assert (seen.query, seen.masked, seen.claims) == ({"amount": ("5",)}, ("token",), {"tenant": "t1"})
    assert seen.place == {"country": "FR"}


def test_approvers_see_nothing_that_the_audit_masks() -> None:
    kept = msgspec.json.encode(picture(Keep()))
    for hidden in (SECRET, "0815", "hidden", "s=1", "t1"):
        assert hidden.encode() not in kept
    assert msgspec.json.decode(kept, type=Picture) == picture(Keep())
