"""What has been answered before is answered, recorded and counted again as if it never had been."""

import gc
import sys
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from itertools import permutations, product
from typing import Any
from weakref import ref

import pytest
from checking import POLICY as PAYMENTS
from checking import Bench

from extauthz.check.answering import Answering
from extauthz.check.case import Asked, Case, Ruled
from extauthz.policy.asking import NOTHING_ASKED, Inquiry
from extauthz.policy.load import load_text
from extauthz.record.brief import Decided, in_full
from extauthz.record.decision import DecisionRecord, Wait
from extauthz.record.keeping import Record, Recorder
from extauthz.record.life import LifeRecord
from extauthz.record.tallies import Tallies
from extauthz.record.trace_context import Propagation
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys
from extauthz.values.assessment import Assessment
from extauthz.values.decisions import Allow, Evaluation, Mutations, RuleResult, denial
from extauthz.values.facts import Local, Question
from extauthz.values.grants import NO_FACTS, Facts, SessionAges
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView
from extauthz.values.schemes import NO_SCHEMES
from extauthz.values.span_ids import SpanIds
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: a, effect: allow, paths: ["/**"], allow: {headers: {x-user: "'alice'"}}}
"""
POLICIES = [
    load_text(POLICY),
    load_text(POLICY.replace("name: p", "name: q")),
    load_text(POLICY.replace("x-user", "x-team")),
]
KEYS = parse_keys(generate_key(bytes(SECRET_BYTES), created=0))
STARTED = 1_790_000_000_000_000_000
MATCH = RuleResult(rule="p/a", effect="allow", mode="enforce", result="match")
SHADOW = RuleResult(rule="p/s", effect="deny", mode="shadow", result="match")
ALLOW = Allow(rule="p/a", mutations=Mutations(headers={"x-user": "alice"}))
QUESTION = Question("seen", ("a",))
STEADY = Evaluation(decision=ALLOW, rules=(MATCH,))
OF_A_REQUEST = [
    Evaluation(
        decision=ALLOW, rules=(RuleResult(rule="p/e", effect="allow", mode="enforce", result="error", error="x"),)
    ),
    Evaluation(decision=ALLOW, views={"place": 1}),
    Evaluation(decision=ALLOW, risk=(Assessment(model="m", score=1.0, level="low", signals=(), heard=()),)),
]
EVALUATIONS = [
    STEADY,
    Evaluation(decision=ALLOW, rules=(MATCH, SHADOW)),
    Evaluation(decision=Allow(rule="p/a"), rules=(MATCH,)),
    Evaluation(decision=Allow(rule="p/a", mutations=Mutations(response_headers={"x-a": "b"}))),
    Evaluation(decision=denial("no-rule-allows")),
    *OF_A_REQUEST,
]
LOOKED_UP = [Facts(session=SessionAges(age=1.0, idle=2.0)), Facts(answers={QUESTION: 4}), Facts(geo={"country": "NL"})]
FACTS = [NO_FACTS, Facts(), *LOOKED_UP]
REQUESTS = [
    decode(check_request(method="GET", host="a.example", path=path, headers=headers))
    for path, headers in (("/", {}), ("/b", {"accept": "*/*"}), ("/", {"x_user": "mallory"}))
]
INQUIRIES = [NOTHING_ASKED, Inquiry(meanings={"seen(a)": QUESTION})]


class Latest(Recorder):
    """Keeps the last record."""

    def __init__(self) -> None:
        self.record_: DecisionRecord | None = None
        self.is_blocked = False

    @property
    def blocked(self) -> bool:
        return self.is_blocked

    def record(self, record: Record) -> None:
        assert not isinstance(record, LifeRecord)
        self.record_ = in_full(record)

    def commit(self, record: Decided) -> Future[None]:
        raise NotImplementedError


def answering(tallies: Tallies, recorder: Latest) -> Answering:
    return Answering(
        keys=KEYS, tallies=tallies, recorder=recorder, spans=None, clock=lambda: STARTED + 60_000, entropy=bytes
    )


def case(
    number: int = 1,
    *,
    policies: int = 0,
    request: RequestView | None = REQUESTS[0],
    facts: Facts = NO_FACTS,
    inquiry: Inquiry = NOTHING_ASKED,
    identity: str = "i",
    **asked: Any,
) -> Case:
    of_call = Asked(f"d-{number:x}", STARTED, b"payload"[:number], lambda: None, **{"trace": (), **asked})
    identified = Identity(session=identity)
    return Case(of_call, Ruled(POLICIES[policies], NO_SCHEMES), request, identified, facts, inquiry)


CASES = [
    case(),
    case(2),
    case(16),
    case(policies=1),
    case(policies=2),
    case(request=REQUESTS[1]),
    case(request=REQUESTS[2]),
    *(case(facts=facts) for facts in FACTS),
    case(inquiry=INQUIRIES[1]),
    case(identity="j"),
    case(trace=(("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),)),
    case(waits=(Wait("store", 1, 2),)),
    case(span=SpanIds(5, 6, sampled=True)),
]


@pytest.mark.parametrize("evaluation", EVALUATIONS)
def test_whatever_was_answered_before_each_is_answered_recorded_and_counted_as_it_would_be_without(
    evaluation: Evaluation,
) -> None:
    tallies, plain_tallies = Tallies(Propagation().parent), Tallies(Propagation().parent)
    recorder, plain_recorder = Latest(), Latest()
    one = answering(tallies, recorder)
    for asked, detail in product(permutations(CASES, 2), [None, "in detail"]):
        for each in asked:
            plainly = answering(plain_tallies, plain_recorder).answer(each, evaluation, detail=detail)
            assert one.answer(each, evaluation, detail=detail) == plainly
            assert recorder.record_ == plain_recorder.record_
    assert tallies.tallied == plain_tallies.tallied


def kept_by(evaluation: Evaluation, asked: Case) -> int:
    """How many hold the evaluation, once it was answered, more than before."""
    answers = answering(Tallies(Propagation().parent), Latest())
    before = sys.getrefcount(evaluation)
    for _ in range(2):
        answers.answer(asked, evaluation)
    recorder = answers._recorder
    assert isinstance(recorder, Latest)
    recorder.record_ = None
    return sys.getrefcount(evaluation) - before


def test_of_what_a_request_said_and_of_what_was_looked_up_for_it_nothing_is_kept() -> None:
    assert kept_by(STEADY, case()) == 1
    assert [kept_by(one, case()) for one in OF_A_REQUEST] == [0, 0, 0]
    assert [kept_by(STEADY, case(facts=facts)) for facts in LOOKED_UP] == [0, 0, 0]
    assert kept_by(STEADY, case(inquiry=INQUIRIES[1])) == 0
    granted = Evaluation(decision=Allow(rule="p/a", grants=(object(),)))  # type: ignore[arg-type]  # any
    assert kept_by(granted, case()) == 0


def test_what_was_allowed_before_is_denied_while_nothing_can_be_recorded() -> None:
    recorder = Latest()
    one = answering(Tallies(Propagation().parent), recorder)
    allowed = [one.answer(case(), STEADY) for _ in range(2)]
    recorder.is_blocked = True
    assert b"audit-unavailable" in one.answer(case(), STEADY)
    recorder.is_blocked = False
    assert [one.answer(case(), STEADY)] == allowed[:1] == allowed[1:]


def test_what_was_replaced_is_not_held_by_what_was_answered(bench: Bench) -> None:
    def replaced() -> list[ref[Any]]:
        policies, addresses = load_text(PAYMENTS), partial(str.isdigit)
        facts = Facts(local=Local(addresses={"a": addresses}))
        bench.checker.swap(replace(bench.checker.ruling, policies=policies, facts=facts))
        for _ in range(3):
            assert bench.decision(bench.request("/health"))[0] == "allow"
        return [ref(addresses), *(ref(rule.when.evaluate) for rule in policies.rules if rule.when is not None)]

    before, now = replaced(), replaced()
    bench.records.kept.clear()
    gc.collect()
    assert {one() for one in before} == {None}
    assert None not in {one() for one in now}
