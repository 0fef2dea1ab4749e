"""What errors say and where they point."""

import pickle

import pytest

from extauthz import cel

VARIABLES: dict[str, cel.CelType] = {
    "request": cel.StructType("Request", {"method": cel.STRING, "headers": cel.map_of(cel.STRING, cel.STRING)}),
    "request.params": cel.map_of(cel.STRING, cel.STRING),
    "geo.country": cel.STRING,
    "n": cel.INT,
    "s": cel.STRING,
    "d": cel.DOUBLE,
    "l": cel.list_of(cel.INT),
}


def problems(source: str) -> list[str]:
    with pytest.raises(cel.CompileError) as caught:
        cel.compile(source, variables=VARIABLES)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("request.heders.x == ''", "1:1: `Request` has no field `heders`; did you mean `headers`?"),
        ("request.zzz == ''", "1:1: `Request` has no field `zzz`; its fields are method, "),
        ("reqest.method", "1:1: undeclared name `reqest`; did you mean `request`?"),
        ("geo.city", "1:1: undeclared name `geo`; declared are `geo.country`"),
        ("s.startWith('a')", "1:1: unknown method `startWith`; did you mean `startsWith`?"),
        ("startsWith(s, 'a')", "1:1: unknown function `startsWith`; call it as `x.startsWith()`"),
        ("math.abz(1)", "1:1: unknown function `math.abz`; did you mean `math.abs`?"),
        ("n == 'a'", "1:1: `==` does not take (int, string); convert one side, or compare `dyn(…)`"),
        ("s > 10", "1:1: `>` does not take (string, int); convert the text with `int(…)`"),
        ("1.5 <= s", "1:1: `<=` does not take (double, string); convert the text with `double(…)`"),
        ("timestamp(0) < '2026'", "1:1: `<` does not take (google.protobuf.Timestamp, string); convert the text with"),
        ("l.contains('a')", "1:1: `contains` does not take (list(int), string); write `x in list`"),
        ("true and false", "1:6: unexpected `and`, expected an operator; write `&&`"),
        ("true or false", "1:6: unexpected `or`, expected an operator; write `||`"),
        ("n + d", "1:1: `+` does not take (int, double); it takes (bytes, bytes), (double, double),"),
        ("n && true", "1:1: a condition must be `bool`, not `int`"),
        ("n ? 1 : 2", "1:1: a condition must be `bool`, not `int`"),
        ("true ? 1 : 'a'", "1:1: `?:` gives `int` or `string`; make them one type, or wrap one in `dyn(…)`"),
        ("l['a']", "1:3: the index of a list must be `int`, not `string`"),
        ("request.headers[1]", "1:17: the key must be `string`, not `int`"),
        ("n.x", "1:1: `int` has no field `x`"),
        ("n[0]", "1:1: `int` has no items"),
        ("request['method']", "1:1: `Request` has no items; write `.` and the name of the field"),
        ("s.all(x, true)", "1:1: `string` has no elements to visit; macros visit lists and maps"),
        ("l.all(x.y, true)", "1:7: a macro's variable must be a plain name"),
        ("l.all(x, x, true)", "1:10: two variables of one name `x`; choose another name"),
        ("has(n)", "1:5: has() tests a field; write has(e.f), or `k in m` for a key of a map"),
        ("{1.5: 1}", "1:2: `double` is no type for a key; keys are bool, int, uint or string"),
        ("[?n]", "1:3: what follows `?` must be `optional_type(dyn)`, not `int`"),
        ("n.optMap(x, x)", "1:1: what optMap() is called on must be `optional_type(dyn)`, not `int`"),
        ("math.greatest()", "1:1: math.greatest() needs an argument"),
        ("Foo{a: 1}", "1:4: messages can't be constructed; write a map without a name before it"),
        ("for", "1:1: `for` is a reserved word; choose another name"),
        ("if(1)", "1:1: `if` is a reserved word; choose another name"),
        ("1 = 2", "1:3: unexpected character `=`; write `==`"),
        ("'abc", "1:1: string without an end; close it with `'`"),
        ("'a\\qb'", "1:3: unknown escape `\\q`; write `\\\\` for a backslash, or a raw string r'…'"),
        ("b'\\u0041'", "1:3: `\\u0041` stands for a character, not a byte; write `\\x` escapes"),
        ("'\\ud800'", "1:2: `\\ud800` is no character of Unicode"),
        ("9223372036854775808", "1:1: int out of range; it is between -9223372036854775808 and 9223372036854775807"),
        ("-1u", "1:1: uint out of range; the largest is 18446744073709551615u, the least 0u"),
        ("1e999", "1:1: double out of range; write double('inf') for infinity"),
        ("s.matches('(')", "1:11: bad regular expression: missing ): `(`"),
        ("cidr('10.0.0.0/33')", "1:6: `10.0.0.0/33` is no network; its prefix has 32 bits at most"),
        ("ip('1.2.3')", "1:4: `1.2.3` is no IP address"),
        ("duration('5 minutes')", "1:10: `5 minutes` is no duration; write it like 1h30m or 250ms"),
        ("timestamp('yesterday')", "1:11: `yesterday` is no timestamp; write it like 2026-11-21T10:00:00Z"),
        (
            "timestamp(0).getHours('Mars')",
            "1:23: unknown time zone `Mars`; write its IANA name or an offset",
        ),
        ("", "1:1: unexpected end of the expression, expected an expression"),
        ("(1", "1:3: unexpected end of the expression, expected `)`"),
        ("a b", "1:3: unexpected `b`, expected an operator"),
        ("x.", "1:3: unexpected end of the expression, expected the name of a field"),
        ("{1}", "1:3: unexpected `}`, expected `:`"),
        ("f(1,)", "1:5: unexpected `)`, expected an expression"),
        ("s.exists_one(x, x, x, x, x)", "1:1: unknown method `exists_one`"),
    ],
)
def test_a_problem_names_its_place_and_the_mend(source: str, expected: str) -> None:
    assert any(problem.startswith(expected) for problem in problems(source)), problems(source)


def test_all_problems_are_listed_in_the_order_of_the_source() -> None:
    found = problems("foo(1 +, bar) && request.metod == 1\n  && [1, , 2] == l && n + 'a' && baz")
    assert found[5].startswith("2:23: `+` does not take (int, string); it takes (bytes, bytes), (double, double),")
    assert found == [
        "1:1: unknown function `foo`",
        "1:8: unexpected `,`, expected an expression",
        "1:10: undeclared name `bar`",
        "1:18: `Request` has no field `metod`; did you mean `method`?",
        "2:10: unexpected `,`, expected an expression",
        found[5],
        "2:34: undeclared name `baz`",
    ]


def test_the_picture_has_a_caret_under_the_place() -> None:
    with pytest.raises(cel.CompileError) as caught:
        cel.compile("n > 1 &&\n\tm == 2", variables=VARIABLES)
    assert caught.value.render() == "2:2: undeclared name `m`\n | \tm == 2\n | \t^"


def test_columns_count_characters() -> None:
    with pytest.raises(cel.CompileError) as caught:
        cel.compile("'🐱é' + zz", variables={})
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.end_line, problem.end_column) == (1, 8, 1, 10)
    assert caught.value.render().splitlines()[2] == " |        ^^"


def test_the_picture_of_a_long_line_is_a_window() -> None:
    source = "'" + "x" * 1000 + "' + zz + '" + "y" * 1000 + "'"
    with pytest.raises(cel.CompileError) as caught:
        cel.compile(source, variables={})
    _, line, carets = caught.value.render().splitlines()
    assert len(line) == 123
    assert line[carets.index("^") : carets.index("^") + 2] == "zz"


@pytest.mark.parametrize(
    ("source", "line", "column", "message"),
    [
        ("1 +\n m['x']", 2, 2, "no such key: `x`"),
        ("m[string(n)]", 1, 1, "no such key: “9”"),
        ("m[?'k'].orValue(m['x'])", 1, 17, "no such key: `x`"),
        ("int('x' + string(n))", 1, 1, "“x9” is no int"),
        ("[1, 2][n]", 1, 1, "index out of range: “9”"),
        ("[1, 2][-n]", 1, 1, "index out of range: “-9”"),
        ("true && (1 / (n - 9) > 0 || false)", 1, 10, "division by zero"),
        ("[3, 0].map(x, 6 / x)", 1, 15, "division by zero"),
        ("[3, 0].all(x, 6 / x > 0)", 1, 15, "division by zero"),
        ("n * 9223372036854775807", 1, 1, "int overflow: the result does not fit 64 bits"),
        ("string(dyn(b'\\xff'))", 1, 1, "the bytes are no UTF-8"),
        ("dyn('a') + 1", 1, 1, "no such overload: `+` does not take these types"),
        ("dyn(1) && false || dyn(1)", 1, 20, "no such overload: a condition must be a bool"),
    ],
)
def test_an_eval_error_names_its_place(source: str, line: int, column: int, message: str) -> None:
    with pytest.raises(cel.EvalError) as caught:
        cel.compile(source)({"m": {}, "n": 9})
    assert (caught.value.line, caught.value.column, caught.value.message) == (line, column, message)
    assert str(caught.value) == f"{line}:{column}: {message}"


def test_of_two_errors_the_first_is_raised() -> None:
    for source in ("m.a && m.b", "m.a || m.b", "(m.a || m.b) && m.c", "m.a && (m.b || m.c)"):
        with pytest.raises(cel.EvalError, match="no such key: `a`"):
            cel.compile(source)({"m": {}})


def test_a_compile_error_can_cross_processes() -> None:
    with pytest.raises(cel.CompileError) as caught:
        cel.compile("a b")
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  # our own bytes
    assert copy.render() == caught.value.render()
    assert copy.problems == caught.value.problems


def test_errors_have_one_base() -> None:
    assert issubclass(cel.CompileError, cel.CelError)
    assert issubclass(cel.EvalError, cel.CelError)
    assert (cel.EvalError("x").line, cel.EvalError("x").column) == (None, None)
