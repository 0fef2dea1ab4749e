"""Reads conformance vectors: typed values, declared types, and what is expected."""

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from extauthz import cel

FOLDER = Path(os.environ.get("CEL_CONFORMANCE_DIR", Path(__file__).parents[3] / "shared" / "cel-conformance"))

_SIMPLE: dict[str, cel.CelType] = {
    "bool": cel.BOOL,
    "int": cel.INT,
    "uint": cel.UINT,
    "double": cel.DOUBLE,
    "string": cel.STRING,
    "bytes": cel.BYTES,
    "null": cel.NULL,
    "dyn": cel.DYN,
    "timestamp": cel.TIMESTAMP,
    "duration": cel.DURATION,
    "type": cel.TYPE,
}


def vectors() -> list[tuple[str, dict[str, Any]]]:
    """Every vector with a name that is its own: file, section, name and a number where these repeat."""
    found: list[tuple[str, dict[str, Any]]] = []
    seen: dict[str, int] = {}
    for path in sorted(FOLDER.glob("*.json")):
        for case in json.loads(path.read_text()):
            name = f"{path.stem}/{case['section']}/{case['name']}"
            seen[name] = seen.get(name, 0) + 1
            found.append((f"{name}#{seen[name]}" if seen[name] > 1 else name, case))
    return found


def type_of(written: Any) -> cel.CelType:
    if isinstance(written, str):
        return _SIMPLE[written]
    ((kind, inner),) = written.items()
    if kind == "list":
        return cel.list_of(type_of(inner))
    if kind == "map":
        return cel.map_of(type_of(inner[0]), type_of(inner[1]))
    return cel.optional_of(type_of(inner))


def value_of(written: Mapping[str, Any]) -> Any:
    ((kind, value),) = written.items()
    match kind:
        case "int":
            return int(value)
        case "uint":
            return cel.UInt(int(value))
        case "double":
            return float(value)
        case "bytes":
            return base64.b64decode(value)
        case "list":
            return [value_of(element) for element in value]
        case "map":
            return {value_of(key): value_of(element) for key, element in value}
        case "timestamp":
            return cel.Timestamp(int(value["seconds"]), int(value["nanos"]))
        case "duration":
            return cel.Duration(int(value["seconds"]), int(value["nanos"]))
        case "type":
            return cel.Type(value)
        case _:
            return value


def canonical(value: Any) -> Any:
    """A value as a tree of tuples that are equal only if the CEL types are, at every depth."""
    if isinstance(value, list | tuple):
        return ("list", [canonical(element) for element in value])
    if isinstance(value, Mapping):
        return ("map", sorted(((canonical(k), canonical(v)) for k, v in value.items()), key=repr))
    if isinstance(value, float):
        return ("double", repr(value))
    if isinstance(value, cel.Optional):
        return ("optional", canonical(value.content) if value.present else None)
    return (type(value).__name__, repr(value))
