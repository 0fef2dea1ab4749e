"""Istio's own analysis of the shipped resources, where `make istioctl` has built it."""

import subprocess
from pathlib import Path

import pytest
import yaml
from mesh.cluster import objects
from mesh.documents import INSTALLERS, ISTIO
from mesh.translating import ALTERNATIVES, find_program


def analyze(folder: Path, *files: Path) -> "subprocess.CompletedProcess[str]":
    """What `istioctl analyze` says of files, beside the cluster that they are for."""
    cluster = folder / "cluster.yaml"
    labelled = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"istio-injection": "enabled"}}}
        for name in ("extauthz", "shop", "istio-ingress")
    ]
    cluster.write_text(objects() + "---\n" + yaml.safe_dump_all(labelled))
    command: list[str | Path] = [
        find_program("istioctl"),
        "analyze",
        "--use-kube=false",
        "--all-namespaces",
        "--color=false",
    ]
    # That an EnvoyFilter may break with any version of Istio is known, and docs/istio.md says so.
    known = ["--suppress", "IST0133=EnvoyFilter */extauthz"]
    mesh: list[str | Path] = ["--color=false", "--meshConfigFile", ISTIO / "mesh.yaml", "--failure-threshold=Info"]
    return subprocess.run(
        [*command, *known, *mesh, cluster, *files], capture_output=True, text=True, check=False, timeout=300, cwd=folder
    )


def test_istio_finds_nothing_wrong(tmp_path: Path) -> None:
    files = [path for path in sorted(ISTIO.glob("*.yaml")) if path.name not in {*INSTALLERS, *ALTERNATIVES}]
    said = analyze(tmp_path, *files)
    assert (said.returncode, said.stdout.strip()) == (0, ""), said.stdout + said.stderr


@pytest.mark.parametrize("name", sorted(ALTERNATIVES))
def test_istio_finds_nothing_wrong_in_an_alternative(tmp_path: Path, name: str) -> None:
    said = analyze(tmp_path, ISTIO / name)
    assert said.returncode == 0, said.stdout + said.stderr


def test_istio_finds_what_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((ISTIO / "pages.yaml").read_text().replace("istio-ingress/public", "istio-ingress/missing"))
    said = analyze(tmp_path, wrong)
    assert said.returncode != 0
    assert "IST0101" in said.stdout + said.stderr


def test_the_configuration_for_istioctl_is_one(tmp_path: Path) -> None:
    made = subprocess.run(
        [find_program("istioctl"), "manifest", "generate", "-f", ISTIO / "operator.yaml"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=tmp_path,
    )
    assert made.returncode == 0, made.stderr
    (told,) = (
        one["data"]["mesh"]
        for one in yaml.safe_load_all(made.stdout)
        if one and one["kind"] == "ConfigMap" and one["metadata"]["name"] == "istio"
    )
    said = yaml.safe_load(told)
    ours = yaml.safe_load((ISTIO / "mesh.yaml").read_text())
    assert said["extensionProviders"][-len(ours["extensionProviders"]) :] == ours["extensionProviders"]
    assert said["pathNormalization"] == ours["pathNormalization"]
    assert said["defaultConfig"].items() >= ours["defaultConfig"].items()
