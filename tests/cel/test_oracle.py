"""The compiled program and the oracle agree: the same value, or both fail."""

import random
from typing import Any

from cel_support.expressions import VARIABLES, inputs, written
from cel_support.oracle import evaluate
from cel_support.oracle_values import Failed
from cel_support.vectors import canonical
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extauthz import cel

FAILED = "failed"
SETTINGS = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


def by_program(program: cel.Program, bindings: dict[str, Any]) -> object:
    try:
        return canonical(program(bindings))
    except cel.EvalError:
        return FAILED


def by_oracle(program: cel.Program, bindings: dict[str, Any]) -> object:
    try:
        return canonical(evaluate(program.tree, bindings))
    except Failed:
        return FAILED


@given(st.integers(0, 2**32))
@SETTINGS
def test_a_well_typed_program_and_the_oracle_agree(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # test data
    source = written(chance, mixed=False)
    program = cel.compile(source, variables=VARIABLES)
    for _ in range(5):
        bindings = inputs(chance)
        assert by_program(program, bindings) == by_oracle(program, bindings), source


@given(st.integers(0, 2**32))
@SETTINGS
def test_an_ill_typed_program_and_the_oracle_agree(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # test data
    source = written(chance, mixed=True)
    program = cel.compile(source, variables={name: VARIABLES[name] for name in VARIABLES}, check=False)
    for _ in range(5):
        bindings = inputs(chance)
        bindings.pop("r", None)
        assert by_program(program, bindings) == by_oracle(program, bindings), source
