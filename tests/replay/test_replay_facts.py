"""Replays of decisions on facts and on the risk: what was recorded decides again, and nothing is guessed."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy.making import NOW, Document, caller, compiled, document, evaluate, http, risk_model, rule, signal
from replay.recording import recorded

from extauthz.history.deciding import Redecider, Undecidable
from extauthz.history.recorded import Recorded
from extauthz.history.replay import Replay, unchanged_rules
from extauthz.policy.asking import ask
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.yaml_source import load_documents
from extauthz.record.audit_line import DecisionLine, IdentityLine
from extauthz.values.decisions import Evaluation
from extauthz.values.facts import LastPlace, Local, Question
from extauthz.values.grants import Facts
from extauthz.values.request import RequestView

lawful = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
USER = caller(sub="u1", claims={"tenant": "t1"})
REVISION = "sha256:then"

CONDITIONS = (
    "true",
    "user.claims.tenant == 't1'",
    "request.query.amount == '5'",
    "rate(user.sub, duration('1m')) > 3",
    "rate(user.claims.tenant, duration('1m')) > 3",
    "seen(client.ip)",
    "!seen(variables.who)",
    "geo.country == 'SE'",
    "has(geo.city)",
    "travel.speed_kmh > 900.0",
    "has(travel.since)",
    "device.known",
    "!has(device.age) || device.age > duration('1h')",
    "device.id == 'd1'",
    "reported.risk_level == 'HIGH' && reported.risk_at < now",
    "attributes.mdm.compliant == true",
    "has(attributes.mdm.compliant) || true",
)
READING = ("risk.score > 12.0", "risk.level == 'medium'", "'a' in risk.signals", "risk.score < 40.0")


@st.composite
def models(draw: st.DrawFn) -> Document:
    signals = {}
    for name in draw(st.sets(st.sampled_from("abcd"), min_size=1)):
        fields: dict[str, Any] = draw(st.sampled_from(({}, {}, {"half_life": "1h"})))
        signals[name] = signal(draw(st.sampled_from(CONDITIONS)), draw(st.sampled_from((5, 10, 20))), **fields)
    return risk_model(signals=signals, variables={"who": "user.sub"})


@st.composite
def policies(draw: st.DrawFn) -> list[Document]:
    conditions = st.sampled_from((*CONDITIONS, *READING, *READING))
    rules = [
        rule(name, draw(st.sampled_from(("allow", "allow", "deny"))), when=draw(conditions))
        for name in draw(st.sets(st.sampled_from("rst"), min_size=1))
    ]
    return [draw(models()), document("p", *rules, variables={"who": "user.sub"})]


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Facts, dict[str, Any]]:
    """What is known without a look-up, and what look-ups would say by the kind of the question."""
    geo = draw(st.sampled_from(({}, {"country": "SE", "latitude": 59.0, "longitude": 18.0}, {"country": "NO"}, None)))
    device = draw(st.sampled_from(({}, {"id": "d1", "known": True, "age": 4000.5}, {"id": "d2", "known": False})))
    reported: dict[str, Any] = draw(
        st.sampled_from(({}, {"risk_level": "HIGH", "risk_at": NOW - 0.25}, {"risk_level": "LOW"}))
    )
    sources: dict[str, Any] = draw(st.sampled_from(({}, {"mdm": {"compliant": True}}, {"mdm": {}})))
    local = Local(geo=lambda _: geo)
    answers = {
        "rate": draw(st.sampled_from((1, 4))),
        "seen": draw(st.booleans()),
        "place": draw(optional(st.just(LastPlace(latitude=-33.0, longitude=151.0, at=NOW - 3600.0)))),
        "raised": draw(st.sampled_from(({}, {"a": NOW - 60.0, "b": NOW - 7200.0}))),
    }
    return Facts(device=device, reported=reported, attributes=sources, local=local), answers


def decided(
    found: PolicySet, request: RequestView, world: tuple[Facts, dict[str, Any]]
) -> tuple[Evaluation, DecisionLine]:
    """The decision in this world, and its record."""
    local, said = world
    inquiry = ask(found.candidates(request, USER), request=request, identity=USER, facts=local, now=NOW)
    answers = {question: said[question.kind] for question in inquiry.questions}
    facts = Facts(
        device=local.device,
        reported=local.reported,
        attributes=local.attributes,
        local=local.local,
        answers=answers,
    )
    evaluation = evaluate(found, request, USER, facts=facts)
    return evaluation, recorded(evaluation, request, USER, REVISION, inquiry=inquiry, facts=facts)


def written(documents: list[Document]) -> Any:
    return load_documents("\n---\n".join(map(json.dumps, documents)), "p.yaml")


requests = st.sampled_from((http("/"), http("/?amount=5"), http("/?amount=50")))


@lawful
@given(before=policies(), after=policies(), request=requests, world=worlds(), compared=st.booleans())
def test_what_is_decided_again_on_facts_is_what_they_would_have_led_to(
    before: list[Document],
    after: list[Document],
    request: RequestView,
    world: tuple[Facts, dict[str, Any]],
    compared: bool,
) -> None:
    truth, _ = decided(compiled(*after), request, world)
    _, line = decided(compiled(*before), request, world)
    unchanged = {REVISION: unchanged_rules(written(before), written(after))} if compared else {}
    outcome = Redecider(compiled(*after), unchanged=unchanged).decide(Recorded(line))
    if not isinstance(outcome, Undecidable):
        assert type(outcome.decision) is type(truth.decision)


@lawful
@given(before=policies(), request=requests, world=worlds())
def test_unchanged_policies_decide_as_they_did(
    before: list[Document], request: RequestView, world: tuple[Facts, dict[str, Any]]
) -> None:
    truth, line = decided(compiled(*before), request, world)
    unchanged = {REVISION: unchanged_rules(written(before), written(before))}
    outcome = Redecider(compiled(*before), unchanged=unchanged).decide(Recorded(line))
    if isinstance(outcome, Undecidable):  # a guard that errs may have erred in what it does, not in its condition
        assert truth.decision.reason == "policy-error"
    else:
        assert type(outcome.decision) is type(truth.decision)


WORLD: tuple[Facts, dict[str, Any]] = (
    Facts(device={"id": "d1", "known": False, "age": 30.0}, local=Local(geo=lambda _: {"country": "SE"})),
    {"rate": 7, "seen": False, "place": None, "raised": {}},
)
MODEL = risk_model(
    signals={
        "often": signal("rate(user.sub, duration('1m')) > 5", 20),
        "hidden": signal("rate(user.claims.tenant, duration('1m')) > 5", 20),
        "lingers": signal("request.path == '/x'", 20, half_life="1h"),
    }
)


@pytest.mark.parametrize(
    "when",
    [
        "rate(user.sub, duration('1m')) > 6",
        "geo.country == 'SE' && !has(geo.city)",
        "!device.known && device.age < duration('31s')",
        "!has(travel.speed_kmh)",
    ],
)
def test_what_a_rule_has_read_decides_another_one(when: str) -> None:
    documents = document("p", rule("a", "deny", when=f"({when}) == (request.path == '')"))
    _, line = decided(compiled(documents), http(), WORLD)
    outcome = Redecider(compiled(document("p", rule("b", "allow", when=when)))).decide(Recorded(line))
    assert isinstance(outcome, Evaluation)
    assert outcome.rules[0].result == "match"


@pytest.mark.parametrize(
    "when", ["seen(user.sub)", "geo.country == 'SE'", "has(device.known)", "attributes.mdm.x == 1"]
)
def test_what_no_rule_has_read_is_undecidable(when: str) -> None:
    _, line = decided(compiled(document("p", rule("a", "allow"))), http(), WORLD)
    outcome = Redecider(compiled(document("p", rule("b", "allow", when=when)))).decide(Recorded(line))
    assert isinstance(outcome, Undecidable)


@pytest.mark.parametrize(("weight", "decision"), [(21, "Allow"), (40, "Deny")])
def test_new_weights_are_tried_on_the_signals_that_were_recorded(weight: int, decision: str) -> None:
    policy = document("p", rule("a", "allow", when="risk.score < 50.0"))
    changed = json.loads(json.dumps(MODEL))
    changed["spec"]["signals"]["often"]["weight"] = weight
    _, line = decided(compiled(MODEL, policy), http(), WORLD)
    assert line.risk[0].score == 40.0
    unchanged = {REVISION: unchanged_rules(written([MODEL, policy]), written([changed, policy]))}
    assert unchanged[REVISION] == {"risk:default/often", "risk:default/hidden", "risk:default/lingers"}
    outcome = Redecider(compiled(changed, policy), unchanged=unchanged).decide(Recorded(line))
    assert isinstance(outcome, Evaluation)
    assert type(outcome.decision).__name__ == decision
    without = Redecider(compiled(changed, policy)).decide(Recorded(line))
    assert isinstance(without, Undecidable)


def test_the_record_tells_every_signal_and_nothing_of_its_arguments() -> None:
    policy = document("p", rule("a", "allow", when="risk.score < 50.0 && geo.country == 'SE' && !device.known"))
    _, line = decided(compiled(MODEL, policy), http(), WORLD)
    (risk,) = line.risk
    assert {one.name: (one.state, one.counted, one.weight, one.reason) for one in risk.signals} == {
        "often": ("raised", 20.0, 20.0, "it is said so"),
        "hidden": ("raised", 20.0, 20.0, "it is said so"),
        "lingers": ("quiet", 0.0, 20.0, "it is said so"),
    }
    assert line.facts is not None
    assert line.facts.geo == {"country": "SE"}
    assert line.facts.device is not None
    assert line.facts.device.id not in (None, "d1")
    assert line.facts.rates == {
        "risk:default: rate(user.sub, duration('1m'))": 7,
        "risk:default: rate(user.claims.tenant, duration('1m'))": 7,
    }
    assert "t1" not in str(line.facts)


def test_a_question_without_an_answer_is_not_told() -> None:
    found = compiled(document("p", rule("a", "allow", when="seen('k') || true")))
    inquiry = ask(found.candidates(http(), USER), request=http(), identity=USER, facts=Facts(), now=NOW)
    assert inquiry.questions == (Question("seen", ("k",)),)
    line = recorded(evaluate(found, http(), USER), http(), USER, inquiry=inquiry)
    assert line.facts is None


PROMPTING = (
    risk_model(
        signals={
            "new": signal("!has(device.known)", 20),
            "often": signal("rate(user.sub, duration('1m')) > 5", 30),
        }
    ),
    document(
        "p",
        rule("all", "allow"),
        rule("odd", "challenge", when="risk.level != 'low'", challenge={"factors": ["totp"], "max_age": "5m"}),
        rule("always", "challenge", paths=["/other"], challenge={"factors": ["totp"]}),
    ),
)


def traffic(found: PolicySet, revision: str) -> list[DecisionLine]:
    """Two people, one of whom comes three times, with a new device, and once often."""
    lines = []
    for second, (sub, path, count) in enumerate(
        [("u1", "/", 9), ("u1", "/", 9), ("u1", "/other", 9), ("u2", "/", 1), ("u2", "/other", 1), ("u3", "/", 7)]
    ):
        request, identity = http(path), caller(sub=sub)
        candidates = found.candidates(request, identity)
        inquiry = ask(candidates, request=request, identity=identity, facts=Facts(), now=NOW)
        facts = Facts(answers=dict.fromkeys(inquiry.questions, count))
        evaluation = evaluate(found, request, identity, facts=facts)
        line = recorded(evaluation, request, identity, revision, inquiry=inquiry, facts=facts)
        line = msgspec.structs.replace(line, time=line.time.replace(":40.", f":4{second}."))
        line = msgspec.structs.replace(line, identity=session_of(line, sub))
        lines.append(line)
    return lines


def session_of(line: DecisionLine, sub: str) -> IdentityLine:
    """Each has a session of their own."""
    assert line.identity is not None
    return msgspec.structs.replace(line.identity, session=f"session of {sub}")


@pytest.mark.parametrize("same", [True, False])
def test_a_replay_tells_how_many_people_are_asked_how_often_and_for_which_signal(same: bool) -> None:
    found = compiled(*PROMPTING)
    again = found if same else compiled(*PROMPTING, document("q", rule("more", "allow")))
    replay = Replay(again)
    for line in traffic(found, found.revision):
        assert line.decision in ("allow", "challenge")
        replay.take(line)
    tally = replay.tally
    assert tally.undecidable == 0
    assert tally.prompts == {"p/odd": 2, "p/always": 2}
    assert tally.prompted == {f"u{n} at https://idp.example": times for n, times in ((1, 2), (2, 1), (3, 1))}
    assert tally.signals == {
        name: {"u1 at https://idp.example": 1, "u3 at https://idp.example": 1}
        for name in ("default/new", "default/often")
    }
