"""What the shipped resources must say, whoever reads them: no answer is no, and soon; only the pages are left out."""

import importlib
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from mesh.documents import GATEWAY_API, ISTIO, ROOT, Document, mesh, only, provider, resources, within

PROVIDERS = [one for one in mesh()["extensionProviders"] if "envoyExtAuthzGrpc" in one]
ASKING = [one for one in resources(ISTIO) if one.body.get("spec", {}).get("action") == "CUSTOM"]
PATCHES = {
    patch["patch"]["value"]["typed_config"]["@type"].rpartition(".")[2] + patch["match"]["context"]: patch
    for one in within(ISTIO / "envoyfilter.yaml")
    for patch in one.body["spec"]["configPatches"]
}
ENVOY_GATEWAY = GATEWAY_API / "envoy-gateway"
KGATEWAY = GATEWAY_API / "kgateway"


def typed(package: str, name: str, value: Mapping[str, Any]) -> Any:
    """A value as Envoy's message; a field that the message lacks is an error."""
    with warnings.catch_warnings():
        # Its decorators are deprecated by the library that they come from.
        warnings.simplefilter("ignore")
        module = importlib.import_module(f"envoy_data_plane.envoy.extensions.filters.{package}")
    return getattr(module, name).from_dict(value)


@pytest.mark.parametrize("said", PROVIDERS, ids=lambda one: one["name"])
def test_no_answer_of_a_provider_is_no_and_soon(said: Mapping[str, Any]) -> None:
    how = said["envoyExtAuthzGrpc"]
    assert how["failOpen"] is False
    assert how["clearRouteCache"] is False
    assert how["statusOnError"] == "503"
    assert how["timeout"] == "0.25s"
    # A name that Istio takes: anything else, and every workload that names it denies everything.
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", said["name"])


def test_gateways_that_are_no_mesh_fail_closed_and_soon_too() -> None:
    envoy_gateway = only(ENVOY_GATEWAY / "policy.yaml", "SecurityPolicy")["spec"]["extAuth"]
    assert (envoy_gateway["failOpen"], envoy_gateway["recomputeRoute"]) == (False, False)
    assert (envoy_gateway["statusOnError"], envoy_gateway["timeout"]) == (503, "250ms")
    kgateway = only(KGATEWAY / "policy.yaml", "GatewayExtension")["spec"]["extAuth"]
    assert (kgateway["failOpen"], kgateway["clearRouteCache"]) == (False, False)
    assert (kgateway["statusOnError"], kgateway["grpcService"]["requestTimeout"]) == (503, "250ms")
    # Envoy would end each call after ten times the `baseInterval`, and repeat none.
    assert "retry" not in kgateway["grpcService"]
    # Of `percentageEnabled`, what is not drawn would pass unasked.
    assert "percentageEnabled" not in kgateway


@pytest.mark.parametrize("document", ASKING, ids=lambda one: one.name)
def test_who_asks_names_a_provider_that_there_is(document: Document) -> None:
    assert document.body["spec"]["provider"]["name"] in {one["name"] for one in PROVIDERS}


def test_sidecars_and_waypoints_leave_nothing_out() -> None:
    """There `/.extauthz/` is a path of the service, and who left it out would let `/.extauthz/..%2Fadmin` through."""
    # tcp.yaml is about a port, ask-gateway.yaml has the pages.
    inside = [one for one in ASKING if one.file.name not in {"tcp.yaml", "ask-gateway.yaml"}]
    assert len(inside) == 4
    assert [one.body["spec"]["rules"] for one in inside] == [[{}]] * 4


def test_a_rule_about_connections_speaks_of_no_http() -> None:
    (rule,) = only(ISTIO / "tcp.yaml", "AuthorizationPolicy")["spec"]["rules"]
    assert rule == {"to": [{"operation": {"ports": ["5432"]}}]}
    assert "includeRequestBodyInCheck" not in provider("extauthz-without-bodies")


def test_the_gateway_leaves_out_what_it_routes_to_the_pages_and_nothing_else() -> None:
    unasked, elsewhere = only(ISTIO / "ask-gateway.yaml", "AuthorizationPolicy")["spec"]["rules"]
    assert unasked == {"to": [{"operation": {"notPaths": ["/.extauthz/*"]}}]}
    ((operation,),) = ([one["operation"] for one in elsewhere["to"]],)
    assert operation["paths"] == ["/.extauthz/*"]
    routed = only(ISTIO / "pages.yaml", "VirtualService")["spec"]
    assert operation["notHosts"] == [spelling for host in routed["hosts"] for spelling in (host, f"{host}:*")]
    *pages, service = routed["http"]
    assert [one["match"] for one in pages] == [
        [{"uri": {"exact": "/.extauthz/waiting/events"}}],
        [{"uri": {"prefix": "/.extauthz/"}}],
    ]
    assert {one["route"][0]["destination"]["host"] for one in pages} == {"extauthz-web.extauthz.svc.cluster.local"}
    assert "match" not in service
    assert [one.get("timeout") for one in routed["http"]] == [None, "20s", "15s"]
    # A request that is repeated by the router alone was allowed once; what extauthz answers is not repeated at all.
    assert [one["retries"]["attempts"] for one in routed["http"]] == [0, 0, 2]


@pytest.mark.parametrize("folder", [ENVOY_GATEWAY, KGATEWAY], ids=lambda path: path.name)
def test_a_gateway_asks_for_all_of_its_routes_but_the_pages(folder: Any) -> None:
    (asking,) = (one.body for one in within(folder / "policy.yaml") if "targetRefs" in one.body["spec"])
    assert [one["kind"] for one in asking["spec"]["targetRefs"]] == ["Gateway"]
    (exempt,) = (one.body for one in within(folder / "pages.yaml") if "targetRefs" in one.body["spec"])
    pages = only(folder / "pages.yaml", "HTTPRoute", "extauthz-pages")
    assert [(one["kind"], one["name"]) for one in exempt["spec"]["targetRefs"]] == [("HTTPRoute", "extauthz-pages")]
    assert exempt["metadata"]["namespace"] == pages["metadata"]["namespace"] == "extauthz"
    assert {backend["name"] for rule in pages["spec"]["rules"] for backend in rule["backendRefs"]} == {"extauthz-web"}
    paths = [match["path"]["value"] for rule in pages["spec"]["rules"] for match in rule["matches"]]
    assert paths == ["/.extauthz/waiting/events", "/.extauthz"]


def test_gateways_read_paths_and_certificates_as_the_shipped_one_does() -> None:
    client = only(ENVOY_GATEWAY / "gateway.yaml", "ClientTrafficPolicy")["spec"]
    assert client["path"] == {"escapedSlashesAction": "KeepUnchanged", "disableMergeSlashes": True}
    assert client["headers"]["xForwardedClientCert"] == {"mode": "SanitizeSet", "certDetailsToAdd": ["URI"]}
    assert client["headers"]["withUnderscoresAction"] == "RejectRequest"
    assert client["tls"]["clientValidation"]["caCertificateRefs"]
    assert mesh()["pathNormalization"] == {"normalization": "BASE"}
    default = mesh()["defaultConfig"]
    assert default["proxyHeaders"]["forwardedClientCert"] == "SANITIZE_SET"
    assert default["gatewayTopology"]["forwardClientCertDetails"] == "SANITIZE_SET"


def test_only_the_mesh_reaches_extauthz() -> None:
    strict = only(ISTIO / "central.yaml", "PeerAuthentication")
    assert strict["spec"] == {"mtls": {"mode": "STRICT"}}
    opened = {}
    for one in within(ISTIO / "central.yaml"):
        if one.body["kind"] == "AuthorizationPolicy":
            assert one.body["spec"]["action"] == "ALLOW"
            (rule,) = one.body["spec"]["rules"]
            (port,) = rule["to"][0]["operation"]["ports"]
            assert all(source["source"] for source in rule["from"])
            opened[port] = rule["from"]
        if one.body["kind"] == "DestinationRule":
            assert one.body["spec"]["trafficPolicy"]["tls"] == {"mode": "ISTIO_MUTUAL"}
    # Administration and approvals are open to nobody.
    assert set(opened) == {"9191", "9192"}


@pytest.mark.parametrize("file", ["ask-workload.yaml", "ask-namespace.yaml", "tcp.yaml", "beside.yaml"])
def test_who_is_asked_about_has_shown_a_certificate(file: str) -> None:
    asking, strict = only(ISTIO / file, "AuthorizationPolicy"), only(ISTIO / file, "PeerAuthentication")
    assert strict["spec"]["mtls"] == {"mode": "STRICT"}
    assert strict["spec"].get("selector") == asking["spec"].get("selector")


def test_the_patches_are_typed_and_change_what_they_say() -> None:
    for context in ("SIDECAR_INBOUND", "GATEWAY"):
        value = dict(PATCHES[f"ExtAuthz{context}"]["patch"]["value"]["typed_config"])
        del value["@type"]
        patch = typed("http.ext_authz.v3", "ExtAuthz", value)
        assert (patch.encode_raw_headers, patch.include_peer_certificate, patch.include_tls_session) == (True,) * 3
        # Merged into what Istio writes, so it must not say again (and so replace) what the provider says.
        assert not patch.failure_mode_allow
        assert set(value) & {"failure_mode_allow", "status_on_error", "with_request_body"} == set()
        assert set(value["grpc_service"]) == {"retry_policy"}
        value = dict(PATCHES[f"HttpConnectionManager{context}"]["patch"]["value"]["typed_config"])
        del value["@type"]
        typed("network.http_connection_manager.v3", "HttpConnectionManager", value)
        assert value == {"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}}


def test_the_socket_of_a_pod_is_the_same_for_all_who_use_it() -> None:
    (endpoint,) = only(ISTIO / "beside.yaml", "ServiceEntry")["spec"]["endpoints"]
    pod = only(ISTIO / "beside.yaml", "Deployment")["spec"]["template"]
    (mount,) = yaml.safe_load(pod["metadata"]["annotations"]["sidecar.istio.io/userVolumeMount"])
    (beside,) = (one for one in pod["spec"]["containers"] if one["name"] == "extauthz")
    own = {one["name"]: one["mountPath"] for one in beside["volumeMounts"]}
    assert endpoint["address"] == f"unix://{mount['mountPath']}/grpc.sock"
    assert own[mount["name"]] == mount["mountPath"]
    (volume,) = (one for one in pod["spec"]["volumes"] if one["name"] == mount["name"])
    assert volume["emptyDir"] == {"medium": "Memory"}


def test_nobody_goes_round_the_waypoint() -> None:
    waypoint = only(ISTIO / "ambient.yaml", "Gateway")
    closed = only(ISTIO / "ambient.yaml", "AuthorizationPolicy", "only-the-waypoint")["spec"]
    space, name = waypoint["metadata"]["namespace"], waypoint["metadata"]["name"]
    (rule,) = closed["rules"]
    assert (closed["action"], "selector" in closed, "targetRefs" in closed) == ("ALLOW", False, False)
    assert rule["from"] == [{"source": {"principals": [f"cluster.local/ns/{space}/sa/{name}"]}}]


def test_the_access_logs_tell_what_the_shipped_gateway_tells() -> None:
    shipped = _log_of((ROOT / "envoy" / "gateway.yaml").read_text())
    (log,) = (one["envoyFileAccessLog"] for one in mesh()["extensionProviders"] if "envoyFileAccessLog" in one)
    assert log["logFormat"]["labels"] == shipped
    (settings,) = only(ENVOY_GATEWAY / "gateway.yaml", "EnvoyProxy")["spec"]["telemetry"]["accessLog"]["settings"]
    assert settings["format"]["json"] == shipped
    for one in within(ISTIO / "telemetry.yaml"):
        assert one.body["spec"] == {"accessLogging": [{"providers": [{"name": "extauthz-access-log"}]}]}


def _log_of(text: str) -> dict[str, str]:
    formats: Iterator[Any] = _formats(yaml.safe_load(text))
    (first, *_) = formats
    assert isinstance(first, dict)
    return first


def _formats(tree: Any) -> Iterator[Any]:
    if isinstance(tree, dict):
        yield from (value for key, value in tree.items() if key == "json_format")
        for value in tree.values():
            yield from _formats(value)
    if isinstance(tree, list):
        for value in tree:
            yield from _formats(value)
