"""What Envoy Gateway's own translator makes of the shipped resources, where `make envoy-gateway` has built it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mesh.documents import GATEWAY_API, ROOT, only
from mesh.translating_gateways import VERSION, Tree, translate

from extauthz.envoy.validate.run import validate

MANAGER = "envoy.filters.network.http_connection_manager"
FILTER = "envoy.filters.http.ext_authz/securitypolicy/edge/extauthz"
GATEWAY = "edge/public"


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return translate(tmp_path_factory.mktemp("translated"))


def manager_of(translated: Tree) -> Tree:
    """The settings of the connection manager of the gateway's one listener for HTTPS."""
    (listener,) = (one for one in translated["gateways"][GATEWAY]["listeners"] if one["name"] == "edge/public/https")
    filters = [each for chain in listener["filter_chains"] for each in chain["filters"]]
    (found,) = (each["typed_config"] for each in filters if each["name"] == MANAGER)
    assert isinstance(found, dict)
    return found


def asking_of(translated: Tree) -> Tree:
    """The settings of the filter that asks."""
    (found,) = (one["typed_config"] for one in manager_of(translated)["http_filters"] if one["name"] == FILTER)
    assert isinstance(found, dict)
    return found


def routes_of(translated: Tree) -> Iterator[Tree]:
    for table in translated["gateways"][GATEWAY]["routes"]:
        for host in table.get("virtual_hosts", []):
            yield from host["routes"]


def test_the_program_is_of_the_version_of_the_schemas() -> None:
    assert re.search(
        rf"^\tgithub.com/envoyproxy/gateway {VERSION}$",
        (ROOT / "tests" / "mesh" / "envoy-gateway" / "go.mod").read_text(),
        re.MULTILINE,
    )
    assert f"ENVOY_GATEWAY := {VERSION}\n" in (ROOT / "Makefile").read_text()


def test_every_policy_is_accepted(translated: Tree) -> None:
    assert sorted(translated["policies"]) == [
        "ClientTrafficPolicy/edge/public",
        "SecurityPolicy/edge/extauthz",
        "SecurityPolicy/extauthz/extauthz-pages",
    ]
    for name, status in translated["policies"].items():
        for ancestor in status["ancestors"]:
            (accepted,) = (one for one in ancestor["conditions"] if one["type"] == "Accepted")
            assert accepted["status"] == "True", (name, accepted)


def test_the_filter_asks_as_the_policy_says(translated: Tree) -> None:
    asking = asking_of(translated)
    assert asking.get("failure_mode_allow", False) is False
    assert asking.get("clear_route_cache", False) is False
    assert asking["grpc_service"]["timeout"] == "0.250s"
    assert asking["status_on_error"] == {"code": "ServiceUnavailable"}
    assert asking["with_request_body"] == {"max_request_bytes": 8192}


def test_the_filter_leaves_out_what_the_page_says(translated: Tree) -> None:
    page = (ROOT / "docs" / "gateway-api.md").read_text().partition("### What its filter leaves out")[2]
    missing = re.findall(r"^\| `(\w+)` \|", page.partition("## kgateway")[0], re.MULTILINE)
    assert len(missing) == 6
    asking = asking_of(translated)
    assert not {*asking, *asking["with_request_body"]} & set(missing)


def test_the_service_is_asked_about_and_the_pages_are_not(translated: Tree) -> None:
    asked = {}
    for route in routes_of(translated):
        match = route["match"]
        place = match.get("path") or match.get("path_separated_prefix") or match.get("prefix")
        asked[place] = FILTER in route.get("typed_per_filter_config", {})
    assert asked == {"/.extauthz/waiting/events": False, "/.extauthz": False, "/": True}
    (service,) = (route for route in routes_of(translated) if FILTER in route.get("typed_per_filter_config", {}))
    told: Any = service["typed_per_filter_config"][FILTER]
    context = only(GATEWAY_API / "envoy-gateway" / "policy.yaml", "SecurityPolicy")["spec"]["extAuth"][
        "contextExtensions"
    ]
    settings = told.get("check_settings") or told["config"]["check_settings"]
    assert settings["context_extensions"] == {one["name"]: one["value"] for one in context}


def test_requests_are_read_as_the_policy_for_clients_says(translated: Tree) -> None:
    manager = manager_of(translated)
    assert manager["normalize_path"] is True
    assert manager.get("merge_slashes", False) is False
    assert manager["path_with_escaped_slashes_action"] == "KEEP_UNCHANGED"
    assert manager["forward_client_cert_details"] == "SANITIZE_SET"
    assert manager["set_current_client_cert_details"] == {"uri": True}
    assert manager["common_http_protocol_options"]["headers_with_underscores_action"] == "REJECT_REQUEST"
    assert manager["use_remote_address"] is True


def test_calls_to_extauthz_are_limited_and_its_health_is_asked(translated: Tree) -> None:
    name = asking_of(translated)["grpc_service"]["envoy_grpc"]["cluster_name"]
    (cluster,) = (one for one in translated["gateways"][GATEWAY]["clusters"] if one["name"] == name)
    (limits,) = cluster["circuit_breakers"]["thresholds"]
    assert (limits["max_requests"], limits["max_pending_requests"]) == (256, 256)
    assert cluster["connect_timeout"] == "0.200s"
    (check,) = cluster["health_checks"]
    assert "grpc_health_check" in check


def test_our_own_judgement_of_it_has_no_error(translated: Tree) -> None:
    told = translated["gateways"][GATEWAY]
    parts = [("listeners", told["listeners"]), ("routes", told["routes"]), ("clusters", told["clusters"])]
    findings = validate([(name, json.dumps(one)) for name, one in parts], listeners=["edge/public/https"])
    assert [one for one in findings if one.severity == "error"] == []


def test_without_the_consent_of_the_namespace_everything_is_answered_with_500(tmp_path: Path) -> None:
    told = translate(tmp_path, lambda one: not one.kind.endswith("/ReferenceGrant"))
    (ancestor,) = told["policies"]["SecurityPolicy/edge/extauthz"]["ancestors"]
    (accepted,) = (one for one in ancestor["conditions"] if one["type"] == "Accepted")
    assert accepted["status"] == "False"
    answers = {
        route["match"].get("prefix"): route.get("direct_response", {}).get("status") for route in routes_of(told)
    }
    assert answers["/"] == 500
