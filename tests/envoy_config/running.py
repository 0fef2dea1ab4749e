"""A real extauthz with a configuration, and a real Envoy with what the command wrote for that configuration.

Rule kept here: nothing in what was written is changed afterwards.
"""

import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from e2e.services import http_service, tcp_service
from e2e.stage import HOST, START_SECONDS, Stage, start_envoy, start_extauthz, wait_for_extauthz
from envoy_config.writing import written

from extauthz.cli.quickstart.certificates import create_authority
from extauthz.cli.quickstart.envoy import Admin
from extauthz.cli.quickstart.processes import Processes
from extauthz.cli.quickstart.tokens import AUDIENCE, ISSUER, TokenIssuer

EXTAUTHZ = "spiffe://prod.example.org/ns/extauthz/sa/extauthz"
GATEWAY = "spiffe://prod.example.org/ns/mesh/sa/gateway"
USERS = {
    "name": "idp",
    "issuer": ISSUER,
    "audiences": [AUDIENCE],
    "jwks": "jwks.json",
    "algorithms": ["ES256"],
    "from": ["authorization", "cookie:session"],
}


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
    # Not pytest's tmp_path: the name of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="envoy-"))
    try:
        with ExitStack() as stack:
            service = stack.enter_context(http_service())
            places = {"folder": str(folder), "http": str(service.port), "tcp": str(stack.enter_context(tcp_service()))}
            processes = stack.enter_context(Processes())
            # No test is about how they end, and a server gives its callers time to hear that it goes.
            stack.callback(_kill, processes)
            authority = create_authority(folder / "ca.pem", common_name="envoy-config", now=datetime.now(UTC))
            authority.issue(folder / "server", common_name="localhost", dns=["localhost", HOST])
            authority.issue(folder / "extauthz", common_name="extauthz", uris=[EXTAUTHZ])
            authority.issue_workload(folder / "gateway", GATEWAY)
            issuer = TokenIssuer.create()
            (folder / "jwks.json").write_text(issuer.jwks())
            (folder / "policies").mkdir()
            (folder / "policies" / "policies.yaml").write_text(scene.policies)
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
            extauthz = start_extauthz(processes, folder)
            envoy = start_envoy(processes, folder)
            wait_for_extauthz(extauthz, folder)
            asked = Admin(folder / "admin.sock")
            envoy.wait_until(asked.ready, seconds=START_SECONDS)
            yield Stage(
                folder=folder,
                processes=processes,
                envoy=envoy,
                extauthz=extauthz,
                admin=asked,
                service=service,
                authority=authority,
                issuer=issuer,
                clients=stack.enter_context(ExitStack()),
            )
    finally:
        shutil.rmtree(folder)


def _kill(processes: Processes) -> None:
    for child in processes.children:
        child.signal(signal.SIGKILL)


def _placed(text: str, places: Mapping[str, str]) -> str:
    for name, place in places.items():
        text = text.replace(f"{{{name}}}", place)
    return text
