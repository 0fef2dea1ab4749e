"""What the resources for Envoy Gateway lean on (services, namespaces, certificates), and what `egctl` makes of all."""

import base64
import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from mesh.documents import GATEWAY_API, resources
from mesh.schemas import VERSIONS

from extauthz.cli.quickstart.certificates import create_authority

HOST = "payments.example.com"
Tree = dict[str, Any]


def find_egctl() -> Path:
    """Envoy Gateway's own program; skips the test where it is missing."""
    version = VERSIONS["github.com/envoyproxy/gateway"]
    named = os.environ.get("EGCTL_BIN")
    folder = Path(named) if named else Path.home() / ".cache" / "extauthz" / f"egctl-{version}"
    if (program := folder / "egctl").exists():
        return program
    pytest.skip(f"no `{program}`; run `make egctl`, which needs Go and half an hour, or name its folder in `EGCTL_BIN`")


def translate(egctl: Path, folder: Path, more: str = "") -> Tree:
    """The Envoy configuration that Envoy Gateway makes of the shipped resources and `more` YAML: of the gateway, by the
    kind of resource (listeners, routes, clusters)."""
    text = yaml.safe_dump_all([*(one.body for one in resources(GATEWAY_API / "envoy-gateway")), *_surroundings(folder)])
    (folder / "all.yaml").write_text(text + (f"---\n{more}" if more else ""))
    command: list[str | Path] = [
        egctl,
        "experimental",
        "translate",
        "--from",
        "gateway-api",
        "--to",
        "xds",
        "--type",
        "all",
    ]
    ran = subprocess.run(
        [*command, "--type", "all", "--output", "json", "--file", folder / "all.yaml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=folder,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said: Tree = json.loads(ran.stdout)
    return said


def _surroundings(folder: Path) -> list[Tree]:
    authority = create_authority(folder / "ca.pem", common_name="edge", now=datetime.now(UTC))
    pair = authority.issue(folder / "server", common_name=HOST, dns=[HOST], addresses=[])
    secret = {"tls.crt": pair.certificate, "tls.key": pair.key}
    return [
        *(_namespace(name) for name in ("edge", "extauthz", "shop")),
        _service("extauthz", "extauthz", {"port": 9191, "appProtocol": "grpc"}, 10),
        _service("extauthz", "extauthz-web", {"port": 9192}, 11),
        _service("shop", "payments", {"port": 8080}, 12),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "payments-example-com", "namespace": "edge"},
            "type": "kubernetes.io/tls",
            "data": {name: base64.b64encode(path.read_bytes()).decode() for name, path in secret.items()},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "workload-ca", "namespace": "edge"},
            "data": {"ca.crt": authority.certificate.read_text()},
        },
    ]


def _namespace(name: str) -> Tree:
    labels = {"shared-gateway": "edge", "kubernetes.io/metadata.name": name}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _service(namespace: str, name: str, port: Tree, number: int) -> Tree:
    spec = {"clusterIP": f"10.96.0.{number}", "ports": [{"name": "main", "protocol": "TCP", **port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}
