"""The JSON Schema (2020-12) of blocks, made from the models that read them, with what every field is.

The rules: what a field is, is written below it where it is defined, and nowhere else. For commands and pages alone: it
reads the source of the models, which nothing that decides a request may wait for.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from types import ModuleType
from typing import Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema, NullableSchema

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def described(model: type[BaseModel]) -> Mapping[str, str]:
    """What each field of a block is, by the name of its attribute: the text below it in the source."""
    words: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, BaseModel):
            words |= _texts_of(sys.modules[owner.__module__]).get(owner.__name__, {})
    return {name: words[name] for name in model.model_fields if name in words}


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


class BlockSchema(GenerateJsonSchema):
    """Makes the schema; what a document may write is told by those that are made for one."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """Each field with what it is, and `null` where it means something."""
        told = super().model_schema(schema)
        model = schema["cls"]
        for key in getattr(model, "nullable", ()):
            told["properties"][key] = {"anyOf": [told["properties"][key], {"type": "null"}]}
        for attribute, words in described(model).items():
            told["properties"][model.model_fields[attribute].alias or attribute]["description"] = words
        return told

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        """What may be left out may not be written as `null`."""
        return self.generate_inner(schema["schema"])
