"""A stage to attack: two servers on one store behind one Envoy, and users of two issuers."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml
from e2e import bootstrap
from e2e.owners import Owner
from e2e.stage import Script, Stage, stage

from extauthz.cli.quickstart.demo import EXTAUTHZ
from extauthz.cli.quickstart.local_http import answers
from extauthz.cli.quickstart.tokens import AUDIENCE, ISSUER, TokenIssuer

POLICIES = (Path(__file__).parent / "policies" / "attacks.yaml").read_text()
HOST = "bank.example.test"
PARTNER = "https://login.partner.example.net"


@dataclass(frozen=True, kw_only=True)
class Bank:
    """What is attacked: behind the listener `https` one server, behind `replica` another one with the same store."""

    stage: Stage
    partner: TokenIssuer

    def owner(self, sub: str) -> Owner:
        """Somebody with an authenticator app."""
        owner = Owner(self.stage, sub, host=HOST)
        owner.enroll()
        return owner

    def from_address(self, address: str) -> httpx.Client:
        """A client on this machine that Envoy sees at another address."""
        client = httpx.Client(
            transport=httpx.HTTPTransport(verify=self.stage.context(), local_address=address),
            base_url=self.stage.url(),
            headers={"host": HOST},
            trust_env=False,
            timeout=15,
        )
        return self.stage.clients.enter_context(client)


@contextmanager
def banking(folder: Path) -> Iterator[Bank]:
    """Run it; the keys of its other issuer are in `folder`."""
    partner, jwks = TokenIssuer.create(), folder / "jwks.json"
    jwks.write_text(partner.jwks())
    issuers = [("idp", ISSUER, "jwks.json"), ("partner", PARTNER, str(jwks))]
    identity = {
        "users": [
            {
                "name": name,
                "issuer": issuer,
                "audiences": [AUDIENCE],
                "jwks": keys,
                "algorithms": ["ES256"],
                "from": ["authorization", "cookie:session"],
            }
            for name, issuer, keys in issuers
        ]
    }
    configuration = {"identity": identity, "request": {"buffered": True}}
    with stage(Script(policies=POLICIES, edit=_add_listeners, configuration=configuration)) as running:
        _start_replica(running)
        yield Bank(stage=running, partner=partner)


def _add_listeners(tree: bootstrap.Tree) -> None:
    resources = tree["static_resources"]
    for name in ("extauthz", "extauthz_web"):
        cluster = copy.deepcopy(next(entry for entry in resources["clusters"] if entry["name"] == name))
        cluster["name"] = f"{name}_replica"
        cluster.pop("health_checks", None)  # it is started later
        address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
        address["pipe"]["path"] = address["pipe"]["path"].replace(".sock", "-replica.sock")
        resources["clusters"].append(cluster)
    replica, underscored = (copy.deepcopy(resources["listeners"][0]) for _ in range(2))
    replica["name"], underscored["name"] = "replica", "underscored"
    settings = replica["filter_chains"][0]["filters"][0]["typed_config"]
    asking = next(entry for entry in settings["http_filters"] if entry["name"] == bootstrap.EXT_AUTHZ)
    asking["typed_config"]["grpc_service"]["envoy_grpc"]["cluster_name"] = "extauthz_replica"
    for route in settings["route_config"]["virtual_hosts"][0]["routes"]:
        if route["route"]["cluster"] == "extauthz_web":
            route["route"]["cluster"] = "extauthz_web_replica"
    settings = underscored["filter_chains"][0]["filters"][0]["typed_config"]
    settings["common_http_protocol_options"] = {"headers_with_underscores_action": "ALLOW"}
    resources["listeners"] += [replica, underscored]


def _start_replica(on: Stage) -> None:
    """Another server with the same configuration, and so the same store and keys."""
    configuration = yaml.safe_load((on.folder / "extauthz.yaml").read_text())
    listen = {name: address.replace(".sock", "-replica.sock") for name, address in configuration["listen"].items()}
    (on.folder / "replica.yaml").write_text(yaml.safe_dump({**configuration, "listen": listen}))
    command: list[str | Path] = [*EXTAUTHZ, "serve", "--config", on.folder / "replica.yaml"]
    replica = on.processes.start("replica", command, log=on.folder / "replica.log", folder=on.folder)
    replica.wait_until(lambda: answers(on.folder / "probes-replica.sock", "/ready"), seconds=60)
