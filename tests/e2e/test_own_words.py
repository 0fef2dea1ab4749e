"""What callers say of themselves through a real Envoy without TLS: whose certificate they have, where they come from,
what they are. None of it is believed further than the configuration says."""

import copy
from collections.abc import Iterator

import httpx
import pytest
from e2e import bootstrap
from e2e.stage import SHOP, Script, Stage, stage

POLICIES = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: words}
spec:
  rules:
    - name: anybody
      paths: ["/open"]
      effect: allow
      allow: {headers: {x-client: "has(client.ip) ? client.ip : 'unknown'"}}
    - {name: workloads, paths: ["/**"], workloads: ["spiffe://prod.example.org/**"], effect: allow}
"""
CLAIM = {"x-forwarded-client-cert": f"By=spiffe://prod.example.org/envoy;Hash={'ab' * 32};URI={SHOP}"}
# Of load balancers, orchestrators and proxies: who is let past by its name is let past with any.
AGENTS = ["kube-probe/1.31", "ELB-HealthChecker/2.0", "GoogleHC/1.0", "Envoy/HC", "ping", "extauthz", ""]
PATHS = ["/ping", "/health", "/healthz", "/ready", "/robots.txt", "/favicon.ico", "/oauth2/auth", "/.well-known/x"]


@pytest.fixture(scope="module", params=["appended", "untouched"])
def hops(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """One trusted proxy before an Envoy that appends its peer to X-Forwarded-For, or does not, and is said to."""
    script = Script(
        policies=POLICIES,
        configuration={"client": {"trusted_hops": 1, "xff": request.param}},
        edit=lambda tree: _edit(tree, appends=request.param == "appended"),
    )
    with stage(script) as running:
        yield running


def _edit(tree: bootstrap.Tree, *, appends: bool) -> None:
    for name, settings in {
        "plain": {},
        # The wrong setting for an edge; it is what hands a client's own words on.
        "forwarding": {"forward_client_cert_details": "ALWAYS_FORWARD_ONLY"},
    }.items():
        listener = copy.deepcopy(tree["static_resources"]["listeners"][0])
        listener["name"] = name
        del listener["filter_chains"][0]["transport_socket"]
        tree["static_resources"]["listeners"].append(listener)
        bootstrap.connection_manager(tree, -1).update({"use_remote_address": appends, **settings})


def call(stage: Stage, path: str, headers: dict[str, str], *, listener: str = "plain") -> httpx.Response:
    with httpx.Client(base_url=f"http://localhost:{stage.admin.port(listener)}", trust_env=False) as client:
        return client.get(path, headers=headers)


@pytest.mark.parametrize("listener", ["plain", "forwarding"])
def test_without_tls_nobody_becomes_a_workload_by_saying_so(hops: Stage, listener: str) -> None:
    before = len(hops.service.received)
    response = call(hops, "/orders", CLAIM, listener=listener)
    assert response.status_code == 401
    line = hops.decided(response)
    assert (line["reason"], line["peer"]) == ("no-rule-allows", None)
    assert len(hops.service.received) == before


def test_the_header_does_come_as_the_caller_wrote_it(hops: Stage) -> None:
    # Otherwise the test above would show nothing.
    assert call(hops, "/open", CLAIM, listener="forwarding").status_code == 200
    assert hops.service.received[-1].all("x-forwarded-client-cert") == [CLAIM["x-forwarded-client-cert"]]


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.7, 203.0.113.9", "203.0.113.9"),
        ("198.51.100.7,10.0.0.1,127.0.0.1,203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, not-an-address", "unknown"),
        ("not-an-address, 203.0.113.9:4711", "203.0.113.9"),
    ],
)
def test_the_client_is_whom_the_trusted_proxy_wrote(hops: Stage, said: str, client: str) -> None:
    assert call(hops, "/open", {"x-forwarded-for": said}).status_code == 200
    assert hops.service.received[-1].all("x-client") == [client]


def test_who_goes_round_the_trusted_proxy_is_nowhere(hops: Stage) -> None:
    assert call(hops, "/open", {}).status_code == 200
    assert hops.service.received[-1].all("x-client") == ["unknown"]


@pytest.mark.parametrize("agent", AGENTS)
def test_no_user_agent_and_no_path_is_let_past(hops: Stage, agent: str) -> None:
    before = len(hops.service.received)
    for path in PATHS:
        response = call(hops, path, {"user-agent": agent, "x-envoy-original-path": "/open", "x-original-url": "/open"})
        assert response.status_code == 401, path
        assert response.headers["x-extauthz-decision-id"]
    assert len(hops.service.received) == before
