"""A pod without Kubernetes: what a manifest says of the container, carried out with namespaces of Linux.

The file system that the server sees is read-only and has the volumes alone, as the kubelet lays them out; it has the
user, the groups and the variables of the manifest, no capabilities, and a network of its own.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.namespaces import command_in
from patience import GENEROUS

Manifest = dict[str, Any]


def documents(text: str) -> list[Manifest]:
    """The objects of a manifest."""
    return [one for one in yaml.safe_load_all(text) if one is not None]


def of_kind(objects: Sequence[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The one object of this kind, and of this name if there are several."""
    (found,) = (one for one in objects if one["kind"] == kind and name in (None, one["metadata"]["name"]))
    return found


def mount_files(
    folder: Path, files: Mapping[str, str | bytes], generation: int = 1, mode: int = 0o444, group: int = 65532
) -> None:
    """What a kubelet does: a folder beside, a link `..data` that is replaced, and links through it.

    Files that belong to a group (`fsGroup`) are readable by it, whatever their mode.
    """
    beside = folder / f"..2026_11_22_{generation}"
    beside.mkdir(parents=True)
    beside.chmod(0o755)
    for name, text in files.items():
        path = beside / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        os.chown(path, 0, group)
        path.chmod(mode | 0o040)
    before = (folder / "..data").resolve() if (folder / "..data").exists() else None
    (folder / "..data_tmp").symlink_to(beside.name)
    (folder / "..data_tmp").rename(folder / "..data")
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    if before is not None:
        for path in folder.iterdir():
            if path.is_symlink() and not path.name.startswith("..") and path.name not in files:
                path.unlink()
        shutil.rmtree(before)


@dataclass
class Pod:
    """One container of a manifest that runs, and hands to look into it."""

    process: subprocess.Popen[str]
    volumes: Path
    heard: list[dict[str, Any]] = field(default_factory=list)

    def next_event(self, name: str) -> dict[str, Any]:
        """The next line of its log with this event; it must not end before it."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                said: dict[str, Any] = json.loads(line)
            except ValueError:
                pytest.fail(f"the pod said: {line}{self.process.stderr.read()}")
            self.heard.append(said)
            if said["event"] == name:
                return said
        raise AssertionError(f"the pod ended before it said `{name}`: {self.heard}")

    def warned(self) -> set[str]:
        """What it has said so far that somebody should look at."""
        return {said["event"] for said in self.heard if said["level"] != "info"}

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """A command in the pod's network, with the host's files: for probes and callers."""
        return subprocess.run(
            ["nsenter", "--net", f"--target={self.process.pid}", *command],
            check=False,
            capture_output=True,
            text=True,
            timeout=GENEROUS,
        )

    def get(self, path: str) -> tuple[int, str]:
        """What the admin address answers, as a probe or Prometheus asks it."""
        program = (
            "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 9193, timeout=30);"
            "c.request('GET', sys.argv[1]); a = c.getresponse(); print(a.status); print(a.read().decode())"
        )
        asked = self.run(sys.executable, "-c", program, path)
        status, _, body = asked.stdout.partition("\n")
        return int(status or 0), body

    def stop(self) -> int:
        """What the kubelet does; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=GENEROUS)
        return self.process.returncode


@contextmanager
def running_pod(
    folder: Path,
    objects: Sequence[Manifest],
    secrets: Mapping[str, Mapping[str, str | bytes]],
    *,
    beside: Mapping[Path, str] | None = None,
) -> Iterator[Pod]:
    """Run the container of the one Deployment. `beside` are folders that are put somewhere in it, say a Redis's."""
    template = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    (container,) = template["containers"]
    volumes = folder / "volumes"
    group = template["securityContext"]["fsGroup"]
    binds = []
    for volume in template["volumes"]:
        source = volumes / volume["name"]
        source.mkdir(parents=True)
        if "configMap" in volume:
            config_map = of_kind(objects, "ConfigMap", volume["configMap"]["name"])
            mount_files(source, config_map["data"], mode=volume["configMap"]["defaultMode"], group=group)
        elif "secret" in volume:
            secret = volume["secret"]
            files = secrets[secret["secretName"]]
            if "items" in secret:
                files = {item["path"]: files[item["key"]] for item in secret["items"]}
            mount_files(source, files, mode=secret["defaultMode"], group=group)
        else:  # a claim belongs to the group; an empty folder is everybody's, of whom there is nobody else in the pod
            os.chown(source, 0, group)
            source.chmod(0o2777 if "emptyDir" in volume else 0o2775)
    for mount in container["volumeMounts"]:
        how = "ro" if mount.get("readOnly") else "rw"
        binds.append(f"{how} {volumes / mount['name']} {mount['mountPath']}")
    binds += [f"rw {source} {target}" for source, target in (beside or {}).items()]
    process = subprocess.Popen(
        command_in(folder, binds, _said(container), restrictions=_restrictions(template, container)),
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", **_variables(container, secrets)},
    )
    pod = Pod(process, volumes)
    try:
        yield pod
    finally:
        process.kill()
        process.communicate()


def _said(container: Manifest) -> list[str]:
    return [*container["command"], *container["args"]]


def _restrictions(template: Manifest, container: Manifest) -> list[str]:
    """Options of setpriv for what the manifest says, and nothing that it does not."""
    pod, own = template["securityContext"], container["securityContext"]
    options = [f"--reuid={pod['runAsUser']}", f"--regid={pod['runAsGroup']}", f"--groups={pod['fsGroup']}"]
    if own["capabilities"]["drop"] == ["ALL"]:
        options += ["--bounding-set=-all", "--inh-caps=-all"]
    if not own["allowPrivilegeEscalation"]:
        options.append("--no-new-privs")
    return options


def _variables(container: Manifest, secrets: Mapping[str, Mapping[str, str | bytes]]) -> dict[str, str]:
    said = {}
    for variable in container["env"]:
        if "value" in variable:
            said[variable["name"]] = variable["value"]
        else:
            reference = variable["valueFrom"]["secretKeyRef"]
            said[variable["name"]] = str(secrets[reference["name"]][reference["key"]])
    return said
