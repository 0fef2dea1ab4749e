"""Whole configurations, each kind as one file that Envoy runs.

The rule kept here: what a file says is complete. What is needed elsewhere (of extauthz, of a gateway in front) is
said in its comments.
"""

import json
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from envoy_data_plane.envoy.config.bootstrap import v3 as bootstrap
from envoy_data_plane.envoy.config.overload.v3 import OverloadManager, ResourceMonitor
from envoy_data_plane.envoy.extensions.resource_monitors.downstream_connections.v3 import DownstreamConnectionsConfig

from extauthz.envoy import clusters
from extauthz.envoy.addresses import Address, Pipe
from extauthz.envoy.heads import of_front, of_proxy, of_workers
from extauthz.envoy.listening import approvals_listener, http_listener, tcp_listener
from extauthz.envoy.notes import Noted, Notes, Plain, plain
from extauthz.envoy.wanted import ApproversFront, Own, Proxy, Server
from extauthz.envoy.yaml_text import render

_ONLY_OWNER: Final = 0o600


@dataclass(frozen=True, slots=True)
class Configuration:
    """Envoy's configuration, with what is said of it."""

    message: bootstrap.Bootstrap
    noted: Noted
    head: str

    def as_yaml(self) -> str:
        """With comments, for people."""
        return render(self.noted, head=self.head)

    def as_json(self) -> str:
        """Without comments, for programs."""
        return json.dumps(self.plain, indent=2, ensure_ascii=False)

    @property
    def plain(self) -> Plain:
        """As Envoy's JSON, with the names that its own definition has."""
        return plain(self.noted)


def proxy_configuration(proxy: Proxy) -> Configuration:
    """A gateway or a sidecar.

    Raises:
        ConfigurationError: names and sockets are in one cluster.
    """
    notes = Notes()
    called = [
        clusters.plain_cluster(
            notes,
            clusters.SERVICE,
            proxy.service,
            said="what is protected",
            patience=2 if proxy.kind == "gateway" else 1,
        )
    ]
    if proxy.tcp is not None:
        called.append(
            clusters.plain_cluster(
                notes,
                clusters.SERVICE_TCP,
                proxy.tcp.service,
                said="what is protected and is not HTTP",
                patience=1,
            )
        )
    if proxy.service_grpc is not None:
        called.append(
            clusters.plain_cluster(
                notes,
                clusters.SERVICE_GRPC,
                proxy.service_grpc,
                said="the same, if it speaks gRPC"
                + ("" if proxy.service_grpc.said else "; else leave it, nobody calls it"),
                http2=True,
            )
        )
    called.append(clusters.checks_cluster(notes, proxy.server))
    if proxy.asking.hold is not None:
        called.append(clusters.holding_cluster(notes, proxy.server, at_once=proxy.asking.hold.at_once))
    called.append(clusters.pages_cluster(notes, proxy.server.pages))
    if proxy.seen.collector is not None:
        said = "where spans go" + (
            "" if proxy.seen.collector.said else "; without a collector remove this cluster and `tracing` above"
        )
        called.append(
            clusters.plain_cluster(notes, clusters.COLLECTOR, proxy.seen.collector, said=said, http2=True, patience=1)
        )
    listeners = [http_listener(notes, proxy)]
    if proxy.tcp is not None:
        listeners.append(tcp_listener(notes, proxy, proxy.tcp))
    resources = bootstrap.BootstrapStaticResources(listeners=listeners, clusters=called)
    return _whole(notes, partial(of_proxy, proxy), proxy.admin, resources, connections=20_000)


def approvals_configuration(front: ApproversFront) -> Configuration:
    """A listener in front of the approvers' pages.

    Raises:
        ConfigurationError: names and sockets are in one cluster.
    """
    notes = Notes()
    resources = bootstrap.BootstrapStaticResources(
        listeners=[approvals_listener(notes, front)], clusters=[clusters.approvals_cluster(notes, front.pages)]
    )
    return _whole(notes, of_front, front.admin, resources, connections=5_000)


def workers_configuration(server: Server) -> Configuration:
    """The clusters of several workers alone.

    Raises:
        ConfigurationError: names and sockets are in one cluster.
    """
    notes = Notes()
    resources = bootstrap.BootstrapStaticResources(
        clusters=[clusters.checks_cluster(notes, server), clusters.pages_cluster(notes, server.pages)]
    )
    message = bootstrap.Bootstrap(static_resources=resources)
    return Configuration(message, notes.tree(message), of_workers(server))


def _whole(
    notes: Notes,
    head: "Head",
    admin: Own[Address] | None,
    resources: bootstrap.BootstrapStaticResources,
    *,
    connections: int,
) -> Configuration:
    message = bootstrap.Bootstrap(
        overload_manager=OverloadManager(
            resource_monitors=[
                notes.on(
                    ResourceMonitor(
                        name="envoy.resource_monitors.global_downstream_max_connections",
                        typed_config=notes.pack(
                            DownstreamConnectionsConfig(max_active_downstream_connections=connections)
                        ),
                    ),
                    name="Without a limit a flood of connections ends in a lack of memory instead of refused"
                    " connections.",
                )
            ]
        ),
        static_resources=resources,
    )
    if admin is not None:
        message.admin = notes.on(
            bootstrap.Admin(address=clusters.address_message(admin.value, mode=_ONLY_OWNER)),
            address=_of_admin(admin),
        )
    notes.on(message, admin=None, overload_manager=None, static_resources=None)
    noted = notes.tree(message)
    return Configuration(message, noted, head(yours=noted.is_marked))


class Head(Protocol):
    """What stands over a file. `yours` says whether a line is marked as the reader's."""

    def __call__(self, *, yours: bool) -> str:
        """As text."""


def _of_admin(admin: Own[Address]) -> str:
    if isinstance(admin.value, Pipe):
        return (
            "A socket file, not a port: whoever reaches the admin interface can drain or stop Envoy. 384 is 0600.\n"
            + admin.marked(
                "a folder that is there before Envoy starts, and that belongs to the user that Envoy runs as."
            )
        )
    return "Whoever reaches the admin interface can drain or stop Envoy: let nobody else get here."
