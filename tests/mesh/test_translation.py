"""What Istio's own control plane makes of the shipped resources, where `make istioctl` has built it."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from mesh.documents import ISTIO, only
from mesh.istio_filters import asking
from mesh.translating import Tree, find_program, translate

from extauthz.envoy.validate.run import validate

MANAGER = "envoy.filters.network.http_connection_manager"
HTTP, TCP = "envoy.filters.http.ext_authz", "envoy.filters.network.ext_authz"
REQUEST_AUTHENTICATION = """
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: idp, namespace: shop}
spec:
  jwtRules: [{issuer: "https://idp.example.com", jwks: '{"keys": []}'}]
"""
SECOND = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: second, namespace: shop}
spec:
  selector: {matchLabels: {app: payments}}
  action: CUSTOM
  provider: {name: PROVIDER}
RULES
"""
Translation = Mapping[str, Tree]


@pytest.fixture(scope="module")
def translation() -> Translation:
    return translate(find_program("translate"))


def chains(proxy: Tree, listener: str = "virtualInbound") -> Iterator[tuple[str, list[Tree]]]:
    """The filter chains of a listener, by name, but for the one that takes nothing."""
    (found,) = (one for one in proxy["listeners"] if one["name"] == listener)
    for chain in found["filter_chains"]:
        if not chain.get("name", "").endswith("-blackhole"):
            yield chain.get("name", ""), chain["filters"]


def managers(proxy: Tree, listener: str = "virtualInbound") -> list[Tree]:
    """The settings of its HTTP connection managers."""
    found = [one["typed_config"] for _, filters in chains(proxy, listener) for one in filters if one["name"] == MANAGER]
    assert found
    return found


def guards(filters: list[Tree]) -> list[Tree]:
    """The filters among them that judge or ask."""
    return [one for one in filters if one["name"].endswith((".rbac", ".ext_authz"))]


def merged(policy: Tree, file_namespace: str) -> list[Tree]:
    """The filters for a policy with the patch of envoyfilter.yaml, as JSON of protobuf spells durations."""
    patches = only(ISTIO / "envoyfilter.yaml", "EnvoyFilter", namespace=file_namespace)["spec"]["configPatches"]
    patch = dict(patches[0]["patch"]["value"]["typed_config"])
    judging, ext_authz = asking(policy)
    settings = ext_authz["typed_config"]
    call = {**settings["grpc_service"], **patch.pop("grpc_service"), "timeout": "0.250s"}
    return [judging, {**ext_authz, "typed_config": {**settings, **patch, "grpc_service": call}}]


def test_the_filters_of_a_workload_are_those_that_a_real_envoy_runs_with(translation: Translation) -> None:
    policy = only(ISTIO / "ask-workload.yaml", "AuthorizationPolicy")
    for manager in managers(translation["payments"]):
        assert guards(manager["http_filters"]) == merged(policy, "shop")


def test_the_filters_of_the_gateway_are_those_that_a_real_envoy_runs_with(translation: Translation) -> None:
    policy = only(ISTIO / "ask-gateway.yaml", "AuthorizationPolicy")
    (manager,) = managers(translation["gateway"], "0.0.0.0_443")
    assert guards(manager["http_filters"]) == merged(policy, "istio-ingress")


@pytest.mark.parametrize("proxy", ["payments", "orders", "ledger"])
def test_no_way_into_a_workload_goes_unasked(translation: Translation, proxy: str) -> None:
    for name, filters in chains(translation[proxy]):
        asked = [one for one in filters if one["name"] == TCP]
        for one in filters:
            if one["name"] == MANAGER:
                asked += [each for each in one["typed_config"]["http_filters"] if each["name"] == HTTP]
        assert len(asked) == 1, name


def test_proxies_read_requests_as_the_mesh_configuration_says(translation: Translation) -> None:
    for manager in (*managers(translation["payments"]), *managers(translation["gateway"], "0.0.0.0_443")):
        assert manager["normalize_path"] is True
        assert manager.get("merge_slashes", False) is False
        assert manager["path_with_escaped_slashes_action"] == "KEEP_UNCHANGED"
        assert manager["forward_client_cert_details"] == "SANITIZE_SET"
        assert manager["common_http_protocol_options"] == {"headers_with_underscores_action": "REJECT_REQUEST"}
        (log,) = manager["access_log"]
        assert "extauthz:decision_id" in log["typed_config"]["log_format"]["json_format"]["decision_id"]


def test_the_gateway_sends_the_pages_to_extauthz_and_the_rest_to_the_service(translation: Translation) -> None:
    (table,) = translation["gateway"]["routes"]
    events, pages, service = table["virtual_hosts"][0]["routes"]
    assert (events["match"]["path"], events["route"]["timeout"]) == ("/.extauthz/waiting/events", "0s")
    assert (pages["match"]["prefix"], pages["route"]["timeout"]) == ("/.extauthz/", "20s")
    assert (service["match"]["prefix"], service["route"]["timeout"]) == ("/", "15s")
    web = "outbound|9192||extauthz-web.extauthz.svc.cluster.local"
    assert [one["route"]["cluster"] for one in (events, pages)] == [web, web]
    assert [one["route"].get("retry_policy") for one in (events, pages)] == [None, None]


def test_calls_to_extauthz_are_limited_and_secured(translation: Translation) -> None:
    for proxy in ("payments", "gateway"):
        (cluster,) = (
            one for one in translation[proxy]["clusters"] if one["name"].startswith("outbound|9191||extauthz.ext")
        )
        (limits,) = cluster["circuit_breakers"]["thresholds"]
        assert (limits["max_requests"], limits["max_pending_requests"]) == (256, 256)
        assert cluster["connect_timeout"] == "0.200s"
        assert cluster["transport_socket"]["name"] == "envoy.transport_sockets.tls"
        protocol = cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
        assert "http2_protocol_options" in protocol["explicit_http_config"]


def test_the_socket_of_the_pod_is_what_is_asked(translation: Translation) -> None:
    name = "outbound|9191||extauthz.beside.internal"
    (found,) = (one for one in translation["orders"]["endpoints"] if one["cluster_name"] == name)
    ((endpoint,),) = ([each["endpoint"]["address"] for each in one["lb_endpoints"]] for one in found["endpoints"])
    assert endpoint == {"pipe": {"path": "/run/extauthz/grpc.sock"}}
    (cluster,) = (one for one in translation["orders"]["clusters"] if one["name"] == name)
    assert "transport_socket" not in cluster


def test_extauthz_itself_is_not_asked_about_and_lets_in_only_who_may(translation: Translation) -> None:
    for _, filters in chains(translation["extauthz"]):
        assert TCP not in {one["name"] for one in filters}
    for manager in managers(translation["extauthz"]):
        (judging,) = guards(manager["http_filters"])
        rules = judging["typed_config"]["rules"]
        assert rules.get("action", "ALLOW") == "ALLOW"
        assert sorted(rules["policies"]) == [
            "ns[extauthz]-policy[extauthz-decisions]-rule[0]",
            "ns[extauthz]-policy[extauthz-pages]-rule[0]",
        ]


def payments_with(more: str, without: frozenset[str] = frozenset()) -> list[Tree]:
    """The HTTP filters of `payments` when there is more."""
    told = translate(find_program("translate"), more=more, without=without)
    first: Tree = managers(told["payments"])[0]
    return list(first["http_filters"])


def second(provider: str, rules: str) -> str:
    return SECOND.replace("PROVIDER", provider).replace("RULES", rules)


def test_tokens_are_verified_after_extauthz_was_asked() -> None:
    """So the claims of a RequestAuthentication are never there: docs/istio.md."""
    names = [one["name"] for one in payments_with(REQUEST_AUTHENTICATION)]
    assert names.index(HTTP) < names.index("envoy.filters.http.jwt_authn")


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ("", "CUSTOM action without `rules` is meaningless"),
        ('  rules: [{from: [{source: {principals: ["*"]}}]}]', "From.Principals is currently not supported"),
        ('  rules: [{when: [{key: "request.auth.claims[iss]", values: ["x"]}]}]', "not supported with CUSTOM action"),
    ],
)
def test_istio_refuses_rules_that_would_ask_about_nothing(rules: str, why: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(why)):
        payments_with(second("extauthz", rules), frozenset({"ask-workload.yaml"}))


@pytest.mark.parametrize("provider", ["extauthz-without-bodies", "missing"])
def test_two_providers_or_a_missing_one_deny_everything(provider: str) -> None:
    without = frozenset() if provider != "missing" else frozenset({"ask-workload.yaml"})
    filters = guards(payments_with(second(provider, "  rules: [{}]"), without))
    assert {one["name"] for one in filters} == {"envoy.filters.http.rbac"}
    for one in filters:
        assert one["typed_config"]["rules"]["action"] == "DENY"
        assert all("-deny-due-to-bad-CUSTOM-action" in name for name in one["typed_config"]["rules"]["policies"])


def test_http_in_a_rule_about_connections_makes_the_rule_wider() -> None:
    rules = '  rules: [{to: [{operation: {notPaths: ["/x"]}}]}]'
    more = second("extauthz-without-bodies", rules).replace("app: payments", "app: ledger")
    told = translate(find_program("translate"), more=more, without=frozenset({"tcp.yaml"}))
    found = [filters for name, filters in chains(told["ledger"]) if name == "0.0.0.0_5432"]
    assert found
    for filters in found:
        judging, _ = guards(filters)
        (rule,) = judging["typed_config"]["shadow_rules"]["policies"].values()
        assert rule["permissions"] == [{"and_rules": {"rules": [{"any": True}]}}]


def test_our_own_judgement_of_it_has_no_error(translation: Translation) -> None:

    for proxy, listener in (("payments", "virtualInbound"), ("gateway", "0.0.0.0_443")):
        told = translation[proxy]
        tree: dict[str, Any] = {
            "static_resources": {"listeners": told["listeners"], "clusters": told["clusters"]},
        }
        findings = validate([(proxy, json.dumps(tree))], listeners=[listener])
        assert [one for one in findings if one.severity == "error"] == []
