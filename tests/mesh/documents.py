"""The shipped resources: what envoy/istio/ and envoy/gateway-api/ hold, document by document."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
ISTIO = ROOT / "envoy" / "istio"
GATEWAY_API = ROOT / "envoy" / "gateway-api"
INSTALLERS = ("mesh.yaml", "helm-values.yaml", "operator.yaml")
"""Files of envoy/istio/ that are read by whoever installs Istio, and are no resources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One resource, and the file that it stands in."""

    file: Path
    body: dict[str, Any]

    @property
    def kind(self) -> str:
        """Its group, version and kind, as `group/version/Kind`; the core group is `v1/Kind`."""
        return f"{self.body['apiVersion']}/{self.body['kind']}"

    @property
    def name(self) -> str:
        """What to call it in a report: file, kind and name."""
        metadata = self.body["metadata"]
        place = "/".join(part for part in (metadata.get("namespace"), metadata["name"]) if part)
        return f"{self.file.relative_to(ROOT / 'envoy')}:{self.body['kind']}:{place}"


def resources(folder: Path) -> list[Document]:
    """All resources under a folder."""
    return [one for path in sorted(folder.rglob("*.yaml")) if path.name not in INSTALLERS for one in within(path)]


@cache
def _read(path: Path) -> tuple[dict[str, Any], ...]:
    return tuple(body for body in yaml.safe_load_all(path.read_text()) if body)


def within(path: Path) -> Iterator[Document]:
    """The resources of one file."""
    return (Document(file=path, body=body) for body in _read(path))


def only(path: Path, kind: str, name: str | None = None, namespace: str | None = None) -> dict[str, Any]:
    """The one resource of this kind (and name, and namespace) in a file."""
    (found,) = (
        one.body
        for one in within(path)
        if one.body["kind"] == kind
        and name in (None, one.body["metadata"]["name"])
        and namespace in (None, one.body["metadata"].get("namespace"))
    )
    return found


def mesh() -> dict[str, Any]:
    """The mesh configuration of envoy/istio/mesh.yaml."""
    (body,) = _read(ISTIO / "mesh.yaml")
    return body


def provider(name: str) -> dict[str, Any]:
    """What the mesh configuration says of a provider of decisions."""
    (found,) = (one["envoyExtAuthzGrpc"] for one in mesh()["extensionProviders"] if one["name"] == name)
    assert isinstance(found, dict)
    return found
