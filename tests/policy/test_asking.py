"""What rules ask before the look-up: every question of a candidate, once, whatever its condition comes to."""

from types import SimpleNamespace

import pytest
from policy.making import (
    NOW,
    Document,
    caller,
    compiled,
    definitions,
    document,
    evaluate,
    http,
    risk_model,
    rule,
    signal,
)

from extauthz.policy.asking import Inquiry, ask
from extauthz.policy.decide import needs
from extauthz.policy.functions import LONGEST_KEY
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.problems import PolicyErrors
from extauthz.values.decisions import Allow, Deny
from extauthz.values.facts import LastPlace, Local, Question
from extauthz.values.grants import Facts, Needs
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

USER = caller(sub="u1")
MINUTE = 'rate(user.sub, duration("1m"))'
OF_USER = Question("rate", ("u1", 60.0))


def asked(
    policies: PolicySet,
    request: RequestView | None = None,
    identity: Identity = USER,
    facts: Facts | None = None,
) -> Inquiry:
    request = request if request is not None else http()
    candidates = policies.candidates(request, identity)
    whole = ask(candidates, request=request, identity=identity, facts=facts or Facts(), now=NOW)
    return Inquiry(whole.questions, whole.numbers)


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({}, {"when": f"{MINUTE} > 3"}),
        ({}, {"when": f"request.path == '/never' && {MINUTE} > 3"}),
        ({}, {"when": f"{MINUTE} > 3 || {MINUTE} > 5"}),
        ({"variables": {"often": f"{MINUTE} > 3"}}, {"when": "variables.often"}),
        ({"variables": {"who": "user.sub", "n": 'rate(variables.who, duration("60s"))'}}, {"when": "variables.n > 3"}),
        ({}, {"effect": "allow", "allow": {"headers": {"x-rate": f"string({MINUTE})"}}}),
        ({}, {"when": f"{MINUTE} > 3", "mode": "shadow"}),
    ],
)  # fmt: skip
def test_a_question_is_asked_once_wherever_it_stands_and_whatever_is_decided(spec: Document, fields: Document) -> None:
    one = rule("a", fields.pop("effect", "deny"), **fields)
    policies = compiled(document("p", one, rule("b", "deny", when=f"{MINUTE} > 9"), **spec))
    assert asked(policies) == Inquiry((OF_USER,))


def test_who_asks_is_told_apart_by_rules_that_are_obeyed() -> None:
    policies = compiled(
        document("p", rule("a", "deny", when=f"{MINUTE} > 3"), rule("b", "deny", when="seen('x')", mode="shadow"))
    )
    wanted = needs(policies.candidates(http(), USER))
    assert wanted == Needs(obeyed=frozenset({"rate"}), shadow=frozenset({"seen"}))
    assert wanted.beyond_session


def test_a_risk_model_asks_for_the_rules_that_read_it_alone() -> None:
    model = risk_model(
        signals={"often": signal(f"{MINUTE} > 3"), "far": signal("travel.speed_kmh > 900.0", half_life="1h")}
    )
    policies = compiled(
        model, document("p", rule("a", "allow", when="risk.score < 5.0", paths=["/risky"]), rule("b", "allow"))
    )
    assert asked(policies) == Inquiry()
    assert set(asked(policies, http("/risky")).questions) == {
        OF_USER,
        Question("place"),
        Question("raised", ("default",)),
    }
    assert needs(policies.candidates(http("/risky"), USER)).obeyed == {"rate", "place", "raised"}


def test_arguments_read_the_request_its_caller_context_and_what_is_known_here() -> None:
    key = "user.sub + request.params.id + context.tenant + geo.country + client.ip"
    policies = compiled(document("p", rule("a", "deny", paths=["/{id}"], when=f"seen({key})")))
    facts = Facts(local=Local(geo=lambda address: {"country": "SE"} if address == "192.0.2.7" else {}))
    inquiry = asked(policies, http("/7", context={"tenant": "t"}), facts=facts)
    assert inquiry.questions == (Question("seen", ("u17tSE192.0.2.7",)),)


def test_what_can_t_be_asked_is_left_out_and_errs_in_its_condition() -> None:
    policies = compiled(document("p", rule("a", "allow"), rule("g", "deny", when=f"{MINUTE} > 3")))
    nobody = Identity()
    assert asked(policies, identity=nobody) == Inquiry()
    assert evaluate(policies, identity=nobody).decision == Deny(reason="policy-error", rule="p/g")


@pytest.mark.parametrize(
    ("key", "window"),
    [(f"'{'x' * (LONGEST_KEY + 1)}'", "1m"), ("'k'", "999ms"), ("'k'", "745h"), ("'k'", "-60s")],
)
def test_keys_and_windows_are_bounded(key: str, window: str) -> None:
    policies = compiled(document("p", rule("a", "allow", when=f'rate({key}, duration("{window}")) > 0')))
    assert asked(policies) == Inquiry()
    (result,) = evaluate(policies).rules
    assert result.result == "error"


def test_the_number_of_a_baseline_is_that_of_its_variable() -> None:
    policies = compiled(
        document(
            "p",
            rule("a", "deny", when='variables.amount > 3.0 * baseline("amount", user.sub).p95'),
            variables={"amount": "double(request.query.amount)"},
        )
    )
    question = Question("baseline", ("p/amount", "u1"))
    assert asked(policies, http("/?amount=12.5")) == Inquiry((question,), {question: 12.5})
    assert asked(policies, http("/?amount=much")) == Inquiry((question,))
    usual = SimpleNamespace(count=40, p50=1.0, p90=2.0, p95=4.0, p99=9.0)
    for amount, result in (("12.5", "match"), ("11", "no-match")):
        evaluation = evaluate(policies, http(f"/?amount={amount}"), USER, facts=Facts(answers={question: usual}))
        assert evaluation.rules[0].result == result


def test_without_any_number_nothing_is_usual() -> None:
    policies = compiled(
        document(
            "p",
            rule("a", "allow", when='baseline("n", "k").count == 0 && !has(baseline("n", "k").p95)'),
            variables={"n": "1"},
        )
    )
    nothing = SimpleNamespace(count=0, p50=None, p90=None, p95=None, p99=None)
    facts = Facts(answers={Question("baseline", ("p/n", "k")): nothing})
    assert isinstance(evaluate(policies, facts=facts).decision, Allow)


@pytest.mark.parametrize(
    "when",
    [
        f"{MINUTE} > 0",
        "seen('k')",
        "has(travel.speed_kmh)",
        "travel.?speed_kmh.orValue(0.0) < 900.0",
        "has(attributes.mdm.compliant)",
        "has(attributes.mdm)",
        "attributes[?'mdm'].hasValue()",
        "attributes.?mdm.hasValue() || true == attributes.mdm.x",
    ],
)
def test_what_was_not_fetched_is_an_error_also_to_who_asks_whether_it_is_there(when: str) -> None:
    policies = compiled(document("p", rule("a", "allow", when=f"({when}) == ({when})")))
    (result,) = evaluate(policies, identity=USER).rules
    assert result.result == "error"
    assert "could not be looked up" in (result.error or "")


def test_travel_is_from_the_last_place_to_where_the_request_comes_from() -> None:
    policies = compiled(
        document(
            "p",
            rule("a", "allow", when="travel.distance_km > 410.0 && travel.distance_km < 420.0"),
            rule("b", "deny", when="travel.speed_kmh > 500.0 || travel.since != duration('1h')"),
        )
    )
    stockholm, oslo = {"latitude": 59.33, "longitude": 18.07}, {"latitude": 59.91, "longitude": 10.75}
    last = LastPlace(latitude=oslo["latitude"], longitude=oslo["longitude"], at=NOW - 3600)
    facts = Facts(local=Local(geo=lambda _: stockholm), answers={Question("place"): last})
    assert asked(policies) == Inquiry((Question("place"),))
    results = {one.rule: one.result for one in evaluate(policies, identity=USER, facts=facts).rules}
    assert results == {"p/a": "match", "p/b": "no-match"}
    nowhere = Facts(local=facts.local, answers={Question("place"): None})
    assert {one.error for one in evaluate(policies, identity=USER, facts=nowhere).rules} == {
        "1:1: no such field: `distance_km` is not set",
        "1:1: no such field: `speed_kmh` is not set",
    }


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("seen(string(session.idle))", "what `seen` asks must be known before: its arguments can't read `session`"),
        ("seen(risk.level)", "what `seen` asks must be known before: its arguments can't read `risk`"),
        ("seen(attributes.mdm.id)", "what `seen` asks must be known before: its arguments can't read `attributes`"),
        (f"seen(string({MINUTE}))", "what `seen` asks must be known before: its arguments can't read `rate`"),
        ("seen(variables.late)", "what `seen` asks must be known before: its arguments can't read `variables.late`"),
        ("['a'].exists(x, seen(x))", "what `seen` asks must be known before: it can't use `x` of a macro"),
        ("attributes.exists(x, x == 'a')", "an attribute source is read without its name"),
        (
            "baseline('other', user.sub).p95 > 1.0",
            "the first argument of `baseline` is not the name of a variable of this document that is a number",
        ),
        (
            "baseline(user.sub, user.sub).p95 > 1.0",
            "the first argument of `baseline` is not the name of a variable of this document that is a number",
        ),
    ],
)
def test_what_can_t_be_known_before_is_refused_at_load(when: str, told: str) -> None:
    late = document("p", rule("a", "deny", when=when), variables={"late": "string(session.idle)"})
    with pytest.raises(PolicyErrors) as caught:
        compiled(risk_model(signals={"s": signal("true")}), late)
    assert [problem.message for problem in caught.value.problems] == [told]


def test_a_macro_within_the_arguments_is_fine() -> None:
    policies = compiled(document("p", rule("a", "deny", when="seen(['b', 'a'].map(x, x + '!').join(','))")))
    assert asked(policies) == Inquiry((Question("seen", ("b!,a!",)),))


def test_a_record_knows_a_question_by_what_its_expression_means_where_that_is_one_thing() -> None:
    calls = ["seen(user.sub)", "seen(variables.who)", "seen(request.params.id)", "seen(definitions.one)"]
    constant = definitions("d", constants={"one": "1"})
    rules = [rule(f"r{number}", "deny", paths=["/{id}"], when=call) for number, call in enumerate(calls)]
    policies = compiled(constant, document("p", *rules, variables={"who": "client.ip"}))
    candidates = policies.candidates(http("/7"), USER)
    inquiry = ask(candidates, request=http("/7"), identity=USER, facts=Facts(), now=NOW)
    assert len(inquiry.questions) == 4
    assert inquiry.meanings == {
        "p: seen(user.sub)": Question("seen", ("u1",)),
        "p: seen(variables.who); variables.who = client.ip": Question("seen", ("192.0.2.7",)),
    }
