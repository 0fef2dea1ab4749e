"""The listeners, routes and clusters in documents of any shape.

Known are bootstraps, what the admin interface gives at `/config_dump`, discovery responses, single resources, and
lists of any of them. The rule: what is nothing of these is an error, so that no file is passed over in silence.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from extauthz.envoy.validate.reading import UnreadableEnvoy
from extauthz.envoy.validate.spots import Spot


@dataclass(slots=True)
class Resources:
    """What was found. `filters` are those that come by discovery of extensions, by name, `endpoints` what comes by
    discovery of endpoints, by the name that clusters give it, `secrets` those of bootstraps.

    `dumped` are the kinds of which a dump tells those that came over the network, too.
    """

    bootstraps: list[Spot] = field(default_factory=list)
    listeners: list[Spot] = field(default_factory=list)
    routes: list[Spot] = field(default_factory=list)
    clusters: list[Spot] = field(default_factory=list)
    filters: dict[str, Spot] = field(default_factory=dict)
    endpoints: dict[str, Spot] = field(default_factory=dict)
    secrets: dict[str, Spot] = field(default_factory=dict)
    dumped: set[str] = field(default_factory=set)


_DUMPS = {
    "ListenersConfigDump": ("listeners", (("static_listeners", "listener"), ("dynamic_listeners", "active_state"))),
    "ClustersConfigDump": ("clusters", (("static_clusters", "cluster"), ("dynamic_active_clusters", "cluster"))),
    "RoutesConfigDump": (
        "routes",
        (("static_route_configs", "route_config"), ("dynamic_route_configs", "route_config")),
    ),
    "EcdsConfigDump": ("filters", (("ecds_filters", "ecds_filter"),)),
    "SecretsConfigDump": ("secrets", (("static_secrets", "secret"), ("dynamic_active_secrets", "secret"))),
    "EndpointsConfigDump": (
        "endpoints",
        (("static_endpoint_configs", "endpoint_config"), ("dynamic_endpoint_configs", "endpoint_config")),
    ),
}
"""Where a part of a dump keeps its resources: lists, and the field of each element."""
_NAMED = {"filters": "name", "endpoints": "cluster_name", "secrets": "name"}
"""The kinds that are kept by name, and what that is."""
_OTHER_DUMPS = frozenset({"ScopedRoutesConfigDump"})


def collect(roots: list[Spot]) -> Resources:
    """Everything in these documents. Raises `UnreadableEnvoy` for one that is no configuration of Envoy."""
    found = Resources()
    for root in roots:
        _take(root, found)
    return found


def _take(spot: Spot, found: Resources) -> None:
    kind = spot["@type"].text.rpartition(".")[2]
    if kind in _DUMPS:
        _take_dump(spot, kind, found)
    elif kind == "BootstrapConfigDump":
        _take_bootstrap(spot["bootstrap"], found, told=found.dumped)
    elif kind in _OTHER_DUMPS:
        return
    elif kind == "TypedExtensionConfig":
        found.filters[spot["name"].text] = spot
    elif kind == "ClusterLoadAssignment" or (spot["cluster_name"].exists and spot["endpoints"].exists):
        found.endpoints[spot["cluster_name"].text] = spot
    elif kind == "Resource":
        _take(spot["resource"], found)
    elif spot["configs"].items:
        _take_configs(spot["configs"].items, found)
    elif spot.items or spot["resources"].items:
        for item in spot.items or spot["resources"].items:
            _take(item, found)
    elif kind == "Bootstrap" or any(spot[name].exists for name in ("static_resources", "dynamic_resources", "admin")):
        _take_bootstrap(spot, found, told=frozenset())
    else:
        _take_resource(spot, kind, found)


def _take_resource(spot: Spot, kind: str, found: Resources) -> None:
    if spot["apiVersion"].exists and spot["kind"].exists:
        raise UnreadableEnvoy(
            f"{spot.file}:{spot.line}: a resource of Kubernetes (`{spot['kind'].text}`), no configuration of Envoy;"
            " give what Envoy has made of it: `/config_dump` of its admin interface"
        )
    if kind == "Listener" or any(spot[name].exists for name in ("filter_chains", "default_filter_chain")):
        found.listeners.append(spot)
    elif kind == "RouteConfiguration" or spot["virtual_hosts"].exists:
        found.routes.append(spot)
    elif kind == "Cluster" or any(spot[name].exists for name in ("load_assignment", "connect_timeout", "lb_policy")):
        found.clusters.append(spot)
    else:
        raise UnreadableEnvoy(
            f"{spot.file}:{spot.line}: no configuration of Envoy; give a bootstrap, a `/config_dump`, or listeners,"
            " routes and clusters"
        )


def _take_configs(configs: Sequence[Spot], found: Resources) -> None:
    # A dump tells what the bootstrap has a second time, among what is static.
    kinds = {spot["@type"].text.rpartition(".")[2] for spot in configs}
    found.dumped |= {_DUMPS[kind][0] for kind in kinds if kind in _DUMPS}
    for spot in configs:
        _take(spot, found)


def _take_dump(spot: Spot, kind: str, found: Resources) -> None:
    name, places = _DUMPS[kind]
    found.dumped.add(name)
    for listed, inner in places:
        for entry in spot[listed].items:
            resource = entry.at(inner, "listener") if inner == "active_state" else entry[inner]
            if not resource.exists:
                continue
            if name in _NAMED:
                by_name: dict[str, Spot] = getattr(found, name)
                by_name[resource[_NAMED[name]].text] = resource
            else:
                into: list[Spot] = getattr(found, name)
                into.append(resource)


def _take_bootstrap(spot: Spot, found: Resources, *, told: Container[str]) -> None:
    """What is static; of the kinds that are `told` the same dump has them among its own."""
    found.bootstraps.append(spot)
    static = spot["static_resources"]
    if "listeners" not in told:
        found.listeners += static["listeners"].items
    if "clusters" not in told:
        found.clusters += static["clusters"].items
    found.secrets |= {secret["name"].text: secret for secret in static["secrets"].items}
