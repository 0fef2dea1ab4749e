"""Lines of an audit held against the published schema, and against more than that: no field that it does not name."""

from copy import deepcopy
from typing import Any

from jsonschema import Draft202012Validator

from extauthz.record.audit_schema import json_schema

PUBLISHED = Draft202012Validator(json_schema())


def _closed() -> Draft202012Validator:
    schema = deepcopy(json_schema())
    for one in schema["$defs"].values():
        one["additionalProperties"] = False
    return Draft202012Validator(schema)


CLOSED = _closed()


def mistakes(line: dict[str, Any]) -> list[str]:
    """What this version should not have written."""
    return [f"{error.json_path}: {error.message}" for error in CLOSED.iter_errors(line)]
