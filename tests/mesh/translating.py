"""What Istio itself makes of the shipped resources, where `make istioctl` has built the program of tests/mesh/istio."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from mesh.cluster import PROXIES, objects
from mesh.documents import ISTIO, mesh, resources

VERSION = "1.31-20260827"
"""Of Istio; tests/mesh/istio/go.mod says exactly which, and the Makefile names the same."""
WITHOUT = {"v1/Namespace", "apps/v1/Deployment"}
# ask-namespace.yaml says of all of `shop` what ask-workload.yaml says of one workload: both at once are one too many.
ALTERNATIVES = {"ask-namespace.yaml"}

Tree = dict[str, Any]


def find_program(name: str) -> Path:
    """A program that `make istioctl` builds; skips the test where it is missing."""
    named = os.environ.get("ISTIO_BIN")
    folder = Path(named) if named else Path.home() / ".cache" / "extauthz" / f"istio-{VERSION}"
    if (program := folder / name).exists():
        return program
    pytest.skip(
        f"no `{program}`; run `make istioctl`, which needs Go and half an hour, or name its folder in `ISTIO_BIN`"
    )


def translate(program: Path, *, without: frozenset[str] = frozenset(), more: str = "") -> dict[str, Tree]:
    """What Istio makes of the shipped files but those `without`, and of `more` YAML: for each proxy of the cluster its
    listeners, clusters and routes."""
    left_out = ALTERNATIVES | without
    told = [one.body for one in resources(ISTIO) if one.file.name not in left_out and one.kind not in WITHOUT]
    job = {
        "mesh": yaml.safe_dump(mesh()),
        "kubernetes": objects(),
        "configs": yaml.safe_dump_all(told) + (f"---\n{more}" if more else ""),
        "proxies": PROXIES,
    }
    ran = subprocess.run(
        [program], input=json.dumps(job), capture_output=True, text=True, check=False, timeout=120, env={"HOME": "/tmp"}
    )
    assert ran.returncode == 0, ran.stderr
    translated: dict[str, Tree] = json.loads(ran.stdout)
    return translated
