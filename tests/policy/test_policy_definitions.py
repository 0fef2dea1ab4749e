"""`kind: Definitions`: what documents share, and what is refused."""

from collections.abc import Sequence

import pytest
from policy.making import Document, caller, compiled, definitions, document, evaluate, function, http, rule

from extauthz.policy import cel_types
from extauthz.policy.problems import PolicyErrors
from extauthz.values.decisions import Allow, Evaluation
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView

NETWORKS = definitions(
    "networks",
    lists={"internal": ["10.0.0.0/8", "192.0.2.0/24"]},
    functions={
        "is_internal": function("definitions.internal.exists(n, cidr(n).containsIP(address))", address="string")
    },
)
PEOPLE = definitions(
    "people",
    constants={"group": "staff"},
    functions={
        "is_staff": function("has(who.groups) && definitions.group in who.groups", who="user"),
        "holds": function("groups.exists(one, one == group)", groups="list(string)", group="string"),
        "roles": function("claims.roles", claims="map(string, dyn)"),
    },
)


def judged(
    when: str, *shared: Document, request: RequestView | None = None, identity: Identity | None = None, **spec: object
) -> Evaluation:
    policies = compiled(document("p", rule("a", "allow", when=when), **spec), *shared)
    return evaluate(policies, request, identity if identity is not None else caller(sub="u1", groups=["staff"]))


def refusals(*documents: Document) -> list[str]:
    with pytest.raises(PolicyErrors) as caught:
        compiled(*documents)
    return [f"{problem.message}; {problem.hint}" for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("when", "outcome"),
    [
        ("definitions.is_internal(client.ip)", "match"),
        ("definitions.is_internal('203.0.113.9')", "no-match"),
        ("'10.0.0.0/8' in definitions.internal", "match"),
        ("definitions.internal.size() == 2", "match"),
        ("definitions.is_staff(user)", "match"),
        ("definitions.group == 'staff'", "match"),
        ("variables.inside && definitions.is_staff(user)", "match"),
        ("definitions.holds(user.groups, 'staff')", "match"),
        ("definitions.holds(['a', 'b'], definitions.group)", "no-match"),
        ("definitions.is_internal('no address')", "error"),
        ("definitions.is_internal('no address') || true", "match"),
        ("definitions.holds([1, 'staff'], 'staff')", "error"),
        ("definitions.holds(user.claims.mixed, 'staff')", "error"),
        ("definitions.holds(user.claims.names, 'staff')", "match"),
        ("definitions.holds(user.claims.name, 'staff')", "error"),
        ("definitions.roles(user.claims) == ['r']", "match"),
    ],
)
def test_conditions_use_what_is_defined_elsewhere(when: str, outcome: str) -> None:
    claims = {"mixed": [True, "staff"], "names": ["staff"], "name": "staff", "roles": ["r"]}
    identity = caller(sub="u1", groups=["staff"], claims=claims)
    variables = {"inside": "definitions.is_internal(client.ip)"}
    evaluation = judged(when, NETWORKS, PEOPLE, identity=identity, variables=variables)
    assert evaluation.rules[0].result == outcome


def test_the_error_of_a_function_is_its_callers() -> None:
    error = judged("true && definitions.is_internal('no address')", NETWORKS).rules[0].error
    assert error is not None
    assert error.startswith("1:9: in `definitions.is_internal`: ")


def test_a_function_sees_nothing_of_the_request() -> None:
    shared = definitions("d", functions={"f": function("user.sub == 'u1'")})
    assert refusals(document("p", rule("a", "allow", when="definitions.f()")), shared) == ["undeclared name `user`; "]


def test_functions_use_each_other_and_mutations_use_them_too() -> None:
    shared = definitions(
        "d",
        functions={"b": function("definitions.c(x) + '!'", x="string"), "c": function("'<' + x + '>'", x="string")},
    )
    policies = compiled(
        document("p", rule("a", "allow", allow={"headers": {"x-a": "definitions.b(user.sub)"}})), shared
    )
    decision = evaluate(policies, http(), caller(sub="u1")).decision
    assert isinstance(decision, Allow)
    assert decision.mutations.headers == {"x-a": "<u1>!"}


def test_the_order_of_documents_means_nothing_and_definitions_are_part_of_the_revision() -> None:
    policy = document("p", rule("a", "allow", when="definitions.is_internal(client.ip)"))
    whole = compiled(policy, NETWORKS, PEOPLE)
    assert compiled(PEOPLE, NETWORKS, policy).revision == whole.revision
    wider = {**NETWORKS, "spec": {**NETWORKS["spec"], "lists": {"internal": ["0.0.0.0/0"]}}}
    assert compiled(policy, wider, PEOPLE).revision != whole.revision


def test_what_is_broken_is_told_once_and_not_by_those_who_use_it() -> None:
    shared = definitions("d", functions={"f": function("nothing == 'a'")})
    policy = document("p", rule("a", "allow", when="definitions.f() && usr.sub == ''"), rule("b", "deny", when="usr"))
    usr = "undeclared name `usr`; did you mean `user`?"
    assert refusals(policy, shared) == [usr, usr, "undeclared name `nothing`; "]


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("definitions.is_intrnal(client.ip)", "unknown function `definitions.is_intrnal`; did you mean"),
        ("'a' in definitions.internl", "undeclared name `definitions.internl`; did you mean `definitions.internal`?"),
        ("definitions.is_internal", "`definitions.is_internal` is a function; call it: `definitions.is_internal(…)`"),
        ("definitions.is_internal(1)", "`definitions.is_internal` does not take (int); it takes (string)"),
        ("definitions.internal", "a condition must be of type bool, not list(string); "),
    ],
)
def test_a_wrong_use_is_told_with_a_hint(when: str, told: str) -> None:
    (problem,) = refusals(document("p", rule("a", "allow", when=when)), NETWORKS)
    assert problem.startswith(told)


@pytest.mark.parametrize(
    ("shared", "told"),
    [
        ([definitions("d", functions={"f": function("definitions.f(x)", x="string")})], ["calls itself"]),
        (
            [
                definitions("d", functions={"f": function("definitions.g(x)", x="string")}),
                definitions("e", functions={"g": function("definitions.f(x)", x="string")}),
            ],
            ["the functions `definitions.f`, `definitions.g` need each other; break the circle"],
        ),
        (
            [definitions("d", lists={"f": ["a"]}), definitions("e", constants={"f": "a"})],
            ["`f` is defined already; see policies.yaml:3"],
        ),
        (
            [definitions("d", lists={"l": ["a"]}), definitions("d", lists={"m": ["a"]})],
            ["definitions `d` exists already"],
        ),
        ([definitions("d", lists={"f": ["a", 1]})], ["`f` holds values of several types"]),
        ([definitions("d", functions={"f": function("x == 'a'", x="strng")})], ["did you mean `string`?"]),
        ([definitions("d", functions={"f": function("true", x="request")})], ["`request` is no type"]),
        (
            [definitions("d", functions={"f": {**function("x + 1", x="int"), "result": "string"}})],
            ["must be of type string, not int; convert it, or declare `int`"],
        ),
        (
            [
                definitions(
                    "d",
                    functions={
                        "f": {"parameters": [{"name": "x", "type": "int"}] * 2, "body": "x == 1"},
                    },
                )
            ],
            ["a parameter stands there twice"],
        ),
        ([definitions("d")], ["defines nothing"]),
    ],
)
def test_bad_definitions_are_refused(shared: Sequence[Document], told: Sequence[str]) -> None:
    problems = refusals(document("p", rule("a", "allow")), *shared)
    assert len(problems) == len(told)
    assert all(text in problem for text, problem in zip(told, problems, strict=True))


def test_what_definitions_cost_is_bounded_when_they_are_loaded() -> None:
    doubling = {
        f"f{n}": function(f"definitions.f{n - 1}(x) || definitions.f{n - 1}(x)", x="string") for n in range(1, 30)
    }
    (problem,) = refusals(
        document("p", rule("a", "allow")),
        definitions("d", functions={"f0": function("x == 'a'", x="string"), **doubling}),
    )
    assert "calls of definitions; 1000 are the most" in problem
    loops = definitions("d", functions={"f": function("l.exists(x, x == 'a')", l="list(string)")})
    (problem,) = refusals(document("p", rule("a", "deny", when="user.groups.exists(g, definitions.f([g]))")), loops)
    assert problem == "`definitions.f` visits a list and is called in a loop; visit one list alone"
    compiled(document("p", rule("a", "deny", when="definitions.f(user.groups) || definitions.f(['b'])")), loops)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("string", "string"),
        (" list( string ) ", "list(string)"),
        ("map(string, list(dyn))", "map(string, list(dyn))"),
        ("timestamp", "google.protobuf.Timestamp"),
        ("user", "user"),
    ],
)
def test_a_type_is_written_as_cel_shows_it(text: str, kind: str) -> None:
    assert str(cel_types.parse(text)) == kind


@pytest.mark.parametrize("text", ["", "list", "list()", "list(string", "map(string)", "map(double, int)", "x" * 300])
def test_what_is_no_type_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="type"):
        cel_types.parse(text)
