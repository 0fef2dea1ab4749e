"""What Envoy Gateway's own translator makes of the shipped resources, where `make envoy-gateway` has built it."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from mesh.documents import GATEWAY_API, ROOT, only
from mesh.translating_gateways import VERSION, Tree, shipped, translate

from extauthz.envoy.validate.run import validate

MANAGER = "envoy.filters.network.http_connection_manager"
FILTER = "envoy.filters.http.ext_authz/securitypolicy/edge/extauthz"
GATEWAY = "edge/public"
OF_THE_ROUTE = """
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: {name: payments, namespace: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: payments}]
  cors: {allowOrigins: ["https://payments.example.com"]}
"""


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return translate(tmp_path_factory.mktemp("translated"), shipped())


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


def asked_cluster(translated: Tree) -> Tree:
    """The cluster that the filter's call leads to."""
    name = asking_of(translated)["grpc_service"]["envoy_grpc"]["cluster_name"]
    (found,) = (one for one in translated["gateways"][GATEWAY]["clusters"] if one["name"] == name)
    assert isinstance(found, dict)
    return found


def routes_of(translated: Tree) -> Iterator[Tree]:
    for table in translated["gateways"][GATEWAY]["routes"]:
        for host in table.get("virtual_hosts", []):
            yield from host["routes"]


def place_of(route: Tree) -> str:
    """What paths it takes, or what they begin with."""
    match = route["match"]
    return str(match.get("path") or match.get("path_separated_prefix") or match.get("prefix"))


def settings_of(route: Tree) -> Tree:
    """What it says to filters, by their names."""
    settings = route.get("typed_per_filter_config", {})
    assert isinstance(settings, dict)
    return settings


def is_asked_about(translated: Tree) -> dict[str, bool]:
    """Whether extauthz is asked, by what the paths are that a route takes."""
    return {place_of(route): FILTER in settings_of(route) for route in routes_of(translated)}


def one_of(told: list[Tree], kind: str, name: str) -> Tree:
    (found,) = (one for one in told if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def test_the_program_is_of_the_version_of_the_schemas() -> None:
    assert re.search(
        rf"^\tgithub.com/envoyproxy/gateway {VERSION}$",
        (ROOT / "tests" / "mesh" / "envoy-gateway" / "go.mod").read_text(),
        re.MULTILINE,
    )
    assert f"ENVOY_GATEWAY := {VERSION}\n" in (ROOT / "Makefile").read_text()


def test_every_policy_is_accepted_and_has_nothing_that_will_go(translated: Tree) -> None:
    assert sorted(translated["policies"]) == [
        "ClientTrafficPolicy/edge/public",
        "SecurityPolicy/edge/extauthz",
        "SecurityPolicy/extauthz/extauthz-pages",
    ]
    for name, status in translated["policies"].items():
        for ancestor in status["ancestors"]:
            (accepted,) = (one for one in ancestor["conditions"] if one["type"] == "Accepted")
            assert accepted["status"] == "True", (name, accepted)
            assert [one for one in ancestor["conditions"] if one["type"] == "Warning"] == [], name


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
    led = {
        place_of(route): (route["route"]["cluster"], FILTER in settings_of(route)) for route in routes_of(translated)
    }
    assert led == {
        "/.extauthz/waiting/events": ("httproute/extauthz/extauthz-pages/rule/0", False),
        "/.extauthz": ("httproute/extauthz/extauthz-pages/rule/1", False),
        "/": ("httproute/shop/payments/rule/0", True),
    }


def test_the_filter_tells_what_policies_read_of_the_gateway(translated: Tree) -> None:
    (service,) = (route for route in routes_of(translated) if place_of(route) == "/")
    context = only(GATEWAY_API / "envoy-gateway" / "policy.yaml", "SecurityPolicy")["spec"]["extAuth"][
        "contextExtensions"
    ]
    told = settings_of(service)[FILTER]["check_settings"]["context_extensions"]
    assert told == {one["name"]: one["value"] for one in context}


def test_a_route_that_somebody_adds_is_asked_about(tmp_path: Path) -> None:
    told = shipped()
    added = copy.deepcopy(one_of(told, "HTTPRoute", "payments"))
    added["metadata"]["name"] = "added"
    added["spec"]["rules"][0]["matches"] = [{"path": {"type": "PathPrefix", "value": "/added"}}]
    made = translate(tmp_path, [*told, added])
    assert is_asked_about(made) == {"/.extauthz/waiting/events": False, "/.extauthz": False, "/added": True, "/": True}


def test_a_policy_of_a_route_replaces_the_gateways_unless_it_says_that_they_merge(tmp_path: Path) -> None:
    policy = yaml.safe_load(OF_THE_ROUTE)
    assert is_asked_about(translate(tmp_path, [*shipped(), policy]))["/"] is False
    policy["spec"]["mergeType"] = "StrategicMerge"
    assert is_asked_about(translate(tmp_path, [*shipped(), policy]))["/"] is True


def test_each_route_may_become_a_websocket(translated: Tree) -> None:
    upgrades = [route["route"]["upgrade_configs"] for route in routes_of(translated)]
    assert upgrades == [[{"upgrade_type": "websocket"}]] * 3


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
    cluster = asked_cluster(translated)
    (limits,) = cluster["circuit_breakers"]["thresholds"]
    assert (limits["max_requests"], limits["max_pending_requests"]) == (256, 256)
    assert cluster["connect_timeout"] == "0.200s"
    (check,) = cluster["health_checks"]
    assert "grpc_health_check" in check


def test_over_tls_it_shows_a_certificate_and_knows_who_answers(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "gateway-api.md").read_text()
    policy = yaml.safe_load(page.partition("```yaml envoy-gateway-tls.yaml\n")[2].partition("```")[0])
    proxy = re.findall(r"`backendTLS: (\{.*\})`", page)
    told = shipped()
    one_of(told, "EnvoyProxy", "extauthz")["spec"]["backendTLS"] = yaml.safe_load(proxy[0])
    cluster = asked_cluster(translate(tmp_path, [*told, policy]))
    (match,) = cluster["transport_socket_matches"]
    tls = match["transport_socket"]["typed_config"]
    common = tls["common_tls_context"]
    assert tls["sni"] == policy["spec"]["validation"]["hostname"]
    assert [one["name"] for one in common["tls_certificate_sds_secret_configs"]] == ["edge/gateway-client"]
    validation = common["combined_validation_context"]
    assert validation["validation_context_sds_secret_config"]["name"] == "extauthz/extauthz-ca"
    (name,) = validation["default_validation_context"]["match_typed_subject_alt_names"]
    assert name == {"san_type": "DNS", "matcher": {"exact": "extauthz.extauthz.svc"}}


def test_our_own_judgement_of_it_has_no_error(translated: Tree) -> None:
    told = translated["gateways"][GATEWAY]
    parts = [("listeners", told["listeners"]), ("routes", told["routes"]), ("clusters", told["clusters"])]
    findings = validate([(name, json.dumps(one)) for name, one in parts], listeners=["edge/public/https"])
    assert [one for one in findings if one.severity == "error"] == []


def test_without_the_consent_of_the_namespace_everything_is_answered_with_500(tmp_path: Path) -> None:
    told = [one for one in shipped() if one["kind"] != "ReferenceGrant"]
    made = translate(tmp_path, told)
    (ancestor,) = made["policies"]["SecurityPolicy/edge/extauthz"]["ancestors"]
    (accepted,) = (one for one in ancestor["conditions"] if one["type"] == "Accepted")
    assert accepted["status"] == "False"
    (service,) = (route for route in routes_of(made) if place_of(route) == "/")
    assert service["direct_response"]["status"] == 500
    # What the manifest says of `failOpen`: that is why it is not to be `true`.
    one_of(told, "SecurityPolicy", "extauthz")["spec"]["extAuth"]["failOpen"] = True
    (service,) = (route for route in routes_of(translate(tmp_path, told)) if place_of(route) == "/")
    assert ("route" in service, FILTER in settings_of(service)) == (True, False)
