"""The certificate that a real Envoy copies: held to the rules of SVIDs and to the authorities of its trust domain, also
where Envoy lets everybody in, and behind a gateway that is an Envoy, too."""

import copy
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml
from e2e import bootstrap
from e2e.stage import DISCARD_PORT, SHOP, START_SECONDS, Script, Stage, stage

from extauthz.cli.quickstart.certificates import Pair, create_authority
from extauthz.cli.quickstart.envoy import Admin, envoy_command, find_envoy

EDGE = "spiffe://prod.example.org/ns/edge/sa/gateway"
CI = "spiffe://prod.example.org/ns/ci/sa/runner"
POLICIES = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: sidecar}
spec:
  rules:
    - name: by-certificate
      paths: ["/status"]
      workloads: ["spiffe://prod.example.org/**"]
      when: workload.verified_by == "peer_certificate"
      effect: allow
      allow: {headers: {x-authz-workload: workload.id}}
    - name: edge-alone
      paths: ["/orders"]
      workloads: ["spiffe://prod.example.org/ns/edge/sa/gateway"]
      effect: allow
      allow: {headers: {x-authz-workload: workload.id}}
    - name: approved-builds-only
      paths: ["/transfers"]
      workloads: ["spiffe://prod.example.org/ns/shop/sa/web"]
      when: workload.attributes.environment == "production" && workload.attributes.build == "4711"
      effect: allow
"""
ATTRIBUTES = """
apiVersion: extauthz/v1
kind: WorkloadAttributes
metadata: {{name: production}}
spec:
  workloads:
    "{workload}": {{environment: production, build: "{build}"}}
"""


@pytest.fixture(scope="module")
def attributes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the platform writes."""
    return tmp_path_factory.mktemp("platform") / "attributes.yaml"


@pytest.fixture(scope="module")
def sidecar(attributes: Path) -> Iterator[Stage]:
    """`envoy/sidecar.yaml` with APPEND_FORWARD, and beside its listener one that accepts any certificate."""
    attributes.write_text(ATTRIBUTES.format(workload=SHOP, build="4711"))
    workload = {
        "trust_domains": ["prod.example.org"],
        "sources": ["peer_certificate", "xfcc"],
        "peer_certificate": {"bundles": {"prod.example.org": "ca.pem"}},
        "attributes": str(attributes),
    }
    script = Script(
        policies=POLICIES, shipped="sidecar", edit=_edit, configuration={"identity": {"workload": workload}}
    )
    with stage(script) as running:
        yield running


def _edit(tree: bootstrap.Tree) -> None:
    bootstrap.connection_manager(tree)["forward_client_cert_details"] = "APPEND_FORWARD"
    listener = copy.deepcopy(tree["static_resources"]["listeners"][0])
    listener["name"] = "untrusted"
    tls = listener["filter_chains"][0]["transport_socket"]["typed_config"]["common_tls_context"]
    tls["validation_context"] = {
        **tls["validation_context"],
        "trust_chain_verification": "ACCEPT_UNTRUSTED",
        "match_typed_subject_alt_names": [],
    }
    tree["static_resources"]["listeners"].append(listener)


def call(sidecar: Stage, pair: Pair, path: str, *, listener: str = "inbound") -> httpx.Response:
    """A request with this certificate."""
    with httpx.Client(verify=sidecar.context(pair), base_url=sidecar.url(listener), trust_env=False) as client:
        return client.get(path)


@pytest.mark.parametrize("listener", ["inbound", "untrusted"])
def test_a_workload_is_known_by_the_certificate_that_envoy_copies(sidecar: Stage, listener: str) -> None:
    response = sidecar.client(SHOP, listener=listener).get("/status")
    assert response.status_code == 200
    assert sidecar.service.received[-1].all("x-authz-workload") == [SHOP]


def test_a_certificate_that_anybody_made_is_refused_where_envoy_lets_it_in(sidecar: Stage, tmp_path: Path) -> None:
    foreign = create_authority(tmp_path / "ca.pem", common_name="elsewhere", now=datetime.now(UTC))
    posing = foreign.issue_workload(tmp_path / "shop", SHOP)
    response = call(sidecar, posing, "/status", listener="untrusted")
    assert response.status_code == 401
    assert sidecar.decided(response)["reason"] == "invalid-token"


def test_a_certificate_with_two_names_is_refused_though_envoy_verified_it(sidecar: Stage, tmp_path: Path) -> None:
    two = sidecar.authority.issue(tmp_path / "two", common_name="two", uris=[SHOP, EDGE])
    response = call(sidecar, two, "/status")
    assert response.status_code == 401
    assert sidecar.decided(response)["reason"] == "invalid-token"


def test_a_certificate_without_a_spiffe_id_is_nobody(sidecar: Stage, tmp_path: Path) -> None:
    plain = sidecar.authority.issue(tmp_path / "plain", common_name="plain", dns=["plain.example.com"])
    response = call(sidecar, plain, "/status", listener="untrusted")
    assert response.status_code == 401
    assert sidecar.decided(response)["reason"] == "no-rule-allows"


def test_a_rule_may_ask_for_what_the_platform_knows_and_follows_it(sidecar: Stage, attributes: Path) -> None:
    client = sidecar.client(SHOP, listener="inbound")
    assert client.get("/transfers").status_code == 200
    for build, workload, status in (("4712", SHOP, 403), ("4711", CI, 403), ("4711", SHOP, 200)):
        _replace(attributes, ATTRIBUTES.format(workload=workload, build=build))
        sidecar.extauthz.wait_until(lambda: client.get("/transfers").status_code == status, seconds=30)  # noqa: B023 - called at once
    # A file that is wrong changes nothing.
    _replace(attributes, ATTRIBUTES.format(workload="spiffe://prod.example.org/*", build="4711"))
    sidecar.extauthz.wait_until(lambda: "is not a SPIFFE ID" in sidecar.extauthz.log.read_text(), seconds=30)
    assert client.get("/transfers").status_code == 200


def _replace(file: Path, text: str) -> None:
    """As a platform should: whole, or not at all."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.rename(file)


@pytest.fixture(scope="module")
def edge(sidecar: Stage) -> Iterator[str]:
    """The address of a second Envoy: `envoy/gateway.yaml` without its own checks, in front of the sidecar."""
    folder = Path(tempfile.mkdtemp(prefix="edge-"))
    try:
        tree = bootstrap.load("gateway", tls=sidecar.folder, run=folder)
        for cluster in tree["static_resources"]["clusters"]:
            bootstrap.point(tree, cluster["name"], bootstrap.tcp(DISCARD_PORT))
        bootstrap.point(tree, "service", bootstrap.tcp(sidecar.admin.port("inbound")))
        own = sidecar.workload(EDGE)
        _speak_tls(tree, own, sidecar.authority.certificate)
        filters = bootstrap.connection_manager(tree)["http_filters"]
        filters[:] = [entry for entry in filters if entry["name"] == "envoy.filters.http.router"]
        routes = bootstrap.connection_manager(tree)["route_config"]["virtual_hosts"]
        routes[0]["domains"], routes[0]["routes"] = ["*"], [{"match": {"prefix": "/"}, "route": {"cluster": "service"}}]
        del routes[1:]
        (folder / "envoy.yaml").write_text(yaml.safe_dump(tree))
        command = envoy_command(find_envoy(), folder / "envoy.yaml")
        envoy = sidecar.processes.start("edge", command, log=folder / "envoy.log", folder=folder)
        admin = Admin(folder / "admin.sock")
        envoy.wait_until(admin.ready, seconds=START_SECONDS)
        yield f"https://localhost:{admin.port('https')}"
    finally:
        shutil.rmtree(folder)


def _speak_tls(tree: bootstrap.Tree, own: Pair, authority: Path) -> None:
    (service,) = (entry for entry in tree["static_resources"]["clusters"] if entry["name"] == "service")
    service["transport_socket"] = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": "localhost",
            "common_tls_context": {
                "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},  # as a client Envoy stops at 1.2 by default
                "tls_certificates": [
                    {"certificate_chain": {"filename": str(own.certificate)}, "private_key": {"filename": str(own.key)}}
                ],
                "validation_context": {"trusted_ca": {"filename": str(authority)}},
            },
        },
    }


def test_behind_a_gateway_the_gateway_is_the_workload(sidecar: Stage, edge: str) -> None:
    claim = {"x-forwarded-client-cert": f"URI={EDGE}"}
    for headers in ({}, claim):
        with httpx.Client(verify=sidecar.context(sidecar.workload(SHOP)), trust_env=False) as client:
            response = client.get(f"{edge}/orders", headers=headers)
            assert response.status_code == 200, response.text
        received = sidecar.service.received[-1]
        assert received.all("x-authz-workload") == [EDGE]
        # The gateway says whom it serves, the sidecar who the gateway is; what the client says is dropped.
        (forwarded,) = received.all("x-forwarded-client-cert")
        first, last = forwarded.split(",")
        assert first.endswith(f"URI={SHOP}")
        assert last.endswith(f"URI={EDGE}")


def test_nobody_becomes_the_gateway_by_saying_so(sidecar: Stage) -> None:
    claim = {"x-forwarded-client-cert": f"By=spiffe://prod.example.org/sidecar;URI={EDGE}"}
    response = sidecar.client(SHOP, listener="inbound").get("/orders", headers=claim)
    assert response.status_code == 403
    assert sidecar.decided(response)["reason"] == "no-rule-allows"
