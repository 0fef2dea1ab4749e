"""What Envoy Gateway itself makes of the shipped resources, where `make envoy-gateway` has built the program of
tests/mesh/envoy-gateway."""

import base64
import copy
import json
import os
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from mesh.documents import GATEWAY_API, ROOT, resources
from mesh.schemas import VERSIONS

from extauthz.cli.quickstart.certificates import create_authority

VERSION = VERSIONS["github.com/envoyproxy/gateway"]
"""tests/mesh/envoy-gateway/go.mod and the Makefile name the same."""

Tree = dict[str, Any]


def find_program() -> Path:
    """The program that `make envoy-gateway` builds; skips the test where it is missing."""
    named = os.environ.get("ENVOY_GATEWAY_BIN")
    folder = Path(named) if named else Path.home() / ".cache" / "extauthz" / f"envoy-gateway-{VERSION}"
    if (program := folder / "translate").exists():
        return program
    pytest.skip(
        f"no `{program}`; run `make envoy-gateway`, which needs Go and many minutes, or name its folder in "
        "`ENVOY_GATEWAY_BIN`"
    )


def shipped() -> list[Tree]:
    """The shipped resources for Envoy Gateway, which may be changed."""
    return [copy.deepcopy(one.body) for one in resources(GATEWAY_API / "envoy-gateway")]


def translate(folder: Path, told: Iterable[Tree]) -> Tree:
    """What Envoy Gateway makes of resources: `gateways` with their listeners, clusters, routes and secrets, and
    `policies` with their status. Certificates are made in `folder`."""
    ran = subprocess.run(
        [find_program()],
        input=yaml.safe_dump_all([*told, *_cluster(folder)]),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"HOME": "/tmp"},
    )
    assert ran.returncode == 0, ran.stderr
    made: Tree = json.loads(ran.stdout)
    return made


def _cluster(folder: Path) -> Iterable[Tree]:
    """What stands there beside: namespaces, services (those of extauthz as the chart has them) and certificates."""
    for name in ("edge", "extauthz", "shop"):
        labels = {} if name == "edge" else {"shared-gateway": "edge"}
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    payments = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "payments", "namespace": "shop"},
        "spec": {"ports": [{"port": 8080}]},
    }
    rendered = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "extauthz.yaml").read_text())
    ours = [one for one in rendered if one["kind"] == "Service" and one["spec"].get("clusterIP") != "None"]
    for address, service in enumerate([payments, *ours], start=10):
        yield service | {"spec": service["spec"] | {"clusterIP": f"10.96.0.{address}"}}
    authority = create_authority(folder / "ca.pem", common_name="workloads", now=datetime.now(UTC))
    for namespace, name in (("edge", "workload-ca"), ("extauthz", "extauthz-ca")):
        yield {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace},
            "data": {"ca.crt": (folder / "ca.pem").read_text()},
        }
    for name in ("payments-example-com", "gateway-client"):
        pair = authority.issue(folder / name, common_name=name, dns=["payments.example.com"])
        yield {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": "edge"},
            "type": "kubernetes.io/tls",
            "data": {
                "tls.crt": base64.b64encode(pair.certificate.read_bytes()).decode(),
                "tls.key": base64.b64encode(pair.key.read_bytes()).decode(),
            },
        }
