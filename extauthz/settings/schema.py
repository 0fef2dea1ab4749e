"""The JSON Schema (2020-12) of `extauthz.yaml`, made from the models that read it, with what every key does.

The rules: what the models take as a file writes it, the schema takes; it takes more, for what two keys say together
only a load can know. What a key does is written below it where it is defined, and nowhere else.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import (
    BeforeValidatorFunctionSchema,
    ModelSchema,
    NullableSchema,
    TaggedUnionSchema,
    WithDefaultSchema,
)

from extauthz.identity.user_config import one_or_more
from extauthz.policy.schema import DIALECT
from extauthz.settings.file import Settings
from extauthz.values.duration import DURATION, duration_text, seconds
from extauthz.values.rate import RATE, Rate, rate_of, rate_text
from extauthz.values.size import SIZE, size_in_bytes

_WRITTEN: Final[Mapping[object, JsonSchemaValue]] = {
    seconds: {"type": "string", "pattern": f"^(?:{DURATION.pattern})$", "examples": ["5m"]},
    size_in_bytes: {"type": "string", "pattern": f"^(?:{SIZE.pattern})$", "examples": ["100MB"]},
    rate_of: {"type": "string", "pattern": f"^(?:{RATE.pattern})$", "examples": ["10/min"]},
}
"""How values are written that are numbers once they are read, by what reads them."""


def json_schema() -> dict[str, Any]:
    """The schema of the configuration file."""
    return {
        "$schema": DIALECT,
        **Settings.model_json_schema(schema_generator=_Generator),
        "title": "extauthz.yaml",
    }


def described(model: type[BaseModel]) -> Mapping[str, str]:
    """What each key of a block does, by the name of its attribute: the text below it in the source."""
    words: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, BaseModel):
            words |= _texts_of(sys.modules[owner.__module__]).get(owner.__name__, {})
    return {name: words[name] for name in model.model_fields if name in words}


def refused(model: type[BaseModel]) -> frozenset[str]:
    """The keys that a block has from another one and refuses for itself."""
    return frozenset(getattr(model, "foreign", ()))


@cache
def _texts_of(module: ModuleType) -> Mapping[str, Mapping[str, str]]:
    """The texts below attributes, by class and attribute."""
    tree = ast.parse(inspect.getsource(module))
    return {node.name: dict(_texts_in(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _texts_in(owner: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for statement, below in pairwise(owner.body):
        match statement, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, " ".join(text.split())
            case _:
                pass


class _Generator(GenerateJsonSchema):
    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """Each key with what it does, but for those that are refused; and `null` where it means something."""
        told = super().model_schema(schema)
        model = schema["cls"]
        words = described(model)
        for attribute, field in model.model_fields.items():
            key = field.alias or attribute
            if key in refused(model):
                del told["properties"][key]
            elif attribute in words:
                told["properties"][key]["description"] = words[attribute]
        for key in getattr(model, "nullable", ()):
            told["properties"][key] = {"anyOf": [told["properties"][key], {"type": "null"}]}
        return told

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        """What may be left out may not be written as `null`."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """A default as a file would write it; none where that would be nothing."""
        told = super().default_schema(schema)
        default = self._as_written(schema.get("default"), told.pop("default", None))
        return told if default in (None, [], "") else {**told, "default": default}

    def _as_written(self, value: object, encoded: object) -> object:
        match value:
            case BaseModel():
                return {}  # each key of it tells its own
            case Rate():
                return rate_text(value)
            case float():
                return duration_text(value)
            case _:
                return encoded

    def function_before_schema(self, schema: BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        """As it is written, where what reads it makes something else of it."""
        reader = schema["function"]["function"]
        if reader in _WRITTEN:
            return dict(_WRITTEN[reader])
        told = super().function_before_schema(schema)
        return {"anyOf": [told["items"], told]} if reader is one_or_more else told

    def tagged_union_schema(self, schema: TaggedUnionSchema) -> JsonSchemaValue:
        """Which of several blocks is meant is told by words that the schema does not look at."""
        told = super().tagged_union_schema(schema)
        told["anyOf"] = told.pop("oneOf")
        return told
