"""What the descriptions of our APIs are made of (OpenAPI 3.1)."""

from collections.abc import Mapping
from typing import Any, Final

TEXT: Final = {"type": "string"}
TEXT_OR_NONE: Final = {"type": ["string", "null"]}
PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {"type": TEXT, "title": TEXT, "status": {"type": "integer"}, "detail": TEXT},
}
"""The schema that `problems` refers to as `Problem`; members of an API's own may be beside these."""


def object_of(required: list[str], **properties: object) -> dict[str, Any]:
    """The schema of an object with these properties and no others."""
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


def ref(name: str) -> dict[str, str]:
    """One of the schemas of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def content(schema: object, kind: str = "application/json") -> dict[str, Any]:
    """A body of this media type."""
    return {kind: {"schema": schema}}


def answer(description: str, schema: object) -> dict[str, Any]:
    """An answer that is JSON."""
    return {"description": description, "content": content(schema)}


def problems(descriptions: Mapping[str, str]) -> dict[str, Any]:
    """The refusals with these statuses."""
    return {
        status: {"description": description, "content": content(ref("Problem"), "application/problem+json")}
        for status, description in descriptions.items()
    }


def query(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter of the query."""
    return {"name": name, "in": "query", "schema": schema}
