"""Each shipped resource is valid by the schema of the project that reads it, and has no field that the schema lacks."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from mesh.documents import GATEWAY_API, ISTIO, Document, only, resources
from mesh.schemas import VERSIONS, mistakes, schemas

MODULES: Mapping[str, str] = {
    "networking.istio.io": "istio.io/api",
    "security.istio.io": "istio.io/api",
    "telemetry.istio.io": "istio.io/api",
    "gateway.networking.k8s.io": "sigs.k8s.io/gateway-api",
    "gateway.envoyproxy.io": "github.com/envoyproxy/gateway",
}
"""Whose schema a group has. Kubernetes' own kinds have no CRD; kgateway's module can't be had."""
WITHOUT = {"v1", "apps"}
READ = yaml.safe_load(Path(__file__).with_name("kgateway.yaml").read_text())
"""What we have read of kgateway's API, in the place of its schemas."""
ALL = resources(ISTIO) + resources(GATEWAY_API)
HELD = [one for one in ALL if one.kind.partition("/")[0] not in WITHOUT]


def found_wrong(document: Document) -> list[str]:
    known = READ if document.kind in READ else schemas(MODULES[document.kind.partition("/")[0]])
    return mistakes(document.body, known[document.kind])


@pytest.mark.parametrize("document", HELD, ids=lambda one: one.name)
def test_a_resource_is_what_its_project_says_it_is(document: Document) -> None:
    assert found_wrong(document) == []


def test_of_kgateway_every_kind_and_field_that_was_read_about_is_used() -> None:
    """So that what is no longer used is no longer vouched for."""
    ours = [one for one in HELD if one.kind.startswith("gateway.kgateway.dev/")]
    assert {one.kind for one in ours} == READ.keys()
    used = {place for one in ours for place in fields(one.body["spec"], one.kind)}
    known = {place for kind, schema in READ.items() for place in described(schema["properties"]["spec"], kind)}
    others = {place for place in known - used if not place.endswith((".stringFormat", ".extensionRef.namespace"))}
    assert others == set()


def fields(tree: Any, at: str) -> Iterator[str]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield f"{at}.{name}"
            yield from fields(value, f"{at}.{name}")
    elif isinstance(tree, list):
        for value in tree:
            yield from fields(value, at)


def described(schema: Mapping[str, Any], at: str) -> Iterator[str]:
    for name, value in schema.get("properties", {}).items():
        yield f"{at}.{name}"
        yield from described(value, f"{at}.{name}")
    if "items" in schema:
        yield from described(schema["items"], at)


@pytest.mark.parametrize("group", sorted(MODULES))
def test_a_resource_of_each_group_is_held_against_its_schema(group: str) -> None:
    assert any(one.kind.startswith(f"{group}/") for one in HELD)


@pytest.mark.parametrize("module", sorted(VERSIONS))
def test_the_schemas_say_something(module: str) -> None:
    assert len(schemas(module)) > 5


def test_a_misspelt_field_is_found() -> None:
    body = copy.deepcopy(only(GATEWAY_API / "envoy-gateway" / "policy.yaml", "SecurityPolicy"))
    body["spec"]["extAuth"]["failopen"] = body["spec"]["extAuth"].pop("failOpen")
    (mistake,) = found_wrong(Document(file=GATEWAY_API, body=body))
    assert mistake.startswith("spec.extAuth: ")
    assert "'failopen' was unexpected" in mistake


def test_a_value_that_is_none_is_found() -> None:
    body = copy.deepcopy(only(ISTIO / "ask-workload.yaml", "AuthorizationPolicy"))
    body["spec"]["action"] = "ASK"
    assert any("'ASK' is not one of" in one for one in found_wrong(Document(file=ISTIO, body=body)))
