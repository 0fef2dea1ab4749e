"""The schemas of the projects whose resources are shipped, where `make mesh-schemas` has fetched them."""

import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

VERSIONS: Mapping[str, str] = {
    "istio.io/api": "v1.31.1",
    "github.com/envoyproxy/gateway": "v1.9.1",
    "sigs.k8s.io/gateway-api": "v1.6.3",
}
"""The Makefile names the same."""
FOLDERS: Mapping[str, str] = {module: module.replace("/", "-") + "@" + at for module, at in VERSIONS.items()}


def folder_of(module: str) -> Path:
    """Where the files of a module are; skips the test where they are not."""
    named = os.environ.get("MESH_SCHEMAS")
    base = Path(named) if named else Path.home() / ".cache" / "extauthz" / "mesh-schemas"
    if (folder := base / FOLDERS[module]).is_dir():
        return folder
    pytest.skip(f"no `{folder}`; run `make mesh-schemas`, which needs Go, or name its folder in `MESH_SCHEMAS`")


def mistakes(document: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """What a resource's schema finds wrong, each with its place. A field that is not in the schema is wrong, too: a
    cluster would drop it without a word."""
    everywhere: dict[str, Any] = {name: {} for name in ("apiVersion", "kind", "metadata")}
    root = {**schema, "properties": {**everywhere, **schema["properties"]}}
    found = Draft202012Validator(_strict(root)).iter_errors(document)
    return sorted(f"{'.'.join(str(part) for part in one.absolute_path)}: {one.message}" for one in found)


@cache
def schemas(module: str) -> dict[str, dict[str, Any]]:
    """The schemas of all versions that clusters serve, by `group/version/Kind`."""
    folder = folder_of(module)
    return dict(schema for path in sorted(folder.rglob("*.yaml")) for schema in _of_file(path))


def _of_file(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for body in yaml.load_all(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if not body or body["kind"] != "CustomResourceDefinition":
            continue
        spec = body["spec"]
        for version in spec["versions"]:
            if version["served"]:
                name = f"{spec['group']}/{version['name']}/{spec['names']['kind']}"
                yield name, version["schema"]["openAPIV3Schema"]


def _strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A structural schema of Kubernetes as JSON Schema that refuses fields which it does not name."""
    strict = dict(schema)
    if strict.pop("x-kubernetes-int-or-string", False):
        strict["type"] = ["integer", "string"]
        strict.pop("anyOf", None)
    if strict.pop("nullable", False) and "type" in strict:
        strict["type"] = [strict["type"], "null"]
    if "properties" in strict:
        strict["properties"] = {name: _strict(one) for name, one in strict["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            strict.setdefault("additionalProperties", False)
    if isinstance(strict.get("additionalProperties"), dict):
        strict["additionalProperties"] = _strict(strict["additionalProperties"])
    if "items" in strict:
        strict["items"] = _strict(strict["items"])
    return strict
