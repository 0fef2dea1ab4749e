"""Nothing but CelError leaves, whatever the source or the input.

The run is bounded; `CEL_FUZZ_EXAMPLES` in the environment makes it longer.
"""

import os
import random
from collections.abc import Callable
from contextlib import suppress

from cel_support.expressions import VARIABLES, anything, inputs, written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extauthz import cel

EXAMPLES = int(os.environ.get("CEL_FUZZ_EXAMPLES", "500"))
SETTINGS = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
PIECES = [
    *("(", ")", "[", "]", "{", "}", ".", ",", "?", ":", "&&", "||", "!", "-", "+", "*", "/", "%", "==", "<", " in "),
    *("'a'", "b'\\xff'", "r'", "'''", '"', "1", "1u", "0x", "1e", "9e999", ".5", "x", "s", "has(", ".map(v,", ".all("),
    *("cel.bind(", "optional.of(", ".matches('", ".format([", "\n", "\\", "\0", "é", "\U0001f600", "`a-b`", "[?", ".?"),
    *("duration('", "timestamp(", "type(", "true", "null", "//", "math.greatest(", "ip('", "cidr('", "int(", "double("),
]


def check(source: str, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # test data
    declared = chance.random() < 0.5
    try:
        program = cel.compile(
            source,
            variables=VARIABLES if declared else None,
            check=chance.random() < 0.5,
            macros=chance.random() < 0.9,
        )
    except cel.CompileError as error:
        error.render()
        return
    # Values of declared variables are of their types: that is for the caller to see to.
    bindings = inputs(chance) if declared else {name: anything(chance, 3) for name in VARIABLES}
    with suppress(cel.EvalError):
        program(bindings)
    assert cel.explain(program, bindings)


def changed(seed: int, changes: list[tuple[int, str]]) -> str:
    """An expression with some pieces replaced."""
    source = written(random.Random(seed), mixed=True)  # noqa: S311  # test data
    for position, piece in changes:
        place = position % (len(source) + 1)
        source = source[:place] + piece + source[place + 1 :]
    return source


@given(st.text(max_size=40), st.integers(0, 2**32))
@SETTINGS
def test_any_text(source: str, seed: int) -> None:
    check(source, seed)


@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join), st.integers(0, 2**32))
@SETTINGS
def test_any_sequence_of_tokens(source: str, seed: int) -> None:
    check(source, seed)


@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["", *PIECES])), max_size=3))
@SETTINGS
def test_any_expression_with_some_pieces_replaced(seed: int, changes: list[tuple[int, str]]) -> None:
    check(changed(seed, changes), seed)


@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["", *PIECES])), max_size=1))
@settings(SETTINGS, max_examples=100)
def test_what_is_read_is_the_tree_of_what_is_compiled_unchecked(seed: int, changes: list[tuple[int, str]]) -> None:
    source = changed(seed, changes)

    def outcome(tree: Callable[[], object]) -> object:
        try:
            return repr(tree())  # in which a NaN is what it is
        except cel.CompileError as error:
            return error.problems

    assert outcome(lambda: cel.read(source, variables=VARIABLES)) == outcome(
        lambda: cel.compile(source, variables=VARIABLES, check=False).tree
    )
