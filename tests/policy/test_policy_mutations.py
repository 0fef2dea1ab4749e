"""What allows change and what denials say: worked out from policies, put together, and refused where they disagree."""

from collections.abc import Iterator
from typing import Any

import pytest
from policy.making import caller, compiled, document, evaluate, http, rule

from extauthz.policy.problems import PolicyErrors
from extauthz.values.decisions import Allow, Deny, Mutations

ALL = rule("a", "allow")
FORBIDDEN = [
    "host", "Content-Length", "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding",
    "upgrade", "http2-settings", "x-envoy-original-path", "X-Envoy-Anything", "x_envoy_decorator", "x-extauthz-subject",
    "X_Extauthz-Decision-Id", "grpc-status", "grpc_message", "grpc-status-details-bin", ":path", ":authority",
    ":method", ":status", "a b", "", "x-\u00e9", "x\n",
]  # fmt: skip


def test_mutations_of_all_matching_allows_are_put_together() -> None:
    policies = compiled(
        document(
            "p",
            rule(
                "a",
                "allow",
                allow={
                    "headers": {"X-Sub": "user.sub"},
                    "remove_headers": ["Cookie"],
                    "response_headers": {"x-seen": "'yes'"},
                    "metadata": {"groups": "user.groups", "n": "1", "t": "now", "d": "duration('90s')"},
                },
            ),
            rule("b", "allow", allow={"query": {"tenant": "'t&1'"}, "remove_query": ["debug"], "metadata": {"n": "1"}}),
        )
    )
    decision = evaluate(policies, identity=caller(sub="u1", groups=["staff"])).decision
    assert isinstance(decision, Allow)
    assert decision.mutations == Mutations(
        headers={"x-sub": "u1"},
        remove_headers=frozenset({"cookie"}),
        response_headers={"x-seen": "yes"},
        query={"tenant": "t&1"},
        remove_query=frozenset({"debug"}),
        metadata={"groups": ["staff"], "n": 1, "t": "2026-11-18T11:06:40Z", "d": "90s"},
    )
    assert policies.settable_headers == {"x-sub"}


def test_what_several_rules_append_is_all_appended_and_equal_lines_once() -> None:
    policies = compiled(
        document(
            "p",
            rule(
                "c",
                "allow",
                allow={"append_headers": {"X-Scope": "'c'"}, "append_response_headers": {"set-cookie": "['c=1']"}},
            ),
            rule(
                "a",
                "allow",
                allow={
                    "append_headers": {"x-scope": "user.groups", "x-none": "request.query.keep.split('')"},
                    "append_response_headers": {"Set-Cookie": "['a=1; Path=/', 'b=2']"},
                },
            ),
            rule(
                "b",
                "allow",
                allow={"append_headers": {"x-scope": "'a2'"}, "append_response_headers": {"set-cookie": "'b=2'"}},
            ),
        )
    )
    decision = evaluate(policies, http("/?keep="), caller(sub="u1", groups=["a1", "a2"])).decision
    assert isinstance(decision, Allow)
    assert decision.mutations == Mutations(
        append_headers={"x-scope": ("a1", "a2", "c")},
        append_response_headers={"set-cookie": ("a=1; Path=/", "b=2", "c=1")},
    )
    assert policies.settable_headers == frozenset()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"headers": {"x-a": "'1'"}}, {"headers": {"x-a": "'2'"}}),
        ({"headers": {"x-a": "'1'"}}, {"headers": {"X_A": "'2'"}}),
        ({"headers": {"x-a": "'1'"}}, {"remove_headers": ["x-a"]}),
        ({"headers": {"x-a": "'1'"}}, {"append_headers": {"x-a": "'1'"}}),
        ({"append_headers": {"x-a": "'1'"}}, {"remove_headers": ["x_a"]}),
        ({"response_headers": {"x-a": "'1'"}}, {"response_headers": {"x-a": "'2'"}}),
        ({"response_headers": {"x-a": "'1'"}}, {"append_response_headers": {"x_a": "'1'"}}),
        ({"query": {"a": "'1'"}}, {"query": {"a": "'2'"}}),
        ({"query": {"a": "'1'"}}, {"remove_query": ["a"]}),
        ({"metadata": {"a": "1"}}, {"metadata": {"a": "true"}}),
        ({"metadata": {"a": "1"}}, {"metadata": {"a": "1.0"}}),
        ({"metadata": {"a": "{'x': [1]}"}}, {"metadata": {"a": "{'x': [2]}"}}),
    ],
)
def test_two_allows_that_disagree_deny(one: dict[str, object], other: dict[str, object]) -> None:
    policies = compiled(document("p", ALL, rule("b", "allow", allow=one), rule("c", "allow", allow=other)))
    assert evaluate(policies).decision == Deny(reason="header-conflict", rule="p/b")
    agreeing = compiled(document("p", ALL, rule("b", "allow", allow=one), rule("c", "allow", allow=one)))
    assert isinstance(evaluate(agreeing).decision, Allow)


@pytest.mark.parametrize("value", ["b'x'", "0.0 / 0.0", "{1: 'x'}", "type(1)"])
def test_metadata_that_json_does_not_have_denies(value: str) -> None:
    policies = compiled(document("p", rule("a", "allow", allow={"metadata": {"x": value}})))
    assert evaluate(policies).decision == Deny(reason="policy-error", rule="p/a")


def test_a_deny_answers_as_its_block_says() -> None:
    block = {"status": 404, "reason": "gone", "headers": {"X-Why": "gone"}, "body": "nothing here"}
    policies = compiled(document("p", rule("a", "deny", deny=block)))
    expected = Deny(reason="gone", rule="p/a", status=404, headers={"x-why": "gone"}, body="nothing here")
    assert evaluate(policies).decision == expected


FROZEN = {
    "status": 404,
    "reason": "frozen",
    "headers": {"x-plain": "user.sub", "X-Account": {"cel": "request.query.account"}},
    "body": {"cel": "'account ' + request.query.account + ' is frozen'"},
}


def test_a_deny_says_what_its_expressions_make_of_the_request() -> None:
    policies = compiled(document("p", rule("a", "deny", deny=FROZEN)))
    assert evaluate(policies, http("/?account=acc-13")).decision == Deny(
        reason="frozen",
        rule="p/a",
        status=404,
        headers={"x-plain": "user.sub", "x-account": "acc-13"},
        body="account acc-13 is frozen",
    )


@pytest.mark.parametrize("query", ["", "?account=a&account=b", "?account=%0a", "?account=%20a", "?account=a%20"])
def test_a_deny_whose_values_err_stays_the_same_deny_without_them(query: str) -> None:
    """Another status or reason would tell the client that something went wrong, and what it was denied."""
    policies = compiled(document("p", rule("frozen", "deny", deny=FROZEN), ALL))
    evaluation = evaluate(policies, http(f"/{query}"))
    decision = evaluation.decision
    assert isinstance(decision, Deny)
    assert (decision.status, decision.reason, decision.rule) == (404, "frozen", "p/frozen")
    assert decision.headers == {"x-plain": "user.sub"}
    result = {one.rule: one for one in evaluation.rules}["p/frozen"]
    assert (result.result, bool(result.error)) == ("error", True)


def test_a_deny_reads_captures_and_variables() -> None:
    policies = compiled(
        document(
            "p",
            rule("a", "deny", paths=["/v1/{id}"], deny={"body": {"cel": "request.params.id + variables.who"}}),
            variables={"who": "user.sub"},
        )
    )
    decision = evaluate(policies, http("/v1/acc"), caller(sub="-u1")).decision
    assert isinstance(decision, Deny)
    assert decision.body == "acc-u1"


def names_in(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A rule that has this name in each place where a header can be named."""
    for effect, field, value in (
        ("allow", "headers", "'v'"),
        ("allow", "append_headers", "'v'"),
        ("allow", "response_headers", "'v'"),
        ("allow", "append_response_headers", "'v'"),
        ("deny", "headers", "v"),
        ("deny", "headers", {"cel": "'v'"}),
    ):
        yield rule("a", effect, **{effect: {field: {block["name"]: value}}})
    yield rule("a", "allow", allow={"remove_headers": [block["name"]]})


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_header_that_moves_or_breaks_a_request_is_refused_at_load_wherever_it_is_named(name: str) -> None:
    for one in names_in({"name": name}):
        with pytest.raises(PolicyErrors):
            compiled(document("p", one))


def test_an_ordinary_header_is_taken_wherever_it_is_named() -> None:
    for one in names_in({"name": "x-ordinary"}):
        compiled(document("p", one))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"append_headers": {"Authorization": "'v'"}}, "the header `authorization` has one value"),
    ({"append_headers": {"content_type": "'v'"}}, "has one value"),
    ({"append_response_headers": {"location": "'/'"}}, "has one value"),
    ({"headers": {"x-a": "'v'"}, "append_headers": {"X_A": "'v'"}}, "is both set and appended"),
    ({"append_headers": {"x-a": "'v'"}, "remove_headers": ["x-a"]}, "is both appended and removed"),
    ({"response_headers": {"x-a": "'v'"}, "append_response_headers": {"x-a": "'v'"}}, "is both set and appended"),
    ({"append_headers": {"x-a": "'v'", "X-A": "'v'"}}, "are one header"),
    ({"append_headers": {"x-a": "1"}}, "must be of type string or list"),
    ({"append_headers": {"x-a": "[1]"}}, "must be of type string or list"),
    ({"append_headers": {}}, "must not be empty"),
    ({"query": {"a": "1"}}, "must be of type string"),
    ({"metadata": {"extauthz": "1"}}, "the key `extauthz` is taken"),
    ({"metadata": {"ext_authz_duration": "1"}}, "is taken"),
]


@pytest.mark.parametrize(("block", "told"), REFUSED)
def test_a_change_that_can_not_be_made_is_refused_at_load(block: dict[str, Any], told: str) -> None:
    with pytest.raises(PolicyErrors, match=told):
        compiled(document("p", rule("a", "allow", allow=block)))


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"reason": "policy-error"}, "`policy-error` is a reason of extauthz itself"),
        ({"reason": "invalid-token"}, "is a reason of extauthz itself"),
        ({"headers": {"x-a": {"cel": "1"}}}, "must be of type string"),
        ({"headers": {"x-a": {"cel": "nobody.sub"}}}, "undeclared name `nobody`"),
        ({"headers": {"x-a": {"cel": " "}}}, "an empty expression"),
        ({"headers": {"x-a": {"sel": "'v'"}}}, "unknown field `sel`"),
        ({"headers": {"x-a": 1}}, "must be text"),
        ({"body": {"cel": "['a']"}}, "must be of type string"),
        ({"body": {}}, "missing field `cel`"),
    ],
)
def test_a_denial_that_can_not_be_said_is_refused_at_load(block: dict[str, Any], told: str) -> None:
    with pytest.raises(PolicyErrors, match=told):
        compiled(document("p", rule("a", "deny", deny=block)))


@pytest.mark.parametrize("appended", ["user.claims.many", "[user.claims.many]"])
def test_what_can_not_be_a_line_denies(appended: str) -> None:
    policies = compiled(document("p", rule("a", "allow", allow={"append_headers": {"x-a": appended}})))
    values: list[Any] = [1, ["a", 1], "a\nb", {}]
    for value in values:
        assert evaluate(policies, identity=caller(sub="u", claims={"many": value})).decision == Deny(
            reason="policy-error", rule="p/a"
        )
