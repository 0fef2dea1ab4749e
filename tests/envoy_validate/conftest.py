"""One Envoy that has the listeners of all samples, and behind it one extauthz: what findings warn of, seen."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e import bootstrap
from e2e.conftest import missing
from e2e.stage import DISCARD_PORT, USERS, Script, Stage, stage

from extauthz.cli.quickstart.envoy import find_envoy
from extauthz.errors import ConfigurationError

HERE = Path(__file__).parent
SAMPLES = sorted((HERE / "samples").glob("*.yaml"))
HARMLESS = sorted((HERE / "harmless").glob("*.yaml"))
REFUSED = {
    "connections-unseen",  # of a file that is not there
    "early-data",  # not over TCP
    "filter-after-router",
    "filter-behind-proxy",
    "filter-unseen",  # of a file that is not there
    "routes-unseen",
    "routes-unseen-of-virtual-hosts",
    "transcoder-after",
}
"""Samples whose listeners Envoy does not take."""
ALONE = "alone"
"""What the names of listeners end with that ask an extauthz which is not there."""
POLICIES = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: dangers}
spec:
  rules:
    - name: shop-alone
      paths: ["/shop", "/shop/**"]
      workloads: ["spiffe://prod.example.org/ns/shop/sa/web"]
      effect: allow
      allow:
        headers: {x-authz-subject: workload.id}
    - name: shop-without-http
      tcp: true
      workloads: ["spiffe://prod.example.org/ns/shop/sa/web"]
      effect: allow
    - name: anybody
      paths: ["/anybody"]
      effect: allow
      allow:
        headers: {x-authz-subject: "'nobody'"}
    - name: blocked
      paths: ["/anybody"]
      when: '"x-blocked" in request.headers'
      effect: deny
    - name: alice-alone
      paths: ["/alice"]
      when: user.sub == "alice"
      effect: allow
    - name: elsewhere
      paths: ["/elsewhere"]
      effect: allow
    - name: with-a-whole-body
      paths: ["/open/whole"]
      when: request.size > 0 && !request.truncated
      effect: allow
    - name: without-a-body
      paths: ["/open/bodiless"]
      when: request.size == 0 && !request.truncated
      effect: allow
"""


@pytest.fixture(scope="session")
def dangers() -> Iterator[Stage]:
    """Listeners are called as their samples; those beside the first one as sample and listener, with a colon."""
    try:
        find_envoy()
    except ConfigurationError as error:
        missing(str(error))
    sources = ["source_principal", "peer_certificate", "xfcc"]
    workload = {"trust_domains": ["prod.example.org"], "sources": sources, "xfcc": {"without_principal": True}}
    identity = {"workload": workload, "users": [USERS]}
    with stage(Script(policies=POLICIES, edit=_replace_listeners, configuration={"identity": identity})) as running:
        yield running


def _replace_listeners(tree: bootstrap.Tree) -> None:
    chain = tree["static_resources"]["listeners"][0]["filter_chains"][0]
    certificates = chain["transport_socket"]["typed_config"]["common_tls_context"]["tls_certificates"]
    folder = str(Path(certificates[0]["certificate_chain"]["filename"]).parent)
    tree["static_resources"]["listeners"] = [
        listener
        for sample in (*SAMPLES, *HARMLESS)
        if sample.stem not in REFUSED
        for listener in _listeners(sample, folder)
    ]
    alone = [
        listener
        for name in ("good", "failure-mode-allow")
        for listener in _listeners(HERE / "samples" / f"{name}.yaml", folder, cluster="nobody")
    ]
    for listener in alone:
        listener["name"] += f":{ALONE}"
    tree["static_resources"]["listeners"] += alone
    clusters = tree["static_resources"]["clusters"]
    for name, like, port in (("nobody", "extauthz", DISCARD_PORT), ("second", "service", None)):
        copied = yaml.safe_load(yaml.safe_dump(next(one for one in clusters if one["name"] == like)))
        copied["name"] = copied["load_assignment"]["cluster_name"] = name
        copied.pop("health_checks", None)
        clusters.append(copied)
        if port is not None:
            bootstrap.point(tree, name, bootstrap.tcp(port))
    _add_resources(tree)


def _add_resources(tree: bootstrap.Tree) -> None:
    """Clusters that single samples have beside the usual ones, and secrets; where they have addresses, they lead to
    the service."""
    resources = tree["static_resources"]
    known = {one["name"]: one for one in resources["clusters"]}
    (locality,) = known["service"]["load_assignment"]["endpoints"]
    service = locality["lb_endpoints"][0]["endpoint"]["address"]
    for sample in (*SAMPLES, *HARMLESS):
        theirs = yaml.safe_load(sample.read_text())["static_resources"]
        resources.setdefault("secrets", []).extend(
            one for one in theirs.get("secrets", []) if one not in resources["secrets"]
        )
        for cluster in theirs["clusters"]:
            if cluster["name"] not in known:
                known[cluster["name"]] = cluster
                resources["clusters"].append(cluster)
                if "load_assignment" in cluster:
                    bootstrap.point(tree, cluster["name"], service)


def _listeners(sample: Path, folder: str, *, cluster: str = "extauthz") -> Iterator[dict[str, Any]]:
    text = sample.read_text().replace("/etc/envoy/tls", folder).replace("timeout: 0.25s", "timeout: 8s")
    text = text.replace("cluster_name: extauthz}, timeout", f"cluster_name: {cluster}}}, timeout")
    for number, listener in enumerate(yaml.safe_load(text)["static_resources"]["listeners"]):
        listener["name"] = f"{sample.stem}:{listener['name']}" if number else sample.stem
        listener["address"] = bootstrap.tcp(0)
        yield listener
