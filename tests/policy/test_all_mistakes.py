"""All mistakes are told at once, each with one message at its place, and none hides another one."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy.mistakes import HIDDEN_BY, MISTAKES, Mistake, changed, good, told
from pydantic import BaseModel

from extauthz.policy import models
from extauthz.policy.mending import STAND_INS
from extauthz.policy.ordering import in_order
from extauthz.policy.problems import Path, Problem
from extauthz.policy.risk_document import RiskModelDocument


def seen(problems: Iterable[Problem]) -> Counter[tuple[str, str]]:
    """What problems say, and the source that they point at, which may have moved to another line."""
    return Counter((problem.message, problem.source_line.strip(" ,")) for problem in problems)


BY_NAME = {mistake.name: mistake for mistake in MISTAKES}


@cache
def told_alone(name: str) -> tuple[Problem, ...]:
    """What is told of a mistake when nothing else is wrong."""
    return told(changed([BY_NAME[name]]))


def alone(name: str) -> Counter[tuple[str, str]]:
    return seen(told_alone(name))


def compatible(names: Iterable[str]) -> list[Mistake]:
    """Those mistakes that can be made together, and of which none hides another one."""
    chosen: list[Mistake] = []
    for mistake in map(BY_NAME.__getitem__, names):
        hides = any({one.name} & HIDDEN_BY.get(mistake.name, frozenset()) for one in chosen)
        hidden = any({mistake.name} & HIDDEN_BY.get(one.name, frozenset()) for one in chosen)
        if not (hides or hidden or any(mistake.conflicts(one) for one in chosen)):
            chosen.append(mistake)
    return chosen


def test_the_documents_are_good_without_a_mistake() -> None:
    assert told(good()) == ()


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_told_once(mistake: Mistake) -> None:
    (problem,) = told_alone(mistake.name)
    assert mistake.message in problem.message
    assert problem.line >= 1


@given(st.lists(st.sampled_from(sorted(BY_NAME)), min_size=2, max_size=6, unique=True))
@settings(max_examples=100)
def test_mistakes_made_together_are_what_they_are_alone(names: list[str]) -> None:
    together = compatible(names)
    expected = sum((alone(mistake.name) for mistake in together), Counter[tuple[str, str]]())
    assert seen(told(changed(together))) == expected


@given(st.permutations(sorted(BY_NAME)))
@settings(max_examples=25)
def test_as_many_mistakes_as_can_be_made_are_told_in_the_order_of_their_places(names: list[str]) -> None:
    together = compatible(names)
    problems = told(changed(together))
    assert len(together) > 12
    assert len(problems) == len(together)
    places = [(problem.line, problem.column) for problem in problems]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("hidden", "hiding"), [(one, other) for one, others in HIDDEN_BY.items() for other in sorted(others)]
)
def test_what_one_mistake_hides_is_told_when_that_is_mended(hidden: str, hiding: str) -> None:
    assert seen(told(changed([BY_NAME[hidden], BY_NAME[hiding]]))) == alone(hiding)
    assert alone(hidden)


def places(value: object, path: Path = ()) -> Iterator[Path]:
    """The ways to all values in lists and mappings."""
    steps: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict | list):
        steps = value.items() if isinstance(value, dict) else enumerate(value)
    for step, inner in steps:
        yield (*path, step)
        yield from places(inner, (*path, step))


PLACES = sorted(places(good()), key=str)
TEXTS = ("", "a", "user.sub", "*", "/v1", "1h", "deny")
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 500) | st.sampled_from(TEXTS),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["cel", "x-a"]), inner, max_size=2),
    max_leaves=4,
)
KINDS: dict[str, type[BaseModel]] = {
    "Policy": models.PolicyDocument,
    "RiskModel": RiskModelDocument,
    "Definitions": models.DefinitionsDocument,
}


@given(st.lists(st.tuples(st.sampled_from(PLACES), ANYTHING), min_size=1, max_size=4))
@settings(max_examples=100)
def test_what_can_not_be_read_as_it_is_written_is_never_in_force(changes: list[tuple[Path, object]]) -> None:
    documents: list[Any] = good()
    for path, value in changes:
        # An earlier change may have taken the place away.
        with suppress(LookupError, TypeError):
            around: Any = documents
            for step in path[:-1]:
                around = around[step]
            around[path[-1]] = value
    problems = told(documents)
    assert all(problem.line and problem.message for problem in problems)
    if not problems:
        for document in filter(None, documents):
            KINDS[document["kind"]].model_validate(document)


WHOLE = (models.PolicyDocument, RiskModelDocument, models.DefinitionsDocument)


def test_what_stands_in_for_a_missing_field_is_a_value_of_it() -> None:
    for model, field in STAND_INS:
        fields = {one.alias or name: one for name, one in model.model_fields.items()}
        required = {name: STAND_INS.get((model, name)) for name, one in fields.items() if one.is_required()}
        assert field in required
        if model not in WHOLE:  # a `spec` that is missing is not replaced
            model.model_validate(required)
    metadata, spec = {"name": "a"}, {"rules": [{"name": "a", "effect": "deny"}]}
    whole = {"apiVersion": "extauthz/v1", "kind": "Policy", "metadata": metadata, "spec": spec}
    for (model, field), value in STAND_INS.items():
        if model is models.PolicyDocument:
            models.PolicyDocument.model_validate({**whole, field: value})


GRAPHS = st.dictionaries(st.sampled_from("abcdef"), st.sets(st.sampled_from("abcdefg")), max_size=6)


@given(GRAPHS)
def test_each_name_comes_once_and_after_all_that_it_needs_but_for_its_circle(needs: dict[str, set[str]]) -> None:
    groups = list(in_order(needs))
    assert sorted(itertools.chain(*groups)) == sorted(needs)
    known: set[str] = set()
    for group in groups:
        for name in group:
            assert needs[name] & needs.keys() <= known | set(group)
        known |= set(group)


@given(GRAPHS)
def test_names_come_together_only_if_each_needs_each(needs: dict[str, set[str]]) -> None:
    for group in in_order(needs):
        for first, last in itertools.permutations(group, 2):
            reached = {first}
            while not (more := {name for one in reached for name in needs.get(one, ())}) <= reached:
                reached |= more
            assert last in reached


@given(GRAPHS)
def test_the_order_of_names_means_nothing(needs: dict[str, set[str]]) -> None:
    assert list(in_order(dict(reversed(needs.items())))) == list(in_order(needs))
