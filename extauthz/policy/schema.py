"""The JSON Schema (2020-12) of the documents, made from the models that read them.

The rule kept here: what the models take, the schema takes. It takes more: what only a compiler can know (CEL,
templates, names that must be unique) is for `policy check`.
"""

from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema, NullableSchema, WithDefaultSchema

from extauthz.policy.cases import CasesDocument
from extauthz.policy.models import DefinitionsDocument, PolicyDocument
from extauthz.policy.risk_document import RiskModelDocument

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_DOCUMENTS: Final[tuple[type[BaseModel], ...]] = (PolicyDocument, RiskModelDocument, DefinitionsDocument, CasesDocument)
_EFFECTS: Final = ("allow", "deny", "challenge", "approve")


class _Generator(GenerateJsonSchema):
    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """A default is told if documents could write it so: neither "nothing" nor a duration in seconds."""
        told = super().default_schema(schema)
        default = told.get("default")
        if default is None or (told.get("type") == "string" and not isinstance(default, str)):
            told.pop("default", None)
        return told

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        """What may be left out may not be written as `null`."""
        return self.generate_inner(schema["schema"])

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """But for the fields for which `null` means something."""
        told = super().model_schema(schema)
        for name in getattr(schema["cls"], "nullable", ()):
            told["properties"][name] = {"anyOf": [told["properties"][name], {"type": "null"}]}
        return told


def json_schema() -> dict[str, Any]:
    """The schema of any document: one of each kind."""
    definitions: dict[str, Any] = {}
    kinds = []
    for model in _DOCUMENTS:
        own = model.model_json_schema(ref_template="#/$defs/{model}", schema_generator=_Generator)
        definitions |= own.pop("$defs", {})
        kinds.append(own)
    definitions["Rule"] |= {"allOf": [_only_its_block(effect) for effect in _EFFECTS]}
    return {"$schema": DIALECT, "title": "extauthz policies", "oneOf": kinds, "$defs": definitions}


def _only_its_block(effect: str) -> dict[str, Any]:
    """A rule has no block but its effect's; a challenge and an approve must have theirs."""
    then: dict[str, Any] = {"properties": {other: False for other in _EFFECTS if other != effect}}
    if effect in ("challenge", "approve"):
        then["required"] = [effect]
    return {"if": {"properties": {"effect": {"const": effect}}, "required": ["effect"]}, "then": then}
