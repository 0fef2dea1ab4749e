"""The JSON Schema (2020-12) of `extauthz.yaml`, made from the models that read it, with what every key does.

The rules: what the models take as a file writes it, the schema takes; it takes more, for what two keys say together
only a load can know. What a key does is written below it where it is defined, and nowhere else.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import (
    BeforeValidatorFunctionSchema,
    ModelSchema,
    TaggedUnionSchema,
    WithDefaultSchema,
)

from extauthz.identity.user_config import one_or_more
from extauthz.settings.file import Settings
from extauthz.values.block_schema import DIALECT, BlockSchema
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


def refused(model: type[BaseModel]) -> frozenset[str]:
    """The keys that a block has from another one and refuses for itself."""
    return frozenset(getattr(model, "foreign", ()))


class _Generator(BlockSchema):
    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """Without the keys that are refused."""
        told = super().model_schema(schema)
        foreign = refused(schema["cls"])
        told["properties"] = {key: field for key, field in told["properties"].items() if key not in foreign}
        return told

    def get_default_value(self, schema: WithDefaultSchema) -> Any:  # noqa: ANN401 - the signature is pydantic's
        """Also a block that is made when it is needed."""
        make: Any = schema.get("default_factory")
        made = None if make is None else make()
        return made if isinstance(made, BaseModel) else super().get_default_value(schema)

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        """A default as a file would write it; none where that would be nothing."""
        told = super().default_schema(schema)
        default = self._as_written(self.get_default_value(schema), told.pop("default", None))
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
