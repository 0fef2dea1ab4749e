"""Laws of facts: what can't be fetched never allows more, and no order of rules decides what is asked."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from policy.making import NOW, Document, caller, compiled, document, evaluate, http, risk_model, rule, signal

from extauthz.policy.asking import ask
from extauthz.policy.policy_set import PolicySet
from extauthz.values.decisions import Allow
from extauthz.values.facts import LastPlace
from extauthz.values.grants import Facts, SessionAges
from extauthz.values.identity import Identity

USER = caller(sub="u1", auth_time=int(NOW) - 600)
CONDITIONS = (
    "true",
    "rate(user.sub, duration('1m')) > 3",
    "rate(user.sub, duration('1m')) <= 3 || seen('k')",
    "!seen('k')",
    "seen('k') ? rate('g', duration('1h')) < 2 : true",
    "has(travel.speed_kmh) && travel.speed_kmh > 900.0",
    "!has(travel.speed_kmh)",
    "travel.?since.orValue(duration('0s')) < duration('1h')",
    "attributes.mdm.compliant == true",
    "attributes[?'mdm'].hasValue()",
    "!has(attributes.mdm.compliant) || attributes.mdm.compliant == true",
    "session.idle < duration('15m')",
    "!has(session.age)",
    "variables.often",
    "!variables.often || variables.often",
)
RISKY, CALM = ("risk.level == 'high'", "risk.score > 15.0"), ("risk.level == 'low'", "risk.score < 40.0")


@st.composite
def policies(draw: st.DrawFn) -> list[Document]:
    """Any rules; guards that want a high risk, and allows that want a low one."""
    rules = []
    for name in draw(st.sets(st.sampled_from("abcdef"), min_size=1)):
        effect = draw(st.sampled_from(("allow", "allow", "deny", "challenge")))
        risk = CALM if effect == "allow" else RISKY
        conditions = st.sampled_from((*CONDITIONS, *risk))
        rules.append(rule(name, effect, when=draw(conditions)))
    signals = {
        name: signal(draw(st.sampled_from(CONDITIONS[:-2])), draw(st.sampled_from((10, 30))))
        for name in draw(st.sets(st.sampled_from("xyz"), min_size=1))
    }
    often = {"often": "rate(user.sub, duration('1m')) > 5"}
    return [risk_model(signals=signals), document("p", *rules, variables=often)]


def facts_of(policies: PolicySet, said: Mapping[str, Any], lost: frozenset[str], identity: Identity) -> Facts:
    """What look-ups told, without those that were lost."""
    request = http()
    candidates = policies.candidates(request, identity)
    inquiry = ask(candidates, request=request, identity=identity, facts=Facts(), now=NOW)
    return Facts(
        answers={one: said[one.kind] for one in inquiry.questions if one.kind not in lost},
        attributes={} if "attributes" in lost else {"mdm": said["mdm"]},
        session=None if "session" in lost else said["session"],
    )


worlds = st.fixed_dictionaries(
    {
        "rate": st.sampled_from((1, 4, 9)),
        "seen": st.booleans(),
        "place": st.sampled_from((None, LastPlace(latitude=-33.0, longitude=151.0, at=NOW - 60.0))),
        "mdm": st.sampled_from(({}, {"compliant": True}, {"compliant": False})),
        "session": st.sampled_from((SessionAges(), SessionAges(age=900.0, idle=60.0))),
    }
)
losses = st.frozensets(st.sampled_from(("rate", "seen", "place", "attributes", "session")))


@settings(max_examples=100, deadline=None)
@given(policies(), worlds, losses)
def test_what_could_not_be_fetched_never_allows_more(
    found: list[Document], said: dict[str, Any], lost: frozenset[str]
) -> None:
    policies = compiled(*found)

    def decides(without: frozenset[str]) -> bool:
        facts = facts_of(policies, said, without, USER)
        return isinstance(evaluate(policies, identity=USER, facts=facts).decision, Allow)

    assert decides(frozenset()) or not decides(lost)


@settings(max_examples=100, deadline=None)
@given(policies(), worlds, losses, st.randoms())
def test_the_order_of_rules_and_documents_decides_neither_what_is_asked_nor_what_comes_of_it(
    found: list[Document], said: dict[str, Any], lost: frozenset[str], chance: Any
) -> None:
    model, policy = found
    rules = list(policy["spec"]["rules"])
    chance.shuffle(rules)
    other = compiled({**policy, "spec": {**policy["spec"], "rules": rules}}, model)
    policies = compiled(*found)
    facts = facts_of(policies, said, lost, USER)
    assert set(facts_of(other, said, lost, USER).answers) == set(facts.answers)
    one, two = (evaluate(known, identity=USER, facts=facts) for known in (policies, other))
    assert (one.decision, one.rules, one.risk) == (two.decision, two.rules, two.risk)
