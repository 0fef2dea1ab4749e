"""The contract of compile() and Program: bindings, structures, maps of an application's own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from extauthz import cel
from extauthz.cel import tree


@dataclass(frozen=True, slots=True)
class User:
    sub: Any
    groups: list[str]


class Broken:
    """A view whose field can't be read."""

    @property
    def json(self) -> object:
        raise cel.EvalError("the body is malformed")


class Headers(Mapping[str, str]):
    """A map that refuses to give a header which was repeated."""

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> str:
        values = self._values[name]
        if len(values) > 1:
            raise cel.EvalError(f"`{name}` came {len(values)} times")
        return values[0]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


USER = cel.StructType("User", {"sub": cel.Field(cel.STRING, optional=True), "groups": cel.list_of(cel.STRING)})
VARIABLES: dict[str, cel.CelType] = {
    "user": USER,
    "broken": cel.StructType("Broken", {"json": cel.Field(cel.DYN, optional=True)}),
    "headers": cel.map_of(cel.STRING, cel.STRING),
    "n": cel.INT,
    "b": cel.BOOL,
}
KNOWN = User("u1", ["staff"])
UNKNOWN = User(cel.UNSET, [])
HEADERS = Headers({"accept": ["text/html"], "cookie": ["a=1", "b=2"]})


def evaluate(source: str, **bindings: object) -> Any:
    return cel.compile(source, variables=VARIABLES)(bindings)


def test_the_example_of_the_design() -> None:
    program = cel.compile("x.startsWith('a') && n > 2", variables={"x": cel.STRING, "n": cel.INT})
    assert program({"x": "abc", "n": 3}) is True
    assert program.evaluate({"x": "abc", "n": 2}) is False
    assert program.result_type == cel.BOOL
    assert program.names == {"x", "n"}
    assert program.source == "x.startsWith('a') && n > 2"
    assert repr(program) == "Program(\"x.startsWith('a') && n > 2\")"


def test_names_are_those_that_are_read() -> None:
    rate = cel.Function("rate", [cel.Overload("rate", (), cel.INT, lambda facts: facts, bindings=("facts",))])
    program = cel.compile("rate() > n && [1].all(x, x > 0)", variables=VARIABLES, functions=[rate])
    assert program.names == {"facts", "n"}


def test_only_the_names_used_are_looked_up() -> None:
    seen: list[str] = []

    class Recording(dict[str, object]):
        def __getitem__(self, name: str) -> object:
            seen.append(name)
            return super().__getitem__(name)

    assert cel.compile("a > 1 || c", variables=None)(Recording(a=2, b=1, c=True)) is True
    assert seen == ["a"]


@pytest.mark.parametrize(
    "source", ["b || missing", "missing || b", "missing || b || missing", "[1].exists(x, b || missing)"]
)
def test_a_missing_variable_fails_only_where_it_matters(source: str) -> None:
    program = cel.compile(source)
    assert program({"b": True}) is True
    with pytest.raises(cel.EvalError, match="variable `missing` is not bound"):
        program({"b": False})


def test_the_longest_declared_name_wins() -> None:
    variables = {"request": cel.map_of(cel.STRING, cel.INT), "request.params": cel.map_of(cel.STRING, cel.STRING)}
    program = cel.compile("request.params.account + string(request.size)", variables=variables)
    assert program({"request": {"size": 5}, "request.params": {"account": "a"}}) == "a5"
    assert program.names == {"request", "request.params"}


def test_a_field_of_a_structure_is_an_attribute() -> None:
    assert evaluate("user.sub + user.groups[0]", user=KNOWN) == "u1staff"


def test_a_field_that_is_not_set_is_absent() -> None:
    assert evaluate("has(user.sub)", user=KNOWN) is True
    assert evaluate("has(user.sub)", user=UNKNOWN) is False
    assert evaluate("has(user.groups)", user=UNKNOWN) is True
    assert evaluate("user.?sub.orValue('nobody')", user=UNKNOWN) == "nobody"
    assert evaluate("user.?sub", user=UNKNOWN) == cel.Optional()
    assert evaluate("user.?sub", user=KNOWN) == cel.Optional("u1")
    assert evaluate("optional.of(user).sub.orValue('nobody')", user=UNKNOWN) == "nobody"
    assert evaluate("has(optional.of(user).sub)", user=KNOWN) is True
    with pytest.raises(cel.EvalError, match="no such field: `sub` is not set"):
        evaluate("user.sub == ''", user=UNKNOWN)


@pytest.mark.parametrize(
    "source",
    [
        "has(broken.json)",
        "broken.?json.hasValue()",
        "broken.?json.orValue(1) == 1",
        "has(broken.json.a)",
        "broken.json.?a.hasValue()",
        "broken.json[?'a'].hasValue()",
        "broken.?json.optMap(x, 1).orValue(1) == 1",
        "optional.of(broken).?json.hasValue()",
        "has(broken.json) || false",
        "has(broken.json) ? true : true",
    ],
)
def test_an_error_of_an_attribute_never_becomes_absence(source: str) -> None:
    with pytest.raises(cel.EvalError, match="the body is malformed"):
        evaluate(source, broken=Broken())


def test_an_error_of_an_attribute_is_absorbed_like_any_other() -> None:
    assert evaluate("broken.json == 1 || true", broken=Broken()) is True
    assert evaluate("has(broken.json) && false", broken=Broken()) is False
    assert evaluate("true ? 1 : broken.json", broken=Broken()) == 1


def test_a_structure_is_no_value_of_another_kind() -> None:
    with pytest.raises(cel.CompileError, match="structures can't be compared"):
        evaluate("user == user", user=KNOWN)
    with pytest.raises(cel.EvalError):
        evaluate("dyn(user) == dyn(user)", user=KNOWN)
    for field in ("__class__", "sub"):
        with pytest.raises(cel.EvalError, match="no such key"):
            evaluate(f"dyn(user).{field} == 'u1'", user=KNOWN)


ENTRIES: dict[str, cel.CelType] = {
    "crm": cel.StructType("Crm", {"items": cel.Field(cel.INT, optional=True), "tier": cel.STRING}, entries=True),
}


def test_a_structure_of_entries_is_checked_like_one_and_read_like_a_map() -> None:
    def read(source: str, **crm: object) -> Any:
        return cel.compile(source, variables=ENTRIES)({"crm": crm})

    assert read("crm.tier", tier="gold") == "gold"
    assert read("crm.items", items=5) == 5, "no method of a mapping is a field"
    assert read("[has(crm.tier), has(crm.items)]", tier="gold") == [True, False]
    assert read("[crm.?tier.orValue('none'), string(crm.?items.orValue(0))]", tier="gold") == ["gold", "0"]
    assert read("optional.of(crm).tier.orValue('none') + optional.of(crm).?tier.value()", tier="x") == "xx"
    assert read("[has(optional.of(crm).tier), has(optional.of(crm).items)]", tier="x") == [True, False]
    with pytest.raises(cel.EvalError, match="no such key: `items`"):
        read("crm.items", tier="gold")
    for source, message in {
        "crm.teir": "has no field `teir`",
        "crm.items == 'x'": "int",
        "crm['tier']": "write `.` and the name of the field",
        "crm == crm": "structures can't be compared",
    }.items():
        with pytest.raises(cel.CompileError, match=message):
            read(source)


def test_fields_have_plain_names() -> None:
    for name in ("__class__", "_x", "a-b", ""):
        with pytest.raises(ValueError, match="is no name of a field"):
            cel.StructType("S", {name: cel.INT})


@pytest.mark.parametrize("headers", [HEADERS, {"accept": "text/html", "cookie": "c"}])
def test_any_mapping_is_a_map(headers: Mapping[str, str]) -> None:
    assert evaluate("headers['accept'] + headers.accept", headers=headers) == "text/htmltext/html"
    assert evaluate("'accept' in headers && has(headers.cookie) && !('x' in headers)", headers=headers) is True
    assert evaluate("headers[?'x'].orValue('none')", headers=headers) == "none"
    assert evaluate("headers.?accept.orValue('none')", headers=headers) == "text/html"
    assert evaluate("headers.exists(name, name == 'cookie')", headers=headers) is True
    assert evaluate("headers.exists(k, v, k == 'accept' && v == 'text/html')", headers=headers) is True
    assert evaluate("size(headers)", headers=headers) == 2
    assert evaluate("headers.map(name, name)", headers=headers) == ["accept", "cookie"]
    assert evaluate("dyn(headers)['accept']", headers=headers) == "text/html"
    assert evaluate("type(headers) == map", headers=headers) is True


@pytest.mark.parametrize(
    "source",
    [
        "headers.cookie == 'a=1'",
        "headers[?'cookie'].orValue('') == ''",
        "headers.?cookie.hasValue()",
        "dyn(headers)[?'cookie'].hasValue()",
        "headers.all(k, v, v != '')",
    ],
)
def test_a_map_may_refuse_an_entry(source: str) -> None:
    with pytest.raises(cel.EvalError, match="`cookie` came 2 times"):
        evaluate(source, headers=HEADERS)


def test_one_entry_that_decides_makes_up_for_another_that_fails() -> None:
    assert evaluate("headers.all(k, v, v == '')", headers=HEADERS) is False
    assert evaluate("headers.exists(k, v, v == 'text/html')", headers=HEADERS) is True


def test_a_tuple_is_a_list() -> None:
    for value in ([1, 2], (1, 2)):
        assert cel.compile("x == [1, 2] && x[0] == 1 && size(x) == 2 && 2 in x")({"x": value}) is True
        typed = cel.compile("x == [1, 2] && x + [3] == [1, 2, 3]", variables={"x": cel.list_of(cel.INT)})
        assert typed({"x": value}) is True


def test_a_constant_list_is_made_anew_each_time() -> None:
    program = cel.compile("[1, 2]")
    program({}).append(3)
    assert program({}) == [1, 2]
    program = cel.compile("{'a': [1]}")
    program({})["a"].append(3)
    assert program({}) == {"a": [1]}


def test_true_is_not_one() -> None:
    program = cel.compile("[x == y, x in [y], x in {y: 0}, {y: 0}[?x].hasValue(), [x] == [y], {'k': x} == {'k': y}]")
    assert program({"x": 1, "y": True}) == [False] * 6
    assert program({"x": True, "y": 1}) == [False] * 6
    assert program({"x": 1, "y": cel.UInt(1)}) == [True] * 6


def test_a_map_may_have_true_and_one_as_keys() -> None:
    both = cel.compile("{true: 'a', 1: 'b', 0: 'c'}")({})
    assert sorted(map(repr, both.items())) == ["(0, 'c')", "(1, 'b')", "(True, 'a')"]
    program = cel.compile("x[true] + x[1] + string(size(x)) + x[1u]")
    assert program({"x": both}) == "ab3b"
    assert cel.compile("x == {0: 'c', 1: 'b', true: 'a'} && !(false in x)")({"x": both}) is True
    assert cel.compile("{false: 1}.transformMap(k, v, v) == {false: 1}")({}) is True
    assert cel.compile("x.transformMap(k, v, v) == x")({"x": both}) is True


def test_nan_equals_nothing_even_in_a_list() -> None:
    nan = float("nan")
    program = cel.compile("[x == x, [x] == [x], x in [x], {'k': x} == {'k': x}]", variables={"x": cel.DOUBLE})
    assert program({"x": nan}) == [False] * 4
    assert cel.compile("[x == x, [x] == [x], x in [x]]")({"x": nan}) == [False] * 3


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">="])
@pytest.mark.parametrize("types", [{"x": cel.DOUBLE}, None])
def test_an_order_with_nan_is_false_or_an_error(operator: str, types: dict[str, cel.CelType] | None) -> None:
    source = f"x {operator} 1.0 || 1.0 {operator} x || x {operator} x"
    assert cel.compile(source, variables=types)({"x": float("nan")}) is False
    strict = cel.compile(source, variables=types, nan_ordering_is_error=True)
    with pytest.raises(cel.EvalError, match="NaN"):
        strict({"x": float("nan")})
    assert strict({"x": float(operator in (">", ">=")) * 2}) is True


def test_an_error_of_nan_holds_for_ints_too() -> None:
    program = cel.compile("x < n", variables={"x": cel.DOUBLE, "n": cel.INT}, nan_ordering_is_error=True)
    assert program({"x": 1.5, "n": 2}) is True
    with pytest.raises(cel.EvalError, match="NaN"):
        program({"x": float("nan"), "n": 2})


def test_the_tree_shows_reads_and_constants() -> None:
    program = cel.compile("headers['x-a'] == 'b' && n > 1 + 1", variables=VARIABLES)
    (index,) = [node for node in cel.walk(program.tree) if isinstance(node, tree.Index)]
    assert isinstance(index.operand, tree.Variable)
    assert index.operand.name == "headers"
    assert isinstance(index.index, tree.Constant)
    assert (index.index.value, index.span.line, index.span.column, index.span.end_column) == ("x-a", 1, 1, 15)
    calls = [node.function for node in cel.walk(program.tree) if isinstance(node, tree.Call)]
    assert calls == ["_==_", "_>_", "_+_"]
    assert all(node.type is not None for node in cel.walk(program.tree))


def test_without_macros_a_macro_is_a_function_like_any_other() -> None:
    with pytest.raises(cel.CompileError, match="unknown method `all`"):
        cel.compile("[1].all(x, x)", macros=False, variables={"x": cel.BOOL})


def test_a_pattern_is_found_anywhere_in_the_text() -> None:
    program = cel.compile("x.matches('b+') && matches(x, p)", variables={"x": cel.STRING, "p": cel.STRING})
    assert program({"x": "abbc", "p": "^a.*c$"}) is True
    with pytest.raises(cel.EvalError, match="bad regular expression"):
        program({"x": "abbc", "p": "("})


@pytest.mark.parametrize(
    "sources",
    [
        ["n > 1", "b", "n > 1 && b"],
        ["[1, 2].exists(x, x == n)", "[1, 2].all(x, x < n)", "[n].map(x, x + 1) == [4]"],
        ["user.sub == 'u1'", "has(user.sub) || broken.json == 1", "'accept' in headers"],
    ],
)
def test_programs_come_together_to_what_each_comes_to(sources: list[str]) -> None:
    programs = [cel.compile(source, variables=VARIABLES) for source in sources]
    bindings = {"n": 3, "b": False, "user": KNOWN, "broken": Broken(), "headers": HEADERS}
    all_of_them = cel.together(programs)
    assert all_of_them is not None
    assert all_of_them(bindings) == [program(bindings) for program in programs]


@pytest.mark.parametrize("source", ["broken.json == 1", "missing == 1", "headers['cookie'] == ''", "1 / (n - 3) > 0"])
def test_programs_have_no_values_together_if_one_has_none(source: str) -> None:
    programs = [cel.compile(one, variables={**VARIABLES, "missing": cel.INT}) for one in ("n > 1", source, "b")]
    all_of_them = cel.together(programs)
    assert all_of_them is not None
    with pytest.raises(cel.EvalError):
        all_of_them({"n": 3, "b": False, "broken": Broken(), "headers": HEADERS})


def test_of_no_programs_there_is_no_function() -> None:
    assert cel.together([]) is None
