"""Attribute sources: who can be asked for external facts, what a question is made of, and what an answer looks like.

The rule kept here: what is asked depends on the request, on the caller and on the operator's context, and on nothing
that must itself be looked up or that changes by itself. So equal questions have equal answers for a while, and a
question is known before anybody is asked.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from extauthz import cel
from extauthz.policy.context import NAMES, RequestScope
from extauthz.policy.plain import Json, json_value
from extauthz.policy.reads import ATTRIBUTES
from extauthz.policy.rules import Programs

ASKABLE: Final[Mapping[str, cel.CelType]] = {
    name: NAMES[name]
    for name in (
        "request",
        "source",
        "destination",
        "tls",
        "workload",
        "user",
        "context",
        "metadata",
        "route",
        "client",
    )
}
"""What the expressions of `ask` see."""
LONGEST: Final = 8192
"""Characters of one question: most of it comes from whoever sends the request."""


class Question(NamedTuple):
    """What is asked of one source, by name, and the text that stands for exactly that: `1`, `1.0`, `true` and `"1"`
    are four questions.
    """

    asked: Mapping[str, Json]
    text: str


class AttributeSource(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One source: its `name`, what it is asked (`ask`), and the types of the `fields` that it tells."""

    name: str
    ask: Programs
    fields: Mapping[str, cel.CelType]

    def question(self, scope: RequestScope) -> Question:
        """What to ask about one request, which `scope` is of.

        Raises:
            EvalError: it can't be worked out, JSON does not have it, or it is longer than `LONGEST`.
        """
        asked = {name: json_value(program.evaluate(scope)) for name, program in self.ask}
        text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
        if len(text) > LONGEST:
            raise cel.EvalError(f"what is asked of `{self.name}` has more than {LONGEST} characters")
        return Question(asked, text)


def ask_program(source: str) -> cel.Program:
    """An expression of `ask`, compiled. Raises `CompileError`."""
    return cel.compile(source, variables=ASKABLE, nan_ordering_is_error=True)


def attributes_type(sources: Iterable[AttributeSource]) -> cel.StructType:
    """The type of `attributes` where these are declared."""
    return cel.StructType(ATTRIBUTES, {source.name: _type_of(source) for source in sources}, entries=True)


def _type_of(source: AttributeSource) -> cel.StructType:
    fields = {name: cel.Field(kind, optional=True) for name, kind in source.fields.items()}
    return cel.StructType(f"{ATTRIBUTES}.{source.name}", fields, entries=True)
