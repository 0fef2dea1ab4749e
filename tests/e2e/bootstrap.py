"""Envoy's configuration for these tests: the files of `envoy/` that users get, with the addresses of a test put in.

Rule kept here: everything but addresses, paths of certificates, the timeout of a Check and what a test names is as it
is shipped.
"""

from pathlib import Path
from typing import Any

import yaml

SHIPPED = Path(__file__).parents[2] / "envoy"
CHECK_TIMEOUT = "8s"
EXT_AUTHZ = "envoy.filters.http.ext_authz"

Tree = dict[str, Any]


def load(name: str, *, tls: Path, run: Path) -> Tree:
    """`envoy/<name>.yaml` with certificates from `tls`, sockets in `run`, and listeners on free loopback ports."""
    text = (SHIPPED / f"{name}.yaml").read_text()
    text = text.replace("/etc/envoy/tls", str(tls)).replace("/run/envoy", str(run)).replace("/run/extauthz", str(run))
    tree: Tree = yaml.safe_load(text)
    for listener in tree["static_resources"]["listeners"]:
        listener["address"] = tcp(0)
        for entry in listener["filter_chains"][0]["filters"]:
            for asking in (entry, *entry["typed_config"].get("http_filters", [])):
                if asking["name"].endswith(".ext_authz"):
                    # A machine that runs a browser beside may stall for longer than the quarter of a second.
                    asking["typed_config"]["grpc_service"]["timeout"] = CHECK_TIMEOUT
    return tree


def tcp(port: int) -> Tree:
    """A loopback address."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def pipe(path: Path) -> Tree:
    """The address of a Unix socket."""
    return {"pipe": {"path": str(path)}}


def point(tree: Tree, cluster: str, address: Tree) -> None:
    """Let `cluster` have this one endpoint."""
    found = next(entry for entry in tree["static_resources"]["clusters"] if entry["name"] == cluster)
    found["type"] = "STATIC"
    found["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]


def connection_manager(tree: Tree, listener: int = 0) -> Tree:
    """The settings of the HTTP connection manager of a listener."""
    filters: list[Tree] = tree["static_resources"]["listeners"][listener]["filter_chains"][0]["filters"]
    settings: Tree = filters[0]["typed_config"]
    return settings


def ext_authz(tree: Tree) -> Tree:
    """The settings of the HTTP filter that asks extauthz."""
    filters: list[Tree] = connection_manager(tree)["http_filters"]
    settings: Tree = next(entry for entry in filters if entry["name"] == EXT_AUTHZ)["typed_config"]
    return settings


def routes(tree: Tree) -> list[Tree]:
    """The routes of the first listener."""
    found: list[Tree] = connection_manager(tree)["route_config"]["virtual_hosts"][0]["routes"]
    return found
