"""A real Envoy with the filters that Istio writes: who is asked about, who counts as whom, and what an outage does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from e2e import bootstrap
from e2e.stage import HOST, SHOP, Script, Stage, stage
from mesh.documents import ISTIO, only
from mesh.istio_filters import asking

CI = "spiffe://prod.example.org/ns/ci/sa/runner"
INBOUND = "inbound"
POLICIES = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: mesh}
spec:
  rules:
    - name: shop-calls
      workloads: ["spiffe://prod.example.org/ns/shop/sa/web"]
      effect: allow
      allow: {headers: {x-authz-workload: workload.id}}
"""


def sidecar(tree: bootstrap.Tree, policy: dict[str, Any], forward: str) -> None:
    """Make of `envoy/sidecar.yaml` what Istio makes of a workload's proxy: its filters, its X-Forwarded-Client-Cert."""
    manager = bootstrap.connection_manager(tree)
    filters = asking(policy)
    cluster = filters[1]["typed_config"]["grpc_service"]["envoy_grpc"]["cluster_name"]
    filters[1]["typed_config"]["grpc_service"]["timeout"] = bootstrap.CHECK_TIMEOUT
    (extauthz,) = (one for one in tree["static_resources"]["clusters"] if one["name"] == "extauthz")
    tree["static_resources"]["clusters"].append({**extauthz, "name": cluster})
    manager["http_filters"] = [*filters, manager["http_filters"][-1]]
    manager["forward_client_cert_details"] = forward
    manager["set_current_client_cert_details"] = {"subject": True, "uri": True, "dns": True}
    # Istio writes one route, without a word on the filter.
    host = manager["route_config"]["virtual_hosts"][0]
    host["routes"] = [{"match": {"prefix": "/"}, "route": {"cluster": "service"}}]


@pytest.fixture(scope="module", params=["APPEND_FORWARD", "SANITIZE_SET"])
def workload(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """ask-workload.yaml, with Istio's default for X-Forwarded-Client-Cert and with that of mesh.yaml."""
    policy = only(ISTIO / "ask-workload.yaml", "AuthorizationPolicy")
    with stage(
        Script(policies=POLICIES, shipped="sidecar", edit=lambda tree: sidecar(tree, policy, request.param))
    ) as running:
        yield running


@pytest.fixture(scope="module")
def gateway() -> Iterator[Stage]:
    """The rules of ask-gateway.yaml, where every path of every host leads to the service."""
    policy = only(ISTIO / "ask-gateway.yaml", "AuthorizationPolicy")
    with stage(
        Script(policies=POLICIES, shipped="sidecar", edit=lambda tree: sidecar(tree, policy, "SANITIZE_SET"))
    ) as running:
        yield running


def get(running: Stage, who: str, path: str, host: str = HOST, **headers: str) -> httpx.Response:
    return running.client(who, listener=INBOUND, host=host).get(path, headers=headers)


def test_each_request_is_asked_about(workload: Stage) -> None:
    assert get(workload, SHOP, "/v1/anything").status_code == 200
    assert workload.service.received[-1].all("x-authz-workload") == [SHOP]
    refused = get(workload, CI, "/v1/anything")
    assert refused.status_code == 403
    assert workload.decided(refused)["reason"] == "no-rule-allows"


def test_what_a_workload_writes_of_certificates_makes_it_nobody_else(workload: Stage) -> None:
    claim = f'By=spiffe://prod.example.org/ns/shop/sa/payments;Hash={"0" * 64};Subject="";URI={SHOP}'
    refused = get(workload, CI, "/v1/anything", **{"x-forwarded-client-cert": claim})
    assert refused.status_code == 403
    assert workload.decided(refused)["reason"] == "no-rule-allows"
    # And nobody who may is held up by another's words before its own.
    foreign = claim.replace(SHOP, CI)
    assert get(workload, SHOP, "/v1/anything", **{"x-forwarded-client-cert": foreign}).status_code == 200
    (seen,) = workload.service.received[-1].all("x-forwarded-client-cert")
    assert seen.endswith(f"URI={SHOP}")


@pytest.mark.parametrize("path", ["/.extauthz/", "/.extauthz/x", "/.extauthz/..%2Fadmin", "/.extauthz/%2e%2e/admin"])
def test_a_sidecar_has_no_pages_and_no_way_round(workload: Stage, path: str) -> None:
    before = len(workload.service.received)
    assert get(workload, CI, path).status_code in {400, 403}
    assert len(workload.service.received) == before


def test_a_gateway_leaves_the_pages_out_on_their_host_alone(gateway: Stage) -> None:
    # Here they lead to the service; in a mesh pages.yaml sends them to extauthz.
    for host in ("payments.example.com", "payments.example.com:8443"):
        assert get(gateway, CI, "/.extauthz/challenge", host=host).status_code == 200
    for host in ("other.example.com", "payments.example.com.evil.example", "payments.example.com."):
        before = len(gateway.service.received)
        refused = get(gateway, SHOP, "/.extauthz/challenge", host=host)
        assert (refused.status_code, gateway.decided(refused)["reason"]) == (403, "reserved-path")
        assert get(gateway, SHOP, "/.extauthz/..%2Fadmin", host=host).status_code in {400, 403}
        assert len(gateway.service.received) == before


@pytest.mark.parametrize(
    "path", ["/", "/.extauthzfoo", "/.extauthz", "/v1/x", "/.EXTAUTHZ/x", "//.extauthz/x", "/.extauthz/../v1/x"]
)
def test_a_gateway_asks_about_everything_else(gateway: Stage, path: str) -> None:
    before = len(gateway.service.received)
    refused = get(gateway, CI, path)
    assert refused.status_code in {400, 403}
    assert refused.headers["x-extauthz-decision-id"]
    assert len(gateway.service.received) == before


def test_no_answer_is_no(tmp_path: Path) -> None:
    policy = only(ISTIO / "ask-workload.yaml", "AuthorizationPolicy")

    def unreachable(tree: bootstrap.Tree) -> None:
        sidecar(tree, policy, "SANITIZE_SET")
        cluster = tree["static_resources"]["clusters"][-1]["name"]
        bootstrap.point(tree, cluster, bootstrap.pipe(tmp_path / "nobody.sock"))

    with stage(Script(policies=POLICIES, shipped="sidecar", edit=unreachable)) as running:
        assert get(running, SHOP, "/v1/anything").status_code == 503
        assert running.service.received == []
