"""The JSON Schema (2020-12) of the documents, made from the models that read them.

The rule kept here: what the models take, the schema takes. It takes more: what only a compiler can know (CEL,
templates, names that must be unique) is for `policy check`.
"""

from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import WithDefaultSchema

from extauthz.policy.cases import CasesDocument
from extauthz.policy.models import DefinitionsDocument, PolicyDocument
from extauthz.policy.risk_document import RiskModelDocument
from extauthz.values.block_schema import DIALECT, BlockSchema
from extauthz.values.duration import DURATION, duration_text

_DOCUMENTS: Final[tuple[type[BaseModel], ...]] = (PolicyDocument, RiskModelDocument, DefinitionsDocument, CasesDocument)
_DURATION: Final = f"^(?:{DURATION.pattern})$"
_EFFECTS: Final = ("allow", "deny", "challenge", "approve")


class _Generator(BlockSchema):
    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """A default as a document would write it; none where that would be nothing, or a moment."""
        told = super().default_schema(schema)
        default = told.get("default")
        if isinstance(schema.get("default"), BaseModel):
            told["default"] = {}  # each field of it tells its own
        elif isinstance(default, float) and told.get("pattern") == _DURATION:
            told["default"] = duration_text(default)
        elif default is None or (told.get("type") == "string" and not isinstance(default, str)):
            told.pop("default", None)
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
