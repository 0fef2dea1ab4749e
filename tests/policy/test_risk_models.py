"""`kind: RiskModel`: what `risk` comes to, when it is evaluated, and what is wrong with a model."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy.making import NOW, Document, caller, compiled, document, evaluate, http, risk_model, rule, signal

from extauthz.policy.load import load_text
from extauthz.policy.problems import PolicyErrors
from extauthz.values.assessment import Assessment
from extauthz.values.decisions import Allow, Deny
from extauthz.values.facts import Question
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

USER = caller(sub="u1", claims={"n": 1})
READS = document("p", rule("a", "allow", when="risk.score >= 0.0"))


def assessed(
    model: Document,
    *,
    facts: Facts | None = None,
    request: RequestView | None = None,
    identity: Identity = USER,
    now: float = NOW,
) -> Assessment:
    """What a model makes of a request."""
    (found,) = evaluate(compiled(model, READS), request, identity, facts=facts, now=now).risk
    return found


def states(found: Assessment) -> Mapping[str, str]:
    return {one.name: one.state for one in found.heard}


def problems(*documents: Document) -> list[str]:
    """What is wrong, without the place."""
    with pytest.raises(PolicyErrors) as caught:
        compiled(*documents)
    return [problem.message for problem in caught.value.problems]


MODEL = risk_model(
    signals={
        "new": signal("user.sub == 'u1'", 20),
        "far": signal("request.path == '/far'", 40),
        "odd": signal("user.claims.missing == 1", 15),
    }
)


def test_the_score_is_the_sum_of_the_weights_of_what_is_raised_and_of_what_errs() -> None:
    found = assessed(MODEL)
    assert (found.score, found.level, found.signals) == (35.0, "medium", ("new", "odd"))
    assert states(found) == {"far": "quiet", "new": "raised", "odd": "error"}
    assert assessed(MODEL, request=http("/far")).level == "high"


def test_a_signal_that_errs_is_marked_with_its_error() -> None:
    (odd,) = (one for one in assessed(MODEL).heard if one.name == "odd")
    assert odd.counted == odd.weight == 15.0
    assert odd.error is not None
    assert "no such key" in odd.error


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("risk.level == 'medium'", True),
        ("risk.level in ['high']", False),
        ("risk.score == 35.0", True),
        ("'new' in risk.signals && !('far' in risk.signals)", True),
        ("risk.signals == ['new', 'odd']", True),
    ],
)
def test_conditions_read_score_level_and_signals(condition: str, holds: bool) -> None:
    policies = compiled(MODEL, document("p", rule("a", "allow", when=condition)))
    assert isinstance(evaluate(policies, identity=USER).decision, Allow) is holds


def test_the_risk_reaches_variables_headers_and_what_is_shown() -> None:
    policies = compiled(
        MODEL,
        document(
            "p",
            rule("a", "allow", when="variables.risky", allow={"headers": {"x-risk": "risk.level"}}),
            variables={"risky": "risk.score > 1.0"},
        ),
    )
    decision = evaluate(policies, identity=USER).decision
    assert isinstance(decision, Allow)
    assert decision.mutations.headers["x-risk"] == "medium"


class Counting(dict[str, Any]):
    """Claims that count how often they are read."""

    reads = 0

    def __getitem__(self, name: str) -> Any:
        self.reads += 1
        return super().__getitem__(name)


COUNTED = risk_model(signals={"one": signal("user.claims.n == 1", 5)})


def test_a_signal_is_evaluated_once_for_all_rules_and_policies_that_read_it() -> None:
    claims = Counting(n=1)
    policies = compiled(
        COUNTED,
        document("p", rule("a", "allow", when="risk.score > 1.0"), rule("b", "deny", when="risk.level == 'high'")),
        document("q", rule("c", "deny", when="variables.x == 'high'"), variables={"x": "risk.level"}),
    )
    evaluation = evaluate(policies, identity=caller(sub="u1", claims=claims))
    assert isinstance(evaluation.decision, Allow)
    assert claims.reads == 1
    assert len(evaluation.risk) == 1


@pytest.mark.parametrize("when", ["request.path == '/x' && risk.score > 1.0", "request.path != ''"])
def test_a_model_that_no_condition_reads_is_not_evaluated(when: str) -> None:
    claims = Counting(n=1)
    evaluation = evaluate(
        compiled(COUNTED, document("p", rule("a", "allow", when=when))), identity=caller(sub="u1", claims=claims)
    )
    assert claims.reads == 0
    assert evaluation.risk == ()


def test_a_policy_means_the_model_that_it_names_or_the_default_or_the_only_one() -> None:
    two = (
        risk_model("default", signals={"s": signal("true", 1)}),
        risk_model("strict", signals={"s": signal("true", 9)}),
    )
    policies = compiled(
        *two,
        document("p", rule("a", "allow", when="risk.score == 1.0")),
        document("q", rule("b", "deny", when="risk.score != 9.0"), risk="strict"),
    )
    evaluation = evaluate(policies, identity=USER)
    assert isinstance(evaluation.decision, Allow)
    assert {one.model: one.score for one in evaluation.risk} == {"default": 1.0, "strict": 9.0}
    only = compiled(two[1], document("p", rule("a", "allow", when="risk.score == 9.0")))
    assert isinstance(evaluate(only, identity=USER).decision, Allow)


def test_what_a_decision_says_of_the_risk_is_that_of_its_own_request() -> None:
    policies = compiled(COUNTED, document("p", rule("a", "allow", when="risk.score >= 0.0")))
    scores = [evaluate(policies, identity=caller(sub="u1", claims={"n": n})).risk[0].score for n in (1, 2, 1)]
    assert scores == [5.0, 0.0, 5.0]


def test_a_signal_fades_from_its_moment_on() -> None:
    model = risk_model(
        signals={"told": signal("reported.risk_level == 'HIGH'", 64, since="reported.risk_at", half_life="1h")}
    )

    def told(hours: float) -> Assessment:
        return assessed(model, facts=Facts(reported={"risk_level": "HIGH", "risk_at": NOW - 3600 * hours}))

    assert [told(hours).score for hours in (-1, 0, 1, 2, 6, 10)] == [64.0, 64.0, 32.0, 16.0, 1.0, 0.0]
    assert told(2).heard[0].age == 7200.0
    assert told(10).signals == ()


def test_a_moment_that_nobody_knows_is_now_and_marked() -> None:
    model = risk_model(signals={"s": signal("true", 8, since="user.auth_time", half_life="1h")})
    found = assessed(model)
    assert (found.score, states(found)) == (8.0, {"s": "error"})


LINGERING = risk_model(signals={"s": signal("request.path == '/now'", 8, half_life="1h")})


def test_a_signal_without_a_moment_lingers_since_it_was_raised_last() -> None:
    def found(ago: float, path: str = "/") -> Assessment:
        facts = Facts(answers={Question("raised", ("default",)): {"s": NOW - ago}})
        return assessed(LINGERING, facts=facts, request=http(path))

    assert [found(ago).score for ago in (0, 3600, 7200, 36_000)] == [8.0, 4.0, 2.0, 0.0]
    assert states(found(3600)) == {"s": "fading"}
    assert states(found(3600, "/now")) == {"s": "raised"}
    assert assessed(LINGERING).score == 0.0


def test_only_what_is_raised_now_is_to_be_remembered() -> None:
    raised, quiet = assessed(LINGERING, request=http("/now")), assessed(LINGERING)
    assert [raised.heard[0].remember, quiet.heard[0].remember] == [36_000.0, None]


def test_where_the_store_could_not_be_asked_a_rule_that_reads_the_risk_errs() -> None:
    policies = compiled(LINGERING, document("p", rule("a", "allow"), rule("b", "deny", when="risk.score > 100.0")))
    evaluation = evaluate(policies, identity=USER, facts=Facts(unfetched=True))
    assert evaluation.decision == Deny(reason="policy-error", rule="p/b")
    assert evaluation.risk == ()
    assert assessed(MODEL, facts=Facts(unfetched=True)).score == 35.0  # which asks the store nothing


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (risk_model(signals={"s": signal("user.sub")}), "a condition must be of type bool, not string"),
        (risk_model(signals={"s": signal("usr.sub == 'x'")}), "undeclared name `usr`"),
        (risk_model(signals={"s": signal("risk.score > 1.0")}), "undeclared name `risk`"),
        (risk_model(signals={"s": signal("request.params.x == ''")}), "`request` has no field `params`"),
        (
            risk_model(signals={"s": signal("true", since="now")}),
            "`since` is only for a signal with a `half_life`",
        ),
        (
            risk_model(signals={"s": signal("true", since="user.sub", half_life="1h")}),
            "a moment must be of type timestamp, not string",
        ),
        (
            risk_model(signals={"s": signal("true")}, levels={"low": 1, "high": 2}),
            "no level begins at 0, so that a request without a signal has none",
        ),
        (
            risk_model(signals={"s": signal("true")}, levels={"low": 0, "high": 2, "top": 2}),
            "the levels `high` and `top` begin at one score",
        ),
        (risk_model(signals={"s": signal("true")}, variables={"a": "b"}), "undeclared name `b`"),
    ],
)
def test_what_is_wrong_with_a_model_is_told(model: Document, told: str) -> None:
    assert problems(model, READS) == [told]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"weight": 0}, "greater than 0"),
        ({"weight": -5}, "greater than 0"),
        ({"half_life": 5}, "a duration without a unit"),
        ({"half_life": "31d"}, "at most 30d"),
        ({"reason": " "}, "empty; say in words"),
        ({"wieght": 4}, "unknown field `wieght`"),
    ],
)
def test_what_a_field_may_not_say_is_told(fields: Document, told: str) -> None:
    with pytest.raises(PolicyErrors) as caught:
        compiled(risk_model(signals={"s": {**signal("true"), **fields}}), READS)
    assert told in str(caught.value)


def test_a_signal_needs_a_reason_for_people() -> None:
    without = signal("true")
    del without["reason"]
    assert problems(risk_model(signals={"s": without}), READS) == ["missing field `reason`"]


def test_what_is_wrong_is_told_with_its_place_in_the_file() -> None:
    text = (
        "apiVersion: extauthz/v1\nkind: RiskModel\nmetadata: {name: m}\nspec:\n  signals:\n"
        "    s: {when: usr.sub == 'x', weight: 1, reason: r}\n  levels: {low: 0}\n"
    )
    with pytest.raises(PolicyErrors) as caught:
        load_text(f"{text}---\n{json.dumps(READS)}", "m.yaml")
    assert str(caught.value) == "m.yaml:6:15: undeclared name `usr`; did you mean `user`?"


@pytest.mark.parametrize(
    ("documents", "told"),
    [
        ([READS], "`risk` is read, and no loaded document is a risk model"),
        ([risk_model("a", signals={"s": signal("true")}), document("p", rule("r", "allow"), risk="b")],
         "there is no risk model `b`"),
        (
            [risk_model(name, signals={"s": signal("true")}) for name in "ab"] + [READS],
            "`risk` is read, and no risk model is named",
        ),
        ([risk_model(signals={"s": signal("true")})] * 2 + [READS], "the risk model `default` exists already"),
    ],
)  # fmt: skip
def test_which_model_is_meant_must_be_clear(documents: list[Document], told: str) -> None:
    assert problems(*documents) == [told]


def test_a_model_that_can_t_be_read_is_told_once() -> None:
    broken = {**MODEL, "spec": "none"}
    assert len(problems(broken, READS)) == 1


# Laws. What a model makes of a request is worked out a second time, in the plainest way.

OUTCOMES = st.sampled_from([("true", True), ("false", False), ("user.claims.missing == 1", None)])
SIGNALS = st.dictionaries(
    st.sampled_from("abcdefgh"), st.tuples(OUTCOMES, st.integers(1, 10_000)), min_size=1, max_size=6
)
LEVELS = st.lists(st.integers(1, 20_000), unique=True, max_size=4)


def model_of(signals: Mapping[str, tuple[tuple[str, bool | None], int]], levels: list[int] = [30]) -> Document:  # noqa: B006 - it is only read
    return risk_model(
        signals={name: signal(when, weight / 7) for name, ((when, _), weight) in signals.items()},
        levels={"none": 0, **{f"from-{at}": at / 7 for at in levels}},
    )


@given(SIGNALS, LEVELS)
def test_score_and_level_are_as_a_sum_by_hand_has_them(
    signals: dict[str, tuple[tuple[str, bool | None], int]], levels: list[int]
) -> None:
    found = assessed(model_of(signals, levels))
    counting = {name: weight / 7 for name, ((_, raised), weight) in signals.items() if raised is not False}
    assert found.score == pytest.approx(sum(counting.values()))
    assert found.signals == tuple(sorted(counting))
    reached = [at for at in levels if at / 7 <= found.score]
    assert found.level == (f"from-{max(reached)}" if reached else "none")


@given(SIGNALS, OUTCOMES, st.integers(1, 10_000))
def test_a_further_signal_never_lowers_the_score(
    signals: dict[str, tuple[tuple[str, bool | None], int]], outcome: tuple[str, bool | None], weight: int
) -> None:
    before = assessed(model_of(signals))
    after = assessed(model_of({**signals, "further": (outcome, weight)}))
    assert after.score >= before.score
    assert set(after.signals) >= set(before.signals)


@given(SIGNALS, LEVELS, st.randoms())
def test_the_order_of_signals_and_levels_never_matters(
    signals: dict[str, tuple[tuple[str, bool | None], int]], levels: list[int], chance: Any
) -> None:
    names = list(signals)
    chance.shuffle(names)
    model, other = model_of(signals, levels), model_of({name: signals[name] for name in names}, levels[::-1])
    assert assessed(model) == assessed(other)
    assert compiled(model, READS).revision == compiled(other, READS).revision


@given(SIGNALS, st.sets(st.sampled_from("abcdefgh")), st.integers(0, 20_000))
def test_what_can_t_be_evaluated_never_allows_more(
    signals: dict[str, tuple[tuple[str, bool | None], int]], broken: set[str], limit: int
) -> None:
    policy = document("p", rule("a", "allow", when=f"risk.score <= {limit / 7!r}"))

    def allows(known: Mapping[str, tuple[tuple[str, bool | None], int]]) -> bool:
        return isinstance(evaluate(compiled(model_of(known), policy), identity=USER).decision, Allow)

    unknown = {
        name: (("user.claims.missing == 1", None), weight) if name in broken else (outcome, weight)
        for name, (outcome, weight) in signals.items()
    }
    assert allows(signals) or not allows(unknown)
