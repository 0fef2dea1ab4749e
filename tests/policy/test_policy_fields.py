"""Every field that a policy document may hold says what it is: in the code, in the JSON Schema, on the page."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

import extauthz.policy
from extauthz.policy.schema import json_schema
from extauthz.values.block import Block
from extauthz.values.block_schema import described

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "policy-fields.md"
SCHEMA = json_schema()
SCHEMAS: dict[str, Mapping[str, Any]] = {one["title"]: one for one in (*SCHEMA["oneOf"], *SCHEMA["$defs"].values())}


def blocks() -> dict[str, type[Block]]:
    """All that are defined in the modules of `extauthz.policy`, by name."""
    for module in pkgutil.walk_packages(extauthz.policy.__path__, "extauthz.policy."):
        importlib.import_module(module.name)
    return {one.__name__: one for one in _below(Block) if one.__module__.startswith("extauthz.policy.")}


def _below(block: type[Block]) -> Iterator[type[Block]]:
    for one in block.__subclasses__():
        yield one
        yield from _below(one)


def test_every_field_of_every_block_says_what_it_is() -> None:
    found = blocks()
    texts = {
        (name, field): described(block).get(field, "") for name, block in found.items() for field in block.model_fields
    }
    assert [f"{name}.{field}" for (name, field), text in texts.items() if not text.endswith(".")] == []
    assert found.keys() >= {name for name, one in SCHEMAS.items() if "properties" in one}
    assert len(texts) > 200


def test_the_schema_tells_what_every_field_is() -> None:
    told = {
        (name, field): text["description"]
        for name, one in SCHEMAS.items()
        for field, text in one.get("properties", {}).items()
    }
    written = {
        (name, info.alias or field): described(block)[field]
        for name, block in blocks().items()
        if name in SCHEMAS
        for field, info in block.model_fields.items()
    }
    assert told == written


def test_the_page_tells_what_every_field_is() -> None:
    lines = PAGE.read_text().splitlines()
    rows = {line for line in lines if line.startswith("| `")}
    for name, one in SCHEMAS.items():
        for field, text in one.get("properties", {}).items():
            said = text["description"].replace("|", r"\|")
            assert any(row.startswith(f"| `{field}` |") and row.endswith(f"| {said} |") for row in rows), (
                f"{name}.{field}"
            )


def test_defaults_are_told_as_a_document_would_write_them() -> None:
    told = {field: text.get("default") for field, text in SCHEMAS["ApproveBlock"]["properties"].items()}
    assert (told["expires_in"], told["valid_for"], told["hold"], told["min"]) == ("15m", "5m", None, 1)
    assert "default" not in SCHEMAS["CasesSpec"]["properties"]["now"]
    wrong = [
        f"{name}.{field}"
        for name, one in SCHEMAS.items()
        for field, text in one.get("properties", {}).items()
        if "default" in text and not Draft202012Validator({**SCHEMA, "oneOf": [text]}).is_valid(text["default"])
    ]
    assert wrong == []
