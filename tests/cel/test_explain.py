"""What explain() tells of an evaluation."""

from extauthz import cel


def steps(source: str, **bindings: object) -> list[tuple[str, object]]:
    program = cel.compile(source)
    return [
        (step.source, step.value.message if isinstance(step.value, cel.EvalError) else step.value)
        for step in cel.explain(program, bindings)
    ]


def test_every_subexpression_has_its_value() -> None:
    assert steps("n > 1 && s.startsWith('a')", n=2, s="b") == [
        ("n", 2),
        ("1", 1),
        ("n > 1", True),
        ("s", "b"),
        ("'a'", "a"),
        ("s.startsWith('a')", False),
        ("n > 1 && s.startsWith('a')", False),
    ]


def test_what_is_not_evaluated_is_missing() -> None:
    assert steps("b ? 1 : missing", b=True) == [("b", True), ("1", 1), ("b ? 1 : missing", 1)]
    assert ("missing", 1) not in steps("true || missing")


def test_constants_are_shown_before_they_are_folded() -> None:
    assert steps("1 + 2") == [("1", 1), ("2", 2), ("1 + 2", 3)]


def test_a_macro_shows_each_element() -> None:
    assert steps("[1, 2].exists(x, x > 1)")[3:] == [
        ("x", 1),
        ("1", 1),
        ("x > 1", False),
        ("x", 2),
        ("1", 1),
        ("x > 1", True),
        ("[1, 2].exists(x, x > 1)", True),
    ]


def test_a_function_in_a_macro_is_shown_once() -> None:
    found = steps("l.exists(x, x in l)", l=["a"])
    assert found == [("l", ["a"]), ("x", "a"), ("l", ["a"]), ("x in l", True), ("l.exists(x, x in l)", True)]


def test_an_error_is_shown_where_it_happened_even_if_it_is_absorbed() -> None:
    assert steps("m.a == 1 || true", m={}) == [
        ("m", {}),
        ("m.a", "no such key: `a`"),
        ("true", True),
        ("m.a == 1 || true", True),
    ]


def test_the_last_step_is_the_whole() -> None:
    assert steps("missing + 1") == [
        ("missing", "variable `missing` is not bound"),
        ("missing + 1", "variable `missing` is not bound"),
    ]


def test_steps_have_their_places() -> None:
    program = cel.compile("1 +\n  x")
    step = cel.explain(program, {"x": 2})[1]
    assert (step.source, step.span.line, step.span.column) == ("x", 2, 3)


def test_the_steps_kept_are_bounded() -> None:
    program = cel.compile("l.all(x, x > -1)")
    assert len(cel.explain(program, {"l": list(range(20_000))})) == 10_000
    assert cel.explain(program, {"l": list(range(20_000))})[-1].source == program.source
