"""What a record has of a Check: each field its own."""

import pytest
from changing import replace

from extauthz.check.case import Asked, Case, Ruled
from extauthz.check.recording import reasoning_of, record_of
from extauthz.policy.asking import Inquiry
from extauthz.policy.load import load_text
from extauthz.record.brief import NOTHING, Brief, Decided, in_full
from extauthz.record.decision import DecisionRecord, Wait
from extauthz.values.assessment import Assessment
from extauthz.values.decisions import Allow, Evaluation, RuleResult
from extauthz.values.facts import Question
from extauthz.values.grants import Facts, SessionAges
from extauthz.values.identity import Identity
from extauthz.values.request import Glimpse, Peer, RequestView
from extauthz.values.schemes import NO_SCHEMES
from extauthz.values.span_ids import SpanIds
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode
from extauthz.wire.reading import Reading

POLICIES = load_text("""
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: a, effect: allow, paths: ["/**"]}
""")
PAYLOAD = check_request(id="7", method="GET", host="a.example", path="/x", source_ip="10.0.0.1")
QUESTION = Question("seen", ("a",))
EVALUATION = Evaluation(
    decision=Allow(rule="p/a"),
    rules=(RuleResult(rule="p/a", effect="allow", mode="enforce", result="match"),),
    risk=(Assessment(model="m", score=1.0, level="low", signals=(), heard=()),),
    views={"place": 1},
)


def asked_with(payload: bytes) -> Asked:
    return Asked(
        decision_id="d-1",
        started_ns=17,
        payload=payload,
        remaining=lambda: None,
        trace=(("traceparent", "t"),),
        waits=(Wait("store", 1, 2),),
        span=SpanIds(5, 6, sampled=True),
    )


def case_of(asked: Asked, request: RequestView | None) -> Case:
    return Case(
        asked=asked,
        ruled=Ruled(POLICIES, NO_SCHEMES),
        request=request,
        identity=Identity(session="i"),
        facts=Facts(session=SessionAges(age=1.0, idle=2.0), answers={QUESTION: 4}),
        inquiry=Inquiry(meanings={"seen(a)": QUESTION}),
        waits=(Wait("attributes", 3, 4),),
    )


ASKED = asked_with(PAYLOAD)
CASE = case_of(ASKED, RequestView(sni="s"))
GIVEN = SpanIds(7, 8, sampled=False)
RECORD = DecisionRecord(
    decision_id="d-1",
    revision=POLICIES.revision,
    decision=EVALUATION.decision,
    rules=EVALUATION.rules,
    request=CASE.request,
    glimpse=None,
    identity=CASE.identity,
    session=CASE.facts.session,
    risk=EVALUATION.risk,
    views=EVALUATION.views,
    asked={"seen(a)": QUESTION},
    answers={QUESTION: 4},
    detail="in detail",
    trace=ASKED.trace,
    span=GIVEN,
    waits=CASE.waits,
    challenge="c-1",
    size=len(PAYLOAD),
    started_ns=17,
    ended_ns=19,
)


def recorded(case: Case) -> Decided:
    reasoning = reasoning_of(case.policies, EVALUATION, case.facts, case.inquiry)
    return record_of(case, reasoning, "in detail", GIVEN, "c-1", 19)


def test_each_field_has_what_belongs_there() -> None:
    record = recorded(CASE)
    assert record == RECORD
    values = [getattr(record, name) for name in record.__struct_fields__]
    assert [value for value in values if value is not None and not value] == [], "none says less than it could"
    assert len({repr(value) for value in values}) == len(values), "none could be another"


def test_of_what_could_not_be_read_there_is_what_was_seen() -> None:
    unread = case_of(ASKED, request=None)
    glimpse = Glimpse(id="7", method="GET", host="a.example", path="/x", source_ip="10.0.0.1")
    assert recorded(unread) == replace(RECORD, request=None, glimpse=glimpse, size=0)
    assert recorded(case_of(asked_with(b""), request=None)) == replace(RECORD, request=None, size=0)


def test_what_was_waited_for_before_a_call_was_held_is_there_where_nothing_was_since() -> None:
    assert recorded(CASE.but(waits=())) == replace(RECORD, waits=ASKED.waits)


HEADERS = {"user-agent": "curl/8", "x-request-id": "r-1"}
SENT = check_request(
    id="7",
    method="POST",
    host="a.example:8443",
    path="/%78/a?b=c",
    headers=HEADERS,
    source_ip="10.0.0.1",
    source_port=99,
    destination=Peer(ip="10.0.0.2", port=443),
    sni="a.example",
    metadata={"filter": {"a": 1}},
    route_metadata={"filter": {"b": "2"}},
    body=b"{}",
    context={"route": "r"},
    time=(17, 19),
)


@pytest.mark.parametrize("payload", [PAYLOAD, SENT])
@pytest.mark.parametrize("reading", [Reading(), Reading(buffered=True)])
def test_a_brief_says_all_that_the_record_of_a_request_says_but_for_the_segments(
    payload: bytes, reading: Reading
) -> None:
    view = decode(payload, reading)
    brief = recorded(case_of(asked_with(payload), view))
    assert isinstance(brief, Brief)
    assert view.http is not None
    told = replace(view, http=replace(view.http, segments=()), messages=None)
    assert in_full(brief) == replace(RECORD, request=told, size=len(payload))


def test_what_few_records_have_is_there_where_there_is_any_of_it() -> None:
    usual = Asked(decision_id="d-1", started_ns=17, payload=PAYLOAD, remaining=lambda: None, trace=())
    case = case_of(usual, decode(PAYLOAD)).but(waits=())
    reasoning = reasoning_of(case.policies, EVALUATION, case.facts, case.inquiry)
    plain = record_of(case, reasoning, None, None, "", 19)
    assert isinstance(plain, Brief)
    assert plain.beside is NOTHING
    others = {"detail": "in detail", "span": GIVEN, "challenge": "c-1"}
    for name, value in others.items():
        given = {"detail": None, "span": None, "challenge": "", name: value}
        one = record_of(case, reasoning, given["detail"], given["span"], given["challenge"], 19)  # type: ignore[arg-type]
        assert in_full(one) == replace(in_full(plain), **{name: value})
    waited = record_of(case.but(waits=(Wait("store", 1, 2),)), reasoning, None, None, "", 19)
    assert in_full(waited) == replace(in_full(plain), waits=(Wait("store", 1, 2),))
    traced = case_of(Asked("d-1", 17, PAYLOAD, lambda: None, (("b3", "t"),)), decode(PAYLOAD)).but(waits=())
    assert in_full(record_of(traced, reasoning, None, None, "", 19)) == replace(in_full(plain), trace=(("b3", "t"),))
