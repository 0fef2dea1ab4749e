"""Ambient mode: what Istio's own control plane makes of a waypoint, where `make istioctl` has built it."""

import copy
import json
import subprocess
from typing import Any

import pytest
import yaml
from mesh.cluster import objects
from mesh.documents import ISTIO, mesh, only, within
from mesh.istio_filters import asking
from mesh.translating import Tree, find_program

LABELS = {"gateway.networking.k8s.io/gateway-name": "waypoint"}
ADDRESS = "10.0.0.31"
MANAGER = "envoy.filters.network.http_connection_manager"


def translated(policy: Tree | None = None, annotations: dict[str, str] | None = None) -> dict[str, list[Tree]]:
    """The inner listener of the waypoint of ambient.yaml: the filters of each chain, by the chain's name."""
    namespace, gateway, own, closed = (copy.deepcopy(one.body) for one in within(ISTIO / "ambient.yaml"))
    policies = [own if policy is None else policy, closed]
    gateway["status"] = {"addresses": [{"type": "Hostname", "value": "waypoint.stall.svc.cluster.local"}]}
    if annotations is not None:
        gateway["metadata"]["annotations"] = annotations
    proxy = {"name": "waypoint", "type": "waypoint", "namespace": "stall", "address": ADDRESS, "labels": LABELS}
    job = {
        "mesh": yaml.safe_dump(mesh()),
        "kubernetes": objects() + "---\n" + yaml.safe_dump_all([namespace, gateway, *policies, *_waypoint()]),
        "configs": yaml.safe_dump_all(policies),
        "proxies": [{**proxy, "annotations": gateway["metadata"]["annotations"]}],
    }
    ran = subprocess.run(
        [find_program("translate")],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"HOME": "/tmp", "PILOT_ENABLE_AMBIENT": "true"},
    )
    assert ran.returncode == 0, ran.stderr
    listeners = json.loads(ran.stdout)["waypoint"]["listeners"]
    (inner,) = (one for one in listeners if one["name"] == "main_internal")
    # The connection inside the tunnel has no TLS of its own, and so no principal.
    assert all("transport_socket" not in chain for chain in inner["filter_chains"])
    return {chain["name"]: chain["filters"] for chain in inner["filter_chains"]}


def http_filters(chains: dict[str, list[Tree]]) -> list[list[Tree]]:
    """Of each chain that carries HTTP."""
    managers = [one["typed_config"] for filters in chains.values() for one in filters if one["name"] == MANAGER]
    assert len(managers) == 2
    return [one["http_filters"] for one in managers]


@pytest.fixture(scope="module")
def waypoint() -> dict[str, list[Tree]]:
    return translated()


def test_a_waypoint_asks_about_every_request_and_every_connection(waypoint: dict[str, list[Tree]]) -> None:
    policy = only(ISTIO / "ambient.yaml", "AuthorizationPolicy", "extauthz")
    judging, ext_authz = asking(policy)
    for filters in http_filters(waypoint):
        rules, asked = (one for one in filters if one["name"].endswith((".rbac", ".ext_authz")))
        assert rules == judging
        call = {**ext_authz["typed_config"]["grpc_service"], "timeout": "0.250s"}
        assert asked["typed_config"] == {**ext_authz["typed_config"], "grpc_service": call}
    assert "envoy.filters.network.ext_authz" in {one["name"] for one in waypoint["direct-tcp"]}


def test_a_waypoint_says_who_calls_before_it_asks(waypoint: dict[str, list[Tree]]) -> None:
    for filters in http_filters(waypoint):
        names = [one["name"] for one in filters]
        assert names.index("istio.waypoint.xfcc_client_identity") < names.index("envoy.filters.http.ext_authz")
        ((change,),) = (
            [one["append"] for one in each["mutations"]["request_mutations"]] for each in _settings(filters)
        )
        assert change["header"]["key"] == "x-forwarded-client-cert"
        assert change["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"
        assert "URI=%FILTER_STATE(io.istio.peer_principal" in change["header"]["value"]


def test_without_the_annotation_nobody_says_who_calls() -> None:
    for filters in http_filters(translated(annotations={})):
        assert "istio.waypoint.xfcc_client_identity" not in {one["name"] for one in filters}


def test_a_policy_with_a_selector_is_not_a_waypoints() -> None:
    policy = copy.deepcopy(only(ISTIO / "ambient.yaml", "AuthorizationPolicy", "extauthz"))
    del policy["spec"]["targetRefs"]
    policy["spec"]["selector"] = {"matchLabels": {"app": "fruit"}}
    for filters in http_filters(translated(policy)):
        assert "envoy.filters.http.ext_authz" not in {one["name"] for one in filters}


def _settings(filters: list[Tree]) -> list[Any]:
    return [one["typed_config"] for one in filters if one["name"] == "istio.waypoint.xfcc_client_identity"]


def _waypoint() -> list[Tree]:
    named = {"name": "waypoint", "namespace": "stall", "labels": LABELS}
    ports = [{"name": "mesh", "port": 15008, "appProtocol": "hbone"}]
    ready = [{"type": "Ready", "status": "True"}]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {**named, "labels": {**LABELS, "gateway.istio.io/managed": "istio.io-mesh-controller"}},
            "spec": {"clusterIP": "10.96.0.50", "ports": ports, "selector": LABELS},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": named,
            "spec": {"serviceAccountName": "waypoint"},
            "status": {"phase": "Running", "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}], "conditions": ready},
        },
    ]
