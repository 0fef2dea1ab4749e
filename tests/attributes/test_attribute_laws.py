"""What must hold of decisions that read external facts, whatever the policies, the facts and the failures."""

from typing import Any

import pytest
from attributes.asking_sources import over_http, sources_of
from hypothesis import given
from hypothesis import strategies as st
from policy.making import caller, compiled, document, evaluate, rule

from extauthz.policy.attribute_sources import attributes_type
from extauthz.policy.attribute_values import conform
from extauthz.policy.declared import NOTHING_DECLARED, Declared
from extauthz.policy.policy_set import PolicySet
from extauthz.values.decisions import Allow
from extauthz.values.grants import Facts

URL = "https://crm.example.com"
SOURCES = {
    one.name: one.declared
    for one in sources_of(
        over_http(URL, fields={"tier": "string", "limit": "int", "tags": "list(string)"}),
        over_http(URL, name="devices", fields={"compliant": "bool", "about": "dyn"}),
    )
}
DECLARED = Declared(attributes=attributes_type(SOURCES.values()))

READING = [
    "attributes.crm.tier == 'gold'",
    "attributes.crm.tier != 'blocked'",
    "has(attributes.crm)",
    "has(attributes.crm.tier)",
    "attributes.?crm.hasValue()",
    "attributes.?crm.?limit.orValue(0) > 5",
    "attributes.crm.?limit.orValue(99) > 5",
    "'a' in attributes.crm.tags",
    "attributes.crm.tags.all(t, t != 'b')",
    "size(attributes.crm.?tags.orValue([])) == 0",
    "attributes.devices.compliant == true",
    "has(attributes.devices.about.x)",
    "attributes.devices.about.x == 1",
    "attributes.devices.about == attributes.devices.about",
    "dyn(attributes.crm) == dyn(attributes.crm)",
    "optional.of(attributes.crm).?tier.hasValue()",
]
ATOMS = st.sampled_from([*READING, "user.sub == 'u1'", "true", "false"])
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("!({})".format, inner),
        st.builds("({}) && ({})".format, inner, inner),
        st.builds("({}) || ({})".format, inner, inner),
        st.builds("({}) ? ({}) : ({})".format, inner, inner, inner),
        st.builds("[1, 2].exists(i, ({}) && i > 1)".format, inner),
        st.builds("cel.bind(b, {}, b || b)".format, inner),
    ),
    max_leaves=5,
)
RULES = st.lists(
    st.tuples(st.sampled_from(["allow", "allow", "deny", "challenge"]), CONDITIONS), min_size=1, max_size=4
)
TOLD = st.fixed_dictionaries(
    {
        "crm": st.fixed_dictionaries(
            {},
            optional={
                "tier": st.sampled_from(["gold", "blocked"]),
                "limit": st.integers(0, 10),
                "tags": st.lists(st.sampled_from("ab"), max_size=2),
            },
        ),
        "devices": st.fixed_dictionaries(
            {}, optional={"compliant": st.booleans(), "about": st.sampled_from([1, {"x": 1}, {"x": "y"}, [1]])}
        ),
    }
)


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("when", [*READING, "true ? has(attributes.crm) : true", "attributes.crm.tier.size() >= 0"])
def test_whoever_reads_a_source_that_told_nothing_gets_an_error(when: str, typed: bool) -> None:
    rules = [rule("may", "allow", when=when), rule("may-not", "deny", when=f"!({when})", mode="shadow")]
    policies = compiled(document("p", *rules), declared=DECLARED if typed else NOTHING_DECLARED)
    results = evaluate(policies, identity=caller(sub="u1")).rules
    assert [one.result for one in results] == ["error", "error"]
    assert all("could not be looked up" in (one.error or "") for one in results)


def allows(policies: PolicySet, told: dict[str, dict[str, Any]]) -> bool:
    known = {name: conform(members, SOURCES[name].fields) for name, members in told.items()}
    evaluation = evaluate(policies, identity=caller(sub="u1"), facts=Facts(attributes=known))
    return isinstance(evaluation.decision, Allow)


@given(rules=RULES, told=TOLD, away=st.sets(st.sampled_from(["crm", "devices"]), min_size=1))
def test_an_unreachable_attribute_source_never_allows_more(
    rules: list[tuple[str, str]], told: dict[str, dict[str, Any]], away: set[str]
) -> None:
    written = [rule(f"r{number}", effect, when=when) for number, (effect, when) in enumerate(rules)]
    policies = compiled(document("p", *written), declared=DECLARED)
    if allows(policies, {name: members for name, members in told.items() if name not in away}):
        assert allows(policies, told)
