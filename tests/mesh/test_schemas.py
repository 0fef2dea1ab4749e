"""Each shipped resource is valid by the schema of the project that reads it, and has no field that the schema lacks."""

import copy
from collections.abc import Mapping

import pytest
from mesh.documents import GATEWAY_API, ISTIO, Document, only, resources
from mesh.schemas import VERSIONS, mistakes, schemas

MODULES: Mapping[str, str] = {
    "networking.istio.io": "istio.io/api",
    "security.istio.io": "istio.io/api",
    "telemetry.istio.io": "istio.io/api",
    "gateway.networking.k8s.io": "sigs.k8s.io/gateway-api",
    "gateway.envoyproxy.io": "github.com/envoyproxy/gateway",
}
"""Whose schema a group has. kgateway's module can't be had, and Kubernetes' own kinds have no CRD."""
WITHOUT = {"v1", "apps", "gateway.kgateway.dev"}
ALL = resources(ISTIO) + resources(GATEWAY_API)
HELD = [one for one in ALL if one.kind.partition("/")[0] not in WITHOUT]


def found_wrong(document: Document) -> list[str]:
    return mistakes(document.body, schemas(MODULES[document.kind.partition("/")[0]])[document.kind])


@pytest.mark.parametrize("document", HELD, ids=lambda one: one.name)
def test_a_resource_is_what_its_project_says_it_is(document: Document) -> None:
    assert found_wrong(document) == []


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
