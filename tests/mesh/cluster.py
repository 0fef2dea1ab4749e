"""A small cluster for Istio to translate for: services, their pods, and the proxies that ask for configuration."""

from typing import Any

import yaml

Resource = dict[str, Any]

SERVICES = (
    # namespace, name, address of its one pod, label `app` of the pod, ports
    ("extauthz", "extauthz", "10.0.0.10", {"app.kubernetes.io/name": "extauthz"}, {"grpc": 9191}),
    ("extauthz", "extauthz-web", "10.0.0.10", {"app.kubernetes.io/name": "extauthz"}, {"http-web": 9192}),
    ("shop", "payments", "10.0.0.20", {"app": "payments"}, {"http": 8080}),
    ("shop", "orders", "10.0.0.21", {"app": "orders"}, {"http": 8080}),
    ("shop", "ledger", "10.0.0.22", {"app": "ledger"}, {"tcp-postgres": 5432}),
    ("stall", "fruit", "10.0.0.30", {"app": "fruit"}, {"http": 8080}),
    ("istio-ingress", "istio-ingress", "10.0.0.40", {"istio": "ingress"}, {"https": 443}),
)
PROXIES: tuple[Resource, ...] = (
    {"name": "payments", "type": "sidecar", "namespace": "shop", "address": "10.0.0.20", "labels": {"app": "payments"}},
    {"name": "orders", "type": "sidecar", "namespace": "shop", "address": "10.0.0.21", "labels": {"app": "orders"}},
    {"name": "ledger", "type": "sidecar", "namespace": "shop", "address": "10.0.0.22", "labels": {"app": "ledger"}},
    {
        "name": "extauthz",
        "type": "sidecar",
        "namespace": "extauthz",
        "address": "10.0.0.10",
        "labels": {"app.kubernetes.io/name": "extauthz"},
    },
    {
        "name": "gateway",
        "type": "router",
        "namespace": "istio-ingress",
        "address": "10.0.0.40",
        "labels": {"istio": "ingress"},
    },
)


def objects() -> str:
    """The cluster's own objects, as YAML: what istiod learns from Kubernetes."""
    pods = {one[2]: one for one in reversed(SERVICES)}
    made = [thing for one in SERVICES for thing in (_service(one), _slice(one))]
    return yaml.safe_dump_all([*made, *(_pod(one) for one in pods.values())])


def _service(one: tuple[Any, ...]) -> Resource:
    namespace, name, _, labels, ports = one
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "clusterIP": f"10.96.0.{SERVICES.index(one) + 10}",
            "selector": labels,
            "ports": [{"name": key, "port": port, "targetPort": port} for key, port in ports.items()],
        },
    }


def _slice(one: tuple[Any, ...]) -> Resource:
    namespace, name, address, labels, ports = one
    pod = {"kind": "Pod", "name": "-".join(labels.values()), "namespace": namespace}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}, "targetRef": pod}],
        "ports": [{"name": key, "port": port, "protocol": "TCP"} for key, port in ports.items()],
    }


def _pod(one: tuple[Any, ...]) -> Resource:
    namespace, _, address, labels, _ = one
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "-".join(labels.values()), "namespace": namespace, "labels": labels},
        "spec": {"serviceAccountName": "default"},
        "status": {"podIP": address, "podIPs": [{"ip": address}], "phase": "Running"},
    }
