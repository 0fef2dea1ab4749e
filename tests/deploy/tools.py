"""Helm and kubectl-validate, where `make mesh-tools` has put them."""

import os
from pathlib import Path

import pytest

from deploy.render import helm_binary

ROOT = Path(__file__).parents[2]
KUBECTL_VALIDATE = "v0.0.4"


def find_helm() -> Path:
    """The binary; without it these tests are skipped, also where everything is required: it takes long to build, and
    what it makes of the chart is committed and held to the rest."""
    return _or_skip(helm_binary())


def find_kubectl_validate() -> Path:
    """Likewise."""
    named = os.environ.get("KUBECTL_VALIDATE_BIN")
    folder = Path.home() / ".cache" / "extauthz" / f"kubectl-validate-{KUBECTL_VALIDATE}"
    return _or_skip(Path(named) if named else folder / "kubectl-validate")


def _or_skip(binary: Path) -> Path:
    if not binary.exists():
        pytest.skip(f"no `{binary}`; run `make mesh-tools`, which needs Go")
    return binary
