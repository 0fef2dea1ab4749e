"""A real Envoy whose filter has the name that Envoy Gateway gives it, and the settings that it can give it."""

from e2e import bootstrap
from e2e.stage import SHOP, Script, stage
from mesh.documents import GATEWAY_API, only

POLICIES = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: edge}
spec:
  rules:
    - {name: shop-calls, workloads: ["spiffe://prod.example.org/ns/shop/sa/web"], effect: allow}
"""


def renamed(tree: bootstrap.Tree) -> None:
    """Envoy Gateway's filter: on for one route, named for its policy; and the access log of gateway.yaml."""
    said = only(GATEWAY_API / "envoy-gateway" / "policy.yaml", "SecurityPolicy")["metadata"]
    manager = bootstrap.connection_manager(tree)
    (ext_authz,) = (one for one in manager["http_filters"] if one["name"] == bootstrap.EXT_AUTHZ)
    ext_authz["name"] = f"{bootstrap.EXT_AUTHZ}/securitypolicy/{said['namespace']}/{said['name']}"
    for name in (
        "encode_raw_headers",
        "include_tls_session",
        "include_peer_certificate",
        "metadata_context_namespaces",
    ):
        del ext_authz["typed_config"][name]
    ext_authz["typed_config"]["with_request_body"] = {"max_request_bytes": 8192}
    ext_authz["disabled"] = True
    asked = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
        "check_settings": {"context_extensions": {"extauthz.buffered": "true"}},
    }
    manager["route_config"]["virtual_hosts"][0]["routes"] = [
        {
            "match": {"prefix": "/"},
            "route": {"cluster": "service"},
            "typed_per_filter_config": {ext_authz["name"]: asked},
        }
    ]
    settings = only(GATEWAY_API / "envoy-gateway" / "gateway.yaml", "EnvoyProxy")["spec"]["telemetry"]["accessLog"][
        "settings"
    ]
    manager["access_log"][0]["typed_config"]["log_format"] = {"json_format": settings[0]["format"]["json"]}


def test_the_access_log_of_envoy_gateway_tells_what_was_decided() -> None:
    with stage(Script(policies=POLICIES, edit=renamed)) as running:
        allowed = running.client(SHOP).get("/v1/anything")
        assert allowed.status_code == 200
        line = running.decided(allowed)
        assert (line["decision"], line["rule"]) == ("allow", "edge/shop-calls")
        refused = running.client().post("/v1/anything", content=b"x" * 9000)
        # Its limit of bodies is Envoy's own, before anybody is asked.
        assert refused.status_code == 413
        assert running.client().get("/v1/anything").status_code == 401
