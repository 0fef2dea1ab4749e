"""What the manifests of deploy/kubernetes promise, each by name: who breaks one in the chart fails here.

They are rendered from the chart and committed, so that this needs no Helm; test_chart.py holds one to the other.
"""

from typing import Any

import pytest
from deploy.pods import Manifest, documents, of_kind
from deploy.tools import ROOT

MANIFESTS = ROOT / "deploy" / "kubernetes"
OBJECTS = {path.stem: documents(path.read_text()) for path in MANIFESTS.glob("*.yaml") if path.stem != "namespace"}
each = pytest.mark.parametrize("objects", OBJECTS.values(), ids=OBJECTS)


def pod_of(objects: list[Manifest]) -> Any:
    return of_kind(objects, "Deployment")["spec"]["template"]["spec"]


def container_of(objects: list[Manifest]) -> Any:
    (container,) = pod_of(objects)["containers"]
    return container


def test_there_are_manifests_for_several_servers_for_one_and_for_mutual_tls() -> None:
    assert set(OBJECTS) == {"extauthz", "mtls", "single"}


@each
def test_the_server_is_nobody_and_may_nothing(objects: list[Manifest]) -> None:
    """The standard `restricted` of Kubernetes' pod security, which namespace.yaml enforces, and more."""
    pod, container = pod_of(objects), container_of(objects)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532 == pod["securityContext"]["runAsGroup"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
    assert not any("hostPath" in volume for volume in pod["volumes"])


def test_the_namespace_refuses_whatever_is_less_strict() -> None:
    (namespace,) = documents((MANIFESTS / "namespace.yaml").read_text())
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {one["metadata"]["namespace"] for objects in OBJECTS.values() for one in objects} == {
        namespace["metadata"]["name"]
    }


@each
def test_it_has_no_token_of_the_cluster(objects: list[Manifest]) -> None:
    assert pod_of(objects)["automountServiceAccountToken"] is False
    assert of_kind(objects, "ServiceAccount")["automountServiceAccountToken"] is False
    assert pod_of(objects)["serviceAccountName"] == of_kind(objects, "ServiceAccount")["metadata"]["name"]
    assert not {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"} & {one["kind"] for one in objects}


@each
def test_kubernetes_adds_no_variables_that_look_like_settings(objects: list[Manifest]) -> None:
    assert pod_of(objects)["enableServiceLinks"] is False


@each
def test_what_it_can_write_to_is_its_state_and_a_folder_for_the_moment(objects: list[Manifest]) -> None:
    mounts = container_of(objects)["volumeMounts"]
    assert {mount["mountPath"] for mount in mounts if not mount.get("readOnly")} == {"/var/lib/extauthz", "/tmp"}
    volumes = {volume["name"]: volume for volume in pod_of(objects)["volumes"]}
    assert {mount["name"] for mount in mounts} == set(volumes)
    for volume in volumes.values():
        assert volume.get("emptyDir", {"sizeLimit": "claim"})["sizeLimit"]
        assert volume.get("secret", {"defaultMode": 0o400})["defaultMode"] == 0o400


@each
def test_nothing_is_mounted_in_a_way_that_never_sees_changes(objects: list[Manifest]) -> None:
    """A `subPath` stays what it was when the pod began."""
    assert not any("subPath" in mount for mount in container_of(objects)["volumeMounts"])


@each
def test_no_secret_is_in_the_manifest(objects: list[Manifest]) -> None:
    assert "Secret" not in {one["kind"] for one in objects}
    for variable in container_of(objects)["env"]:
        assert variable["name"] != "EXTAUTHZ_STORE" or set(variable) == {"name", "valueFrom"}


@each
def test_probes_ask_what_answers(objects: list[Manifest]) -> None:
    """Over gRPC, where no certificate is asked for; ready is who has reached the store."""
    container = container_of(objects)
    with_certificates = any(volume["name"] == "tls" for volume in pod_of(objects)["volumes"])
    for probe in ("startupProbe", "livenessProbe"):
        asks = {key: container[probe][key] for key in ("grpc", "httpGet") if key in container[probe]}
        assert asks == (
            {"httpGet": {"path": "/live", "port": "admin"}} if with_certificates else {"grpc": {"port": 9191}}
        )
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "admin"}
    liveness = container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 60, "a busy server is no dead one"


@each
def test_a_pod_that_goes_answers_what_is_under_way(objects: list[Manifest]) -> None:
    waited = container_of(objects)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod_of(objects)["terminationGracePeriodSeconds"] > waited + 20


@each
def test_what_it_needs_is_asked_for_and_its_memory_has_an_end(objects: list[Manifest]) -> None:
    resources = container_of(objects)["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert set(resources["limits"]) == {"memory"}


@each
def test_administration_is_no_service_for_others(objects: list[Manifest]) -> None:
    """Only the one for Prometheus has the port, and only Prometheus's namespace is let in."""
    for service in (one for one in objects if one["kind"] == "Service"):
        ports = [port["name"] for port in service["spec"]["ports"]]
        assert len(ports) == 1
        if ports == ["admin"]:
            assert service["spec"]["clusterIP"] == "None"
            assert of_kind(objects, "ServiceMonitor")["spec"]["endpoints"][0]["port"] == "admin"
    names = {one["metadata"]["name"] for one in objects if one["kind"] == "Service"}
    assert {"extauthz", "extauthz-pods", "extauthz-web"} <= names


@each
def test_the_network_policy_lets_in_who_is_named(objects: list[Manifest]) -> None:
    policy = of_kind(objects, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert all(rule["from"] and rule["ports"] for rule in policy["ingress"])
    admin = [rule["from"] for rule in policy["ingress"] if rule["ports"][0]["port"] == "admin"]
    scraped = any(one["kind"] == "ServiceMonitor" for one in objects)
    monitoring = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert admin == ([monitoring] if scraped else [])
    assert all(rule["ports"] for rule in policy["egress"])


@each
def test_nobody_may_ask_for_being_in_a_namespace_alone(objects: list[Manifest]) -> None:
    """Whoever may ask can say what they like about a request."""
    for rule in of_kind(objects, "NetworkPolicy")["spec"]["ingress"]:
        if rule["ports"][0]["port"] != "admin":
            assert all(peer["podSelector"]["matchLabels"] for peer in rule["from"])


@each
def test_selectors_mean_the_pods_and_ports_are_those_of_the_container(objects: list[Manifest]) -> None:
    deployment = of_kind(objects, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    ports = {port["name"]: port["containerPort"] for port in container_of(objects)["ports"]}
    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    for one in objects:
        if one["kind"] == "Service":
            selectors.append(one["spec"]["selector"])
            assert all(ports[port["targetPort"]] == port["port"] for port in one["spec"]["ports"])
        elif one["kind"] == "NetworkPolicy":
            selectors.append(one["spec"]["podSelector"]["matchLabels"])
        elif one["kind"] == "PodDisruptionBudget":
            selectors.append(one["spec"]["selector"]["matchLabels"])
    selectors += [spread["labelSelector"]["matchLabels"] for spread in pod_of(objects)["topologySpreadConstraints"]]
    assert all(selector and selector.items() <= labels for selector in selectors)
    monitored = [one["spec"]["selector"]["matchLabels"].items() for one in objects if one["kind"] == "ServiceMonitor"]
    services = [one["metadata"]["labels"].items() for one in objects if one["kind"] == "Service"]
    assert all(sum(selector <= labels for labels in services) == 1 for selector in monitored)


@each
def test_several_share_a_redis_and_are_kept_apart_and_not_taken_away_at_once(objects: list[Manifest]) -> None:
    deployment = of_kind(objects, "Deployment")
    kinds = {one["kind"] for one in objects}
    several = deployment["spec"].get("replicas") != 1
    stored = [variable for variable in container_of(objects)["env"] if variable["name"] == "EXTAUTHZ_STORE"]
    assert bool(stored) == several == ("PodDisruptionBudget" in kinds)
    assert ("PersistentVolumeClaim" in kinds) != several
    assert deployment["spec"]["strategy"]["type"] == ("RollingUpdate" if several else "Recreate")
    assert [one["topologyKey"] for one in pod_of(objects)["topologySpreadConstraints"]] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]


def test_what_is_scaled_has_no_number_of_its_own() -> None:
    """Or each `kubectl apply` would undo what the autoscaler did."""
    deployment = of_kind(OBJECTS["mtls"], "Deployment")
    scaler = of_kind(OBJECTS["mtls"], "HorizontalPodAutoscaler")["spec"]
    assert "replicas" not in deployment["spec"]
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert 1 < scaler["minReplicas"] < scaler["maxReplicas"]
