"""Every limit bites, and with no other exception than ours."""

from typing import Any

import pytest

from extauthz import cel

LONG = "a" * 900_000


def compile_error(source: str, **limits: int) -> str:
    with pytest.raises(cel.CompileError) as caught:
        cel.compile(source, limits=cel.Limits(**limits))
    return str(caught.value)


def eval_error(source: str, bindings: dict[str, Any] | None = None, **limits: int) -> str:
    with pytest.raises(cel.EvalError) as caught:
        cel.compile(source, limits=cel.Limits(**limits))(bindings or {})
    return caught.value.message


def test_source_length() -> None:
    assert cel.compile("1 + 1", limits=cel.Limits(source_length=5))({}) == 2
    assert "longer than 4 characters" in compile_error("1 + 1", source_length=4)


@pytest.mark.parametrize(
    "source",
    [
        "(((1)))",
        "[[[1]]]",
        "f(f(f(1)))",
        "1 + 1 + 1 + 1",
        "true ? 1 : true ? 1 : true ? 1 : 1",
        "x.a.b.c",
        "x[0][0][0]",
    ],
)
def test_nesting(source: str) -> None:
    assert "nested deeper than 2 levels" in compile_error(source, nesting=2)


@pytest.mark.parametrize("opening", ["(", "[", "{1:", "f(", "x ? 1 : ", "!(", "-(", "x.all(y, "])
def test_nesting_without_end(opening: str) -> None:
    assert "nested deeper than" in compile_error(opening * 3000)


def test_nodes() -> None:
    assert "more than 10 subexpressions" in compile_error("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", nodes=10)
    assert "more than 5000 subexpressions" in compile_error("1+" * 6000 + "1")


def test_problems() -> None:
    with pytest.raises(cel.CompileError) as caught:
        cel.compile("[" + "a b," * 100 + "]", limits=cel.Limits(problems=7))
    assert len(caught.value.problems) == 7


def test_comprehension_nesting() -> None:
    source = "x.all(a, x.all(b, x.all(c, true)))"
    assert cel.compile(source, limits=cel.Limits(comprehension_nesting=3))({"x": []}) is True
    assert "macros nested deeper than 2 levels" in compile_error(source, comprehension_nesting=2)


def test_regex_length() -> None:
    assert "longer than 3 characters" in compile_error("'a'.matches('aaaa')", regex_length=3)
    assert "longer than 3 characters" in eval_error("'a'.matches(p)", {"p": "aaaa"}, regex_length=3)


def test_regex_program() -> None:
    assert "instructions" in compile_error("'a'.matches('(a{200}){4}')", regex_program=500)
    assert "instructions" in eval_error("'a'.matches(p)", {"p": r"\pL{200}"})
    large = cel.compile("x.matches('^a{900}b{900}c{900}$')")
    assert [large({"x": "a" * 900 + "b" * 900 + "c" * count}) for count in (900, 899)] == [True, False]
    wide = cel.compile(r"x.matches('^(?i)[^x]{900}$')", limits=cel.Limits(regex_program=100_000, regex_steps=10**9))
    assert [wide({"x": "é" * 900}), wide({"x": "é" * 899})] == [True, False]


@pytest.mark.parametrize(
    "source",
    [
        "x.all(a, true)",
        "x.exists(a, false)",
        "x.map(a, a)",
        "x.filter(a, true)",
        "x.exists_one(a, true)",
        "x.transformMap(i, a, a)",
        "x.transformList(i, a, a)",
        "dyn(x).all(a, true)",
    ],
)
def test_iterations(source: str) -> None:
    program = cel.compile(source, limits=cel.Limits(iterations=100), variables={"x": cel.list_of(cel.INT)})
    program({"x": list(range(100))})
    with pytest.raises(cel.EvalError, match="too many elements visited"):
        program({"x": list(range(101))})


def test_iterations_of_all_loops_together() -> None:
    assert "too many" in eval_error("x.all(a, x.all(b, true))", {"x": [0] * 400})
    assert "too many" in eval_error("x.all(a, true) && x.all(a, true)", {"x": [0] * 60_000})
    assert "too many" in eval_error("x.all(a, x.all(b, x.all(c, x.all(d, true))))", {"x": [0] * 100})


@pytest.mark.parametrize(
    ("source", "bindings"),
    [
        ("x.all(a, a in x)", {"x": [str(number) for number in range(50_000)]}),
        ("x.all(a, x == y && y == x)", {"x": list(range(50_000)), "y": list(range(50_000))}),
        ("x.all(a, !s.contains('b'))", {"x": list(range(50_000)), "s": LONG}),
        ("x.all(a, !s.matches('b$'))", {"x": list(range(50_000)), "s": LONG}),
        ("x.all(a, s != t)", {"x": list(range(50_000)), "s": LONG, "t": LONG[:-1] + "b"}),
        ("x.all(a, size(s + s) > 0)", {"x": list(range(50_000)), "s": LONG[:400_000]}),
        ("x.all(a, size(s.split('b')) > 0)", {"x": list(range(50_000)), "s": LONG}),
        ("x.all(a, [x] == [x])", {"x": list(range(50_000))}),
    ],
)
@pytest.mark.parametrize("typed", [False, True])
def test_what_functions_read_in_loops_counts(source: str, bindings: dict[str, Any], typed: bool) -> None:
    kind = cel.STRING if isinstance(bindings["x"][0], str) else cel.INT
    lists = {name: cel.list_of(kind) if isinstance(value, list) else cel.STRING for name, value in bindings.items()}
    program = cel.compile(source, variables=lists if typed else None)
    with pytest.raises(cel.EvalError, match="too many elements visited"):
        program(bindings)


@pytest.mark.parametrize(
    "source",
    [
        "s + s",
        "dyn(s) + dyn(s)",
        "b + b",
        "[s, s].join()",
        "[s].join(s)",
        "['a', 'b', 'c'].join(s)",
        "s.replace('', s)",
        "s.replace('a', 'bb', 200000)",
        "'%s%s'.format([s, s])",
        "'%s'.format([[s, s]])",
        "'%s'.format([{'a': s, 'b': s}])",
        "'%x'.format([s])",
        "strings.quote(s)",
        "base64.encode(b)",
        "cel.bind(x, s + 'a', x + x)",
        "[1, 2].map(x, s).join()",
    ],
)
def test_string_length(source: str) -> None:
    with pytest.raises(cel.EvalError, match="longer than the limits allow"):
        cel.compile(source)({"s": LONG, "b": LONG.encode()})


def test_doubling_ends_soon() -> None:
    steps = "".join(f"cel.bind(x{i}, x{i - 1} + x{i - 1}, " for i in range(1, 50))
    source = f"cel.bind(x0, s, {steps}size(x49){')' * 50}"
    assert "longer than" in eval_error(source, {"s": "ab"})
    assert "longer than" in eval_error(source, {"s": [1, 2]})


def test_a_list_that_holds_itself_many_times_is_too_much_to_compare() -> None:
    steps = "".join(f"cel.bind(x{i}, [x{i - 1}, x{i - 1}], " for i in range(1, 41))
    for last in ("x40 == dyn(x40)", "[x40] == [x40]", "x40 in [x40]", "{'a': x40} == {'a': x40}"):
        assert "too many values to compare" in eval_error(f"cel.bind(x0, [1], {steps}{last}{')' * 41}")
    message = eval_error(f"cel.bind(x0, [1], {steps}'%s'.format([x30]){')' * 41}")
    assert "longer than the limits allow" in message


@pytest.mark.parametrize("source", ["x + x", "dyn(x) + x", "s.split('')", "s.split('a')", "s.split('a', 70000)"])
def test_list_length(source: str) -> None:
    bindings = {"x": [0] * 60_000, "s": "a" * 200_000}
    assert "longer than" in eval_error(source, bindings, list_length=60_000)


def test_list_length_of_a_macro() -> None:
    assert "longer than" in eval_error("x.map(a, a)", {"x": [0] * 11}, list_length=10)
    assert cel.compile("x.filter(a, a > 0)", limits=cel.Limits(list_length=10))({"x": [0] * 11}) == []


def test_depth_of_inputs() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for source in ("x == [x]", "x in [x]", "x == y", "'%s'.format([x])"):
        assert "nested too deeply" in eval_error(source, {"x": deep, "y": [deep]})


@pytest.mark.parametrize(
    "source",
    [
        "x + 1",
        "x * x",
        "-x",
        "x / 1",
        "string(x)",
        "double(x)",
        "uint(x)",
        "'%d'.format([x])",
        "x == 1.0",
        "x < 1.0",
    ],
)
def test_integers_beyond_64_bits(source: str) -> None:
    eval_error(source, {"x": 10**5000})


@pytest.mark.parametrize("join", ["{} && !({})", "({} || x.a && {})"])
def test_chains_within_chains_do_not_nest_too_far_for_python(join: str) -> None:
    source = "x.b"
    for _ in range(25):
        source = join.format("x.a", source)
    program = cel.compile(source, limits=cel.Limits(nesting=200))
    assert program({"x": {"a": True, "b": True}}) in (True, False)


def test_what_python_can_not_compile_is_a_compile_error() -> None:
    source = "".join("[x.a && " for _ in range(30)) + "x.a" + "][0]" * 30
    assert "nested too deeply" in compile_error(source, nesting=200)


def test_a_long_chain_is_no_nesting() -> None:
    program = cel.compile(" && ".join(["x.a > 0"] * 800))
    assert program({"x": {"a": 1}}) is True


def test_what_python_can_not_compile_to_explain_it_is_explained_as_a_whole() -> None:
    source = "x.b"
    for _ in range(30):
        source = f"(x.a && ({source} || x.b))"
    program = cel.compile(source, limits=cel.Limits(nesting=200))
    (step,) = cel.explain(program, {"x": {"a": True, "b": True}})
    assert step.value is True
    (step,) = cel.explain(program, {})
    assert isinstance(step.value, cel.EvalError)


def test_what_python_can_not_compile_for_a_missing_variable_fails() -> None:
    # Where every variable is there, nothing in it can fail; where one may be missing, every term can.
    source = "b"
    for _ in range(30):
        source = f"size([b && {source}]) == 1"
    program = cel.compile(source, limits=cel.Limits(nesting=200), variables={"b": cel.BOOL})
    assert program({"b": True}) is True
    with pytest.raises(cel.EvalError, match="nested too deeply"):
        program({})


STATES = "(a|b)*a(a|b){99}c"
"""An expression whose automaton makes a state for nearly every character of a text of `a` and `b`."""


def test_a_long_text_and_a_large_expression() -> None:
    program = cel.compile(f"s.matches('{STATES}')")
    assert program({"s": "a" * 10_000}) is False
    with pytest.raises(cel.EvalError, match="too long for a regular expression of this size"):
        program({"s": "a" * 50_000})
    with pytest.raises(cel.EvalError, match="too long for a regular expression of this size"):
        program({"s": "é" * 10_000})
    small = cel.compile("s.matches('^(a|b)*a(a|b){10}c')")
    assert small({"s": LONG}) is False


@pytest.mark.parametrize("pattern", [f"'{STATES}'", "p"])
def test_what_is_searched_in_loops_counts(pattern: str) -> None:
    bindings = {"x": ["a" * 100] * 1_000, "p": STATES}
    program = cel.compile(f"x.exists(a, a.matches({pattern}))")
    assert program({**bindings, "x": bindings["x"][:100]}) is False
    with pytest.raises(cel.EvalError, match="too many elements visited"):
        program(bindings)
    small = cel.compile("x.exists(a, a.matches('[0-9]{16}'))")
    assert small(bindings) is False
