"""Functions of an application's own: what they read, how they are chosen, and what their errors become."""

from collections.abc import Mapping

import pytest

from extauthz import cel


def rate(facts: Mapping[str, int], key: str, window: cel.Duration) -> int:
    if key not in facts:
        raise cel.EvalError(f"rate of `{key}` was not fetched")
    return facts[key] * window.seconds


RATE = cel.Function("rate", [cel.Overload("rate_key", (cel.STRING, cel.DURATION), cel.INT, rate, bindings=("facts",))])
TWICE = cel.Function(
    "twice",
    [
        cel.Overload("twice_int", (cel.INT,), cel.INT, lambda value: value * 2),
        cel.Overload(
            "twice_string", (cel.STRING,), cel.STRING, lambda facts, value: value * facts, bindings=("facts",)
        ),
        cel.Overload("int_twice", (cel.INT,), cel.INT, lambda value: value * 2, member=True),
    ],
)


def test_a_function_reads_the_bindings_it_names() -> None:
    program = cel.compile("rate('a', duration('2s')) > 5", variables={}, functions=[RATE])
    assert program({"facts": {"a": 3}}) is True
    with pytest.raises(cel.EvalError, match="1:1: rate of `a` was not fetched"):
        program({"facts": {}})
    with pytest.raises(cel.EvalError, match="variable `facts` is not bound"):
        program({})


def test_an_overload_is_chosen_by_values_where_types_do_not_tell() -> None:
    program = cel.compile("twice(x)", functions=[TWICE])
    assert program({"x": 2, "facts": 3}) == 4
    assert program({"x": "a", "facts": 3}) == "aaa"
    with pytest.raises(cel.EvalError, match="no such overload"):
        program({"x": 2.0, "facts": 3})
    assert cel.compile("x.twice() + twice(3)", functions=[TWICE])({"x": 1, "facts": 0}) == 8


def test_a_function_extends_one_of_the_library() -> None:
    size = cel.Function("size", [cel.Overload("size_bool", (cel.BOOL,), cel.INT, lambda _: 1)])
    assert cel.compile("size(true) + size('ab') + size(x)", functions=[size])({"x": [1]}) == 4


def test_an_overload_has_an_id_of_its_own() -> None:
    function = cel.Function("mine", [cel.Overload("starts_with_string", (cel.STRING,), cel.BOOL, bool)])
    with pytest.raises(ValueError, match="has the id of one of the library"):
        cel.compile("mine('a')", functions=[function])


def test_a_function_of_an_application_has_no_known_bounds() -> None:
    size = cel.Function("size", [cel.Overload("size_bool", (cel.BOOL,), cel.INT, lambda _: -1)])
    with pytest.raises(cel.EvalError, match="index out of range"):
        cel.compile("[1, 2][size(b)]", variables={"b": cel.BOOL}, functions=[size])({"b": True})


def test_a_function_needs_an_overload() -> None:
    with pytest.raises(ValueError, match="needs an overload"):
        cel.Function("empty", [])


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), TypeError("x"), RecursionError(), MemoryError()])
def test_whatever_an_implementation_raises_is_an_eval_error(error: Exception) -> None:
    def fail(_: object) -> None:
        raise error

    function = cel.Function("fail", [cel.Overload("fail", (cel.DYN,), cel.BOOL, fail)])
    with pytest.raises(cel.EvalError) as caught:
        cel.compile("true && fail(x)", functions=[function])({"x": 1})
    assert (caught.value.line, caught.value.column) == (1, 9)
    assert cel.compile("fail(x) || true", functions=[function])({"x": 1}) is True


def test_an_error_kept_by_the_application_stays_as_it_is() -> None:
    kept = cel.EvalError("kept")

    def fail(_: object) -> None:
        raise kept

    function = cel.Function("fail", [cel.Overload("fail", (cel.DYN,), cel.BOOL, fail)])
    for source, column in (("fail(x)", 1), ("  fail(x)", 3)):
        with pytest.raises(cel.EvalError) as caught:
            cel.compile(source, functions=[function])({"x": 1})
        assert caught.value.column == column
    assert kept.span is None
    assert str(kept) == "kept"
