"""What a replay decides is what the policies would have decided on the whole request: never a guess."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policy.any_policies import binds, identities, requests
from policy.any_policies import policies as any_policies
from policy.making import Document, caller, compiled, document, evaluate, http, rule
from replay.recording import recorded

from extauthz.history.deciding import Redecider, Undecidable
from extauthz.history.recorded import Recorded, is_decidable
from extauthz.history.replay import Replay, unchanged_rules
from extauthz.policy.yaml_source import load_documents
from extauthz.record.masking import Keep
from extauthz.values.grants import Facts, SessionAges
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

lawful = settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.too_slow])
KEEPING = Keep(Keep().headers | {"x-tier"}, frozenset({"amount"}))


CONDITIONS = (
    "true",
    "double(request.query.amount) > 10.0",
    "request.query.amount == '50' || has(user.sub)",
    "request.query.exists(name, request.query[name] == '50')",
    "size(request.query) > 0 && 'amount' in request.query",
    "request.query_all.amount[0] == '5'",
    "request.headers['x-tier'] == 'gold'",
    "request.headers[?'x-tier'].orValue('') != 'gold'",
    "request.json.amount > 10",
    "request.truncated || request.body.size() > 3",
    "user.claims.tenant == 't1'",
    "has(user.claims.tenant) && user.claims.tenant != 't1'",
    "user.claims == {'tenant': 't1'}",
    "1 / int(request.query.amount) == 0 && user.claims.tenant == 't1'",
    "session.id == 's1'",
    "session.idle > duration('15m')",
    "session.?age.orValue(duration('0s')) < duration('2h') && user.claims.tenant == 't1'",
    "variables.v",
    "!variables.v || user.claims.tenant == 't2'",
    "variables.v ? true : request.query.amount == '5'",
)
VALUES = ("'1'", "user.claims.tenant", "request.query.amount", "request.headers['x-tier']")


@st.composite
def masked_rules(draw: st.DrawFn) -> Document:
    """Rules that look at what a record masks, in every place where an expression may be."""
    effect = draw(st.sampled_from(("allow", "allow", "deny", "challenge", "approve")))
    made = rule(draw(st.sampled_from("abcdefgh")), effect, when=draw(st.sampled_from(CONDITIONS)))
    if effect == "allow" and draw(st.booleans()):
        headers = st.dictionaries(st.sampled_from(("x-a", "x-b")), st.sampled_from(VALUES), min_size=1)
        made["allow"] = {"headers": draw(headers)}
    if effect == "challenge":
        bind = draw(st.one_of(binds, st.just({"scope": ["user.claims.tenant"]})))
        made["challenge"] = {"factors": ["totp"], "bind": bind}
        if draw(st.booleans()):
            made["challenge"]["show"] = {"amount": "request.query.amount"}
    return made


@st.composite
def masked_policies(draw: st.DrawFn) -> list[Document]:
    own = draw(st.lists(masked_rules(), min_size=1, max_size=4, unique_by=lambda one: one["name"]))
    variable = draw(st.sampled_from(("request.query.amount == '50'", "user.claims.tenant == 't1'", "has(user.sub)")))
    made = [document("p", *own, variables={"v": variable})]
    if draw(st.booleans()):
        made.append(document("base", rule("all", "allow")))
    return made


@st.composite
def masked_requests(draw: st.DrawFn) -> RequestView:
    return http(
        "/a" + draw(st.sampled_from(("", "?amount=5", "?amount=50", "?amount=x", "?amount=5&amount=50", "?1=2"))),
        headers={"content-type": "application/json", **draw(st.sampled_from(({}, {"x-tier": "gold"})))},
        body=draw(st.sampled_from((None, b"", b'{"amount": 5}', b'{"amount": 50}'))),
    )


policies = st.one_of(masked_policies(), masked_policies(), any_policies())
checks = st.one_of(
    st.tuples(
        masked_requests(),
        st.builds(
            caller,
            sub=st.sampled_from((None, "u1", "u1", "u2")),
            claims=st.sampled_from(({}, {"tenant": "t1"}, {"tenant": "t2"}, {"tenant": 5, "other": 1})),
        ),
    ),
    st.tuples(requests(), identities),
)


def decided(outcome: Any) -> str:
    return "undecidable" if isinstance(outcome, Undecidable) else type(outcome.decision).__name__


_seconds = st.sampled_from((None, 0.0, 900.0, 900.25, 7200.0))
ages = st.builds(SessionAges, age=_seconds, idle=_seconds)


@lawful
@given(before=policies, after=policies, check=checks, ages=ages, looked=st.booleans())
def test_what_is_decided_again_is_what_the_whole_request_would_get(
    before: list[Document], after: list[Document], check: tuple[RequestView, Identity], ages: SessionAges, looked: bool
) -> None:
    (request, identity), old, new = check, compiled(*before), compiled(*after)
    truth = type(evaluate(new, request, identity, facts=Facts(session=ages)).decision).__name__
    known = ages if looked else None
    for keep in (Keep(), KEEPING):
        evaluation = evaluate(old, request, identity, facts=Facts(session=known))
        line = recorded(evaluation, request, identity, keep=keep, session=known)
        assert is_decidable(line)
        outcome = decided(Redecider(new).decide(Recorded(line)))
        assert outcome in (truth, "undecidable")


@pytest.mark.parametrize("ages", [SessionAges(), SessionAges(age=7200.1, idle=900.0), SessionAges(idle=900.0000001)])
@pytest.mark.parametrize(
    "when", ["session.idle > duration('15m')", "session.age > duration('2h')", "has(session.idle) && !has(session.age)"]
)
def test_a_session_that_was_looked_at_is_decided_again_to_the_nanosecond(ages: SessionAges, when: str) -> None:
    request, identity = http(), caller(sub="u1")
    old, new = compiled(document("p", rule("a", "allow"))), compiled(document("p", rule("a", "allow", when=when)))
    truth = evaluate(new, request, identity, facts=Facts(session=ages)).decision
    line = recorded(evaluate(old, request, identity), request, identity, session=ages)
    assert decided(Redecider(new).decide(Recorded(line))) == type(truth).__name__
    unlooked = recorded(evaluate(old, request, identity), request, identity)
    outcome = Redecider(new).decide(Recorded(unlooked))
    assert isinstance(outcome, Undecidable)
    assert set(outcome.missing) <= {"session.idle", "session.age"}
    nobody = recorded(evaluate(old, request), request, Identity())
    assert decided(Redecider(new).decide(Recorded(nobody))) == "Deny"


@lawful
@given(before=masked_policies(), after=masked_policies(), check=checks)
def test_unchanged_rules_decide_as_recorded(
    before: list[Document], after: list[Document], check: tuple[RequestView, Identity]
) -> None:
    """The new policies are the old ones and more, so that many rules are as they were."""
    grown = [{**one, "metadata": {"name": f"new-{one['metadata']['name']}"}} for one in after]
    (request, identity), old, new = check, compiled(*before), compiled(*before, *grown)
    unchanged = unchanged_rules(documents(before), documents([*before, *grown]))
    assert unchanged == {rule.name for rule in old.rules}
    line = recorded(evaluate(old, request, identity), request, identity, old.revision)
    outcome = decided(Redecider(new, unchanged={old.revision: unchanged}).decide(Recorded(line)))
    assert outcome in (type(evaluate(new, request, identity).decision).__name__, "undecidable")


@lawful
@given(same=policies, check=checks)
def test_the_policies_that_were_in_force_change_nothing(
    same: list[Document], check: tuple[RequestView, Identity]
) -> None:
    (request, identity), policy_set = check, compiled(*same)
    replay = Replay(policy_set)
    replay.take(recorded(evaluate(policy_set, request, identity), request, identity, policy_set.revision))
    assert (replay.tally.total, replay.tally.unchanged) == (1, 1)


def documents(plain: list[Document]) -> list[Any]:
    return load_documents("\n---\n".join(json.dumps(one) for one in plain), "p.yaml")
