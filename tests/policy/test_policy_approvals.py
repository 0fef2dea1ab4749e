"""Step 5 of a decision: what an approval is good for, and that it is counted anew each time it is used."""

from typing import Any

import pytest
from policy.asking_chiefs import ALL, USER, asking, demanded, is_let_through
from policy.making import (
    KEY,
    NOW,
    WEB,
    Document,
    approval,
    caller,
    compiled,
    document,
    evaluate,
    http,
    rule,
    vote,
)

from extauthz.approval.config import MachinesSettings, PersonsSettings
from extauthz.approval.persons import Persons
from extauthz.policy.approving import terms_of
from extauthz.policy.problems import PolicyErrors
from extauthz.values.approvals import Proof
from extauthz.values.decisions import Allow, AutoAnswer, Deny, Hold
from extauthz.values.facts import Local
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity

BODY: dict[str, Any] = {
    "path": "/pay?amount=1&to=a1",
    "method": "POST",
    "body": b'{"amount": 1}',
    "headers": {"content-type": "application/json", "x-amount": "1"},
}


def test_an_allow_rests_on_the_grant_of_the_approval() -> None:
    given = approval("action:p/a", vote("b1"))
    decision = evaluate(asking(), http("/"), USER, facts=Facts(grants=(given,))).decision
    assert isinstance(decision, Allow)
    assert decision.grants == (given,)


COUNTED: list[tuple[str, dict[str, object], list[Any], bool]] = [
    ("one of one", {}, [vote("b1")], True),
    ("one of two", {"min": 2}, [vote("b1")], False),
    ("two of two", {"min": 2}, [vote("b1"), vote("b2")], True),
    ("one person as two subjects", {"min": 2}, [vote("b1", person="p"), vote("b2", person="p")], False),
    ("nobody", {}, [], False),
    ("another group", {}, [vote("b1", groups=["staff"])], False),
    ("the requester", {}, [vote("u1")], False),
    ("the requester as another subject", {}, [vote("b1", person="u1")], False),
    ("for the requester", {}, [vote("b1", in_place_of=vote("u1").approver)], False),
    ("by the right of the absent", {}, [vote("b1", groups=[], in_place_of=vote("b2").approver)], True),
    (
        "the absent, and who stood in",
        {"min": 2},
        [vote("b1", groups=[], in_place_of=vote("b2").approver), vote("b2")],
        False,
    ),
    ("by name", {"approvers": {"subjects": ["b1"]}}, [vote("b1", groups=[])], True),
    ("by another's name", {"approvers": {"subjects": ["b1"]}}, [vote("b2", groups=[])], False),
    (
        "whom the condition takes",
        {"approvers": {"groups": ["chiefs"], "when": "approver.claims.limit >= 10 && approval.rule == 'p/a'"}},
        [vote("b1", claims={"limit": 10})],
        True,
    ),
    (
        "whom it does not take",
        {"approvers": {"groups": ["chiefs"], "when": "approver.claims.limit >= 10"}},
        [vote("b1", claims={"limit": 9})],
        False,
    ),
    (
        "a condition that errs",
        {"approvers": {"groups": ["chiefs"], "when": "approver.claims.limit >= 10"}},
        [vote("b1")],
        False,
    ),
    ("without the proof", {"approvers": {"groups": ["chiefs"], "factors": ["totp"]}}, [vote("b1")], False),
    (
        "with the proof",
        {"approvers": {"groups": ["chiefs"], "factors": ["totp"]}},
        [vote("b1", proof=Proof(factor="otp", at=NOW - 30))],
        True,
    ),
    (
        "with a proof that is too old",
        {"approvers": {"groups": ["chiefs"], "factors": ["totp"], "max_age": "5s"}},
        [vote("b1", proof=Proof(factor="otp", at=NOW - 30))],
        False,
    ),
    (
        "asked in time",
        {"escalate": [{"after": "5s", "groups": ["board"]}]},
        [vote("b1", groups=["board"], at=NOW - 24)],
        True,
    ),
    (
        "asked too early",
        {"escalate": [{"after": "15s", "groups": ["board"]}]},
        [vote("b1", groups=["board"], at=NOW - 24)],
        False,
    ),
    (
        "asked later, under the same condition",
        {
            "approvers": {"groups": ["chiefs"], "when": "'gold' in approver.claims.ranks"},
            "escalate": [{"after": "5s", "groups": ["board"]}],
        },
        [vote("b1", groups=["board"])],
        False,
    ),
]


@pytest.mark.parametrize(("name", "block", "votes", "counts"), COUNTED, ids=[name for name, *_ in COUNTED])
def test_votes_are_counted_by_the_rule_of_the_moment(
    name: str, block: dict[str, object], votes: list[Any], counts: bool
) -> None:
    assert name
    assert is_let_through(asking(**block), approval("action:p/a", *votes)) is counts


LASTING: list[tuple[str, dict[str, object], dict[str, Any], bool]] = [
    ("fresh", {}, {}, True),
    ("of another time", {"valid_for": "5s"}, {}, False),
    ("expired", {}, {"expires_at": NOW}, False),
    ("used up", {}, {"uses": 0}, False),
    ("unlimited, now limited", {}, {"uses": None}, False),
    ("more than now", {"uses": 2}, {"uses": 3}, False),
    ("unlimited", {"uses": "unlimited"}, {"uses": None}, True),
    ("of another session", {}, {"session": "s2"}, False),
    ("of another holder", {}, {"holder": "cookie:h2"}, False),
    ("of another rule", {}, {"binding": "action:p/b"}, False),
    ("of another subject", {}, {"subject": caller(sub="u2").subject}, False),
    ("a second factor", {}, {"factor": "otp"}, False),
    ("without votes", {}, {"approval": None}, False),
    ("of a wider binding", {"bind": "request"}, {}, False),
]


@pytest.mark.parametrize(("name", "block", "changes", "counts"), LASTING, ids=[name for name, *_ in LASTING])
def test_a_grant_is_good_for_what_the_rule_says_now(
    name: str, block: dict[str, object], changes: dict[str, Any], counts: bool
) -> None:
    assert name
    rest = {field: value for field, value in changes.items() if field != "binding"}
    given = approval(changes.get("binding", "action:p/a"), vote("b1"), **rest)
    assert is_let_through(asking(**block), given, request=http(**BODY)) is counts


def test_an_approval_meets_no_challenge() -> None:
    policies = compiled(document("p", ALL, rule("a", "challenge")))
    assert not is_let_through(policies, approval("action:p/a", vote("b1"), uses=None))


TAMPERED: list[tuple[str, dict[str, Any], Identity]] = [
    ("method", {"method": "PUT"}, USER),
    ("host", {"host": "app.example:8443"}, USER),
    ("scheme", {"scheme": "http"}, USER),
    ("path", {"path": "/pay/?amount=1&to=a1"}, USER),
    ("case of the path", {"path": "/Pay?amount=1&to=a1"}, USER),
    ("query", {"path": "/pay?amount=2&to=a1"}, USER),
    ("order of the query", {"path": "/pay?to=a1&amount=1"}, USER),
    ("an empty query", {"path": "/pay?"}, USER),
    ("body", {"body": b'{"amount": 2}'}, USER),
    ("a byte more", {"body": b'{"amount": 1} '}, USER),
    ("content type", {"headers": {**BODY["headers"], "content-type": "application/json; charset=utf-8"}}, USER),
    ("content encoding", {"headers": {**BODY["headers"], "content-encoding": "identity"}}, USER),
    ("method override", {"headers": {**BODY["headers"], "x-http-method-override": "DELETE"}}, USER),
    ("a chosen header", {"headers": {**BODY["headers"], "x-amount": "2"}}, USER),
    ("a chosen header twice", {"headers": {**BODY["headers"], "x-amount": ["1", "1"]}}, USER),
    ("a chosen header less", {"headers": {n: v for n, v in BODY["headers"].items() if n != "x-amount"}}, USER),
    ("the actor", {}, caller(sub="u1", groups=["on-duty"], actor={"sub": "agent"})),
    ("the workload", {}, caller(sub="u1", groups=["on-duty"], workload=WEB)),
]
BOUND = asking(bind={"request": ["X-Amount"]})


def test_the_very_request_is_let_through_once_it_is_approved() -> None:
    request = http(**BODY)
    assert is_let_through(BOUND, approval(demanded(BOUND, request).binding, vote("b1")), request=request)


@pytest.mark.parametrize(("name", "changes", "identity"), TAMPERED, ids=[name for name, *_ in TAMPERED])
def test_one_byte_of_difference_in_a_bound_part_is_another_request(
    name: str, changes: dict[str, Any], identity: Identity
) -> None:
    assert name
    given = approval(demanded(BOUND, http(**BODY)).binding, vote("b1"))
    assert not is_let_through(BOUND, given, request=http(**{**BODY, **changes}), identity=identity)


def test_what_is_not_bound_may_differ() -> None:
    request = http(**{**BODY, "headers": {**BODY["headers"], "user-agent": "another"}})
    given = approval(demanded(BOUND, http(**BODY)).binding, vote("b1"))
    assert is_let_through(BOUND, given, request=request)


@pytest.mark.parametrize("body", [{"truncated": True}, {"body": None}], ids=["truncated", "not-buffered"])
def test_a_body_that_is_not_known_cannot_be_approved(body: dict[str, Any]) -> None:
    decision = evaluate(BOUND, http(**{**BODY, **body}), USER).decision
    assert isinstance(decision, Deny)
    assert decision.reason == "not-bindable"


def test_a_scope_is_these_values_and_no_others() -> None:
    policies = asking(bind={"scope": ["request.query.amount"]})
    given = approval(demanded(policies, http("/?amount=1")).binding, vote("b1"))
    assert is_let_through(policies, given, request=http("/elsewhere?amount=1"))
    assert not is_let_through(policies, given, request=http("/?amount=2"))


AUTO: list[tuple[str, list[Document], type]] = [
    ("approves", [{"when": "true", "answer": "approve"}], Allow),
    ("approves nothing", [{"when": "false", "answer": "approve"}], Hold),
    ("denies", [{"when": "true", "answer": "deny"}], Deny),
    ("denial first", [{"when": "true", "answer": "approve"}, {"when": "true", "answer": "deny"}], Deny),
    ("errs", [{"when": "1 / 0 == 0", "answer": "approve"}], Hold),
    ("approval that errs", [{"when": "1 / 0 == 0", "answer": "approve"}, {"when": "true", "answer": "approve"}], Allow),
    ("denial that errs", [{"when": "1 / 0 == 0", "answer": "deny"}, {"when": "true", "answer": "approve"}], Hold),
]


@pytest.mark.parametrize(("name", "auto", "kind"), AUTO, ids=[name for name, *_ in AUTO])
def test_auto_answers_without_asking_anybody(name: str, auto: list[Document], kind: type) -> None:
    assert name
    assert isinstance(evaluate(asking(auto=auto), http("/"), USER).decision, kind)


def test_an_automatic_approval_is_told() -> None:
    decision = evaluate(
        asking(auto=[{"when": "true", "answer": "approve", "reason": "small"}]), http("/"), USER
    ).decision
    assert isinstance(decision, Allow)
    assert decision.auto == (AutoAnswer(rule="p/a", answer="approve", reason="small"),)


def test_an_automatic_denial_beats_what_people_have_approved() -> None:
    policies = asking(auto=[{"when": "true", "answer": "deny", "reason": "frozen"}])
    facts = Facts(grants=(approval("action:p/a", vote("b1")),))
    decision = evaluate(policies, http("/"), USER, facts=facts).decision
    assert isinstance(decision, Deny)
    assert (decision.reason, decision.rule) == ("frozen", "p/a")


def test_what_is_too_long_to_be_read_is_not_asked() -> None:
    shows = asking(show={"path": "request.path", "query": "request.raw_path"})
    assert demanded(shows, http("/" + "a" * 8_000)).show["path"] == "/" + "a" * 8_000
    decision = evaluate(shows, http("/" + "a" * 8_200), USER).decision
    assert isinstance(decision, Deny)
    assert decision.reason == "policy-error"


def test_a_workload_is_asked_for_without_a_session() -> None:
    demand = demanded(asking(), identity=caller(workload=WEB))
    assert (demand.session, demand.requesters.persons) == ("", ())


def persons(**settings: Any) -> Facts:
    return Facts(local=Local(requesters=Persons(PersonsSettings(**settings)).requesters))


def test_a_person_in_the_chain_whom_nobody_can_name_may_ask_for_nothing() -> None:
    by_mail = persons(claim="email")
    for identity in (
        caller(sub="u1"),
        caller(sub="u1", claims={"email": "u1@example.com", "email_verified": False}),
        caller(sub="u1", claims={"email": "u1@example.com"}, actor={"sub": "agent"}),
    ):
        decision = evaluate(asking(), http("/"), identity, facts=by_mail).decision
        assert isinstance(decision, Deny)
        assert decision.reason == "unmapped-requester"


def test_a_machine_in_the_chain_is_no_person() -> None:
    facts = persons(claim="email", machines=(MachinesSettings(issuer="https://idp.example", subs=("agent-*",)),))
    identity = caller(sub="u1", claims={"email": "U1@Example.com"}, actor={"sub": "agent-7"})
    decision = evaluate(asking(), http("/"), identity, facts=facts).decision
    assert isinstance(decision, Hold)
    assert decision.demands[0].requesters.persons == ("u1@example.com",)
    assert len(decision.demands[0].requesters.subjects) == 2


def test_an_actor_does_not_approve_what_is_asked_through_it() -> None:
    identity = caller(sub="u1", actor={"sub": "b1"})
    assert not is_let_through(asking(), approval("action:p/a", vote("b1")), identity=identity)


def test_the_terms_in_force_are_those_of_a_rule_that_is_obeyed() -> None:
    block = {"approvers": {"groups": ["chiefs"]}, "min": 3}
    expiring = {"expires": "2026-11-18T11:06:40Z", "expires_opens": True}
    rules = [
        rule("a", "approve", approve=block),
        rule("b", "approve", mode="shadow"),
        rule("c", "approve", **expiring),
    ]
    policies = compiled(document("p", ALL, *rules))
    terms = terms_of(policies, "p/a", now=NOW)
    assert terms is not None
    assert terms.min == 3
    assert [terms_of(policies, f"p/{name}", now=NOW) for name in ("b", "c", "all", "gone")] == [None] * 4


def test_bindings_of_a_key_that_is_still_good_count() -> None:
    policies = asking(bind="request")
    request = http(**BODY)
    given = approval(demanded(policies, request).binding, vote("b1"))
    decision = evaluate(policies, request, USER, facts=Facts(grants=(given,)), keys=(KEY, b"a newer key")).decision
    assert isinstance(decision, Allow)


@pytest.mark.parametrize(
    ("hold", "expires_in", "said"),
    [
        ("5m", "5m", None),
        ("5m1s", "15m", "no call is held for longer than `5m`"),
        ("2m", "1m", "a call would wait for longer than the approval can be given"),
    ],
)
def test_a_call_is_held_for_five_minutes_and_no_longer_than_anybody_can_answer(
    hold: str, expires_in: str, said: str | None
) -> None:
    if said is None:
        assert demanded(asking(hold=hold, expires_in=expires_in)).hold == 300.0
        return
    with pytest.raises(PolicyErrors, match=said):
        asking(hold=hold, expires_in=expires_in)
