"""A real extauthz with a configuration, and a real Envoy with what the command wrote for that configuration.

Rule kept here: nothing in what was written is changed afterwards.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import yaml
from e2e.services import http_service, tcp_service
from e2e.stage import HOST, USERS, Stage, prepared
from envoy_config.writing import written

EXTAUTHZ = "spiffe://prod.example.org/ns/extauthz/sa/extauthz"
GATEWAY = "spiffe://prod.example.org/ns/mesh/sa/gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What runs. `{folder}`, `{http}` and `{tcp}` stand for the folder, which has the certificates, and for the ports
    of a service over HTTP and of one over TCP. Probes are asked at `probes.sock` in the folder, Envoy at `admin.sock`.
    """

    kind: str
    options: tuple[str, ...]
    configuration: Mapping[str, Any]
    policies: str


@contextmanager
def running(scene: Scene) -> Iterator[Stage]:
    """Run it."""
    with ExitStack() as services:
        service, tcp = services.enter_context(http_service()), services.enter_context(tcp_service())
        ground = services.enter_context(prepared("envoy", scene.policies))
        folder = ground.folder
        places = {"folder": str(folder), "http": str(service.port), "tcp": str(tcp)}
        ground.authority.issue(folder / "server", common_name="localhost", dns=["localhost", HOST])
        ground.authority.issue(folder / "extauthz", common_name="extauthz", uris=[EXTAUTHZ])
        ground.authority.issue_workload(folder / "gateway", GATEWAY)
        file = folder / "extauthz.yaml"
        configuration = {
            "policies": ["policies/"],
            "identity": {"workload": {"trust_domains": ["prod.example.org"]}, "users": [USERS]},
            **scene.configuration,
        }
        file.write_text(_placed(yaml.safe_dump(configuration), places))
        options = [_placed(option, places) for option in scene.options]
        admin = ("--admin", f"unix:{folder}/admin.sock")
        (folder / "envoy.yaml").write_text(written(scene.kind, "--config", str(file), *admin, *options))
        yield services.enter_context(ground.running(service))


def _placed(text: str, places: Mapping[str, str]) -> str:
    for name, place in places.items():
        text = text.replace(f"{{{name}}}", place)
    return text
