"""Who is asked about what: connection managers, their filters and routes, and the calls to extauthz.

The rule: an `ext_authz` filter counts as ours wherever its call leads; which server a cluster reaches can't be seen.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import msgspec

from extauthz.envoy.validate.filters import EXT_AUTHZ, Filter, filter_of, type_of
from extauthz.envoy.validate.resources import Resources
from extauthz.envoy.validate.sockets import addresses, places, tls_of
from extauthz.envoy.validate.spots import Spot

PAGES: Final = "/.extauthz"
"""Below this path extauthz serves its pages, and Envoy asks nobody."""
OWN: Final = "extauthz"
"""What the names of clusters begin with that lead to extauthz itself; their routes need no filter."""
HTTP: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
"""Under which name clusters say how HTTP is spoken with them."""


@dataclass(frozen=True)
class Route:
    """A route, and the levels above it whose settings for filters count."""

    spot: Spot
    host: Spot
    table: Spot

    @cached_property
    def levels(self) -> Sequence[Spot]:
        """What holds settings for filters, the most particular last."""
        return (self.table, self.host, self.spot)

    def settings(self, name: str) -> Iterator[Spot]:
        """The settings for the filter of that name, the most particular first."""
        for level in reversed(self.levels):
            if (found := setting(level, name)).exists:
                yield found

    @cached_property
    def path(self) -> str:
        """What paths begin with that it takes, or are; empty where it goes by something else."""
        match = self.spot["match"]
        return next(
            (match[name].text for name in ("path", "path_separated_prefix", "prefix") if match[name].exists), ""
        )

    @cached_property
    def is_pages(self) -> bool:
        """Whether it is for the pages of extauthz alone."""
        return self.path == PAGES or self.path.startswith(f"{PAGES}/")

    @cached_property
    def forwards(self) -> bool:
        """Whether a request goes on to a service; else Envoy answers."""
        return self.spot["route"].exists

    @cached_property
    def weighted(self) -> Sequence[Spot]:
        """The clusters among which it chooses by weight."""
        return self.spot.at("route", "weighted_clusters", "clusters").items

    @cached_property
    def mirrors(self) -> Sequence[Spot]:
        """Where copies of its requests go: what the most particular level says that says anything."""
        levels = (self.spot["route"], self.host, self.table)
        said = (level["request_mirror_policies"].items for level in levels if self.forwards)
        return next((found for found in said if found), ())

    @cached_property
    def mirrored(self) -> frozenset[str]:
        """The clusters that get copies, as far as they are named."""
        return frozenset(name for one in self.mirrors if (name := one["cluster"].text))

    @cached_property
    def clusters(self) -> frozenset[str]:
        """The clusters that it leads to, as far as it names them."""
        named = [self.spot.at("route", "cluster").text, *(one["name"].text for one in self.weighted)]
        return frozenset(name for name in named if name)

    @cached_property
    def leads_to_us(self) -> bool:
        """Whether it leads to extauthz itself."""
        return bool(self.clusters) and all(name.startswith(OWN) for name in self.clusters)

    def has_on(self, guard: Filter) -> bool:
        """Whether a filter runs here: one that is off by default is switched on by any settings that it has."""
        settings = next(self.settings(guard.name), None)
        return not (guard.spot if settings is None else settings)["disabled"].flag()


@dataclass(frozen=True)
class Http:
    """A connection manager, in its chain of a listener. `unseen` are the spots that name routes which no file has.

    `upgraded` are the filters that upgrades have of their own, `reached` the clusters that routes lead to and that are
    known, `upstream` the filters that run when one of these has been chosen, `secrets` those that TLS may name.
    """

    listener: Spot
    chain: Spot
    spot: Spot
    filters: Sequence[Filter]
    routes: Sequence[Route]
    unseen: Sequence[Spot]
    upgraded: Sequence[Filter] = ()
    reached: Sequence[Spot] = ()
    upstream: Sequence[Filter] = ()
    secrets: Mapping[str, Spot] = field(default_factory=dict)

    @cached_property
    def guards(self) -> Sequence[Filter]:
        """The filters that ask extauthz."""
        return [one for one in self.filters if one.kind == EXT_AUTHZ]

    @cached_property
    def all_guards(self) -> Sequence[Filter]:
        """These, and those of upgrades that have filters of their own."""
        return [*self.guards, *(one for one in self.upgraded if one.kind == EXT_AUTHZ)]

    @cached_property
    def guard(self) -> Filter | None:
        """The first of them that is written out here."""
        return next(iter(self.guards), None)

    @cached_property
    def settings(self) -> Mapping[str, Sequence[Spot]]:
        """What the levels of all routes say for filters, by the names of these."""
        found: dict[str, list[Spot]] = {}
        for level in dict.fromkeys(level for route in self.routes for level in (*route.levels, *route.weighted)):
            for name, _ in level["typed_per_filter_config"].entries:
                found.setdefault(name, []).append(setting(level, name))
        return found

    @cached_property
    def judged(self) -> Sequence[Route]:
        """The routes that lead to services."""
        return [route for route in self.routes if route.forwards and not route.leads_to_us]

    @cached_property
    def before(self) -> Sequence[Filter]:
        """The filters in front of it."""
        return () if self.guard is None else self.filters[: self.filters.index(self.guard)]

    @cached_property
    def behind(self) -> Sequence[Filter]:
        """The filters behind the last of them, those of the clusters that are led to among them."""
        return () if self.guard is None else [*self.filters[self.filters.index(self.guards[-1]) + 1 :], *self.upstream]

    @property
    def tls(self) -> Spot:
        """The settings of TLS with clients, over TCP or QUIC."""
        return tls_of(self.chain)

    @cached_property
    def clusters(self) -> frozenset[str]:
        """The clusters that its routes lead to."""
        return frozenset(name for route in self.routes for name in route.clusters)


@dataclass(frozen=True)
class Tcp:
    """A chain of a listener whose connections are forwarded as they are. `secrets` as in `Http`."""

    listener: Spot
    chain: Spot
    proxy: Filter
    filters: Sequence[Filter]
    secrets: Mapping[str, Spot] = field(default_factory=dict)

    @property
    def tls(self) -> Spot:
        """As in `Http`."""
        return tls_of(self.chain)

    @property
    def guard(self) -> Filter | None:
        """The filter that asks extauthz before the connection goes on."""
        before = self.filters[: self.filters.index(self.proxy)]
        return next((one for one in before if one.kind == EXT_AUTHZ), None)

    @property
    def clusters(self) -> frozenset[str]:
        """The clusters that it leads to."""
        config = self.proxy.config
        named = [
            config["cluster"].text,
            *(one["name"].text for one in config.at("weighted_clusters", "clusters").items),
        ]
        return frozenset(name for name in named if name)


class Call(msgspec.Struct, frozen=True):
    """A `grpc_service` by which extauthz is asked. `apart` says that a route has it, and not the filter."""

    spot: Spot
    apart: bool
    http: Http | None

    @property
    def cluster(self) -> str:
        """The name of the cluster."""
        return self.spot.at("envoy_grpc", "cluster_name").text

    @property
    def seconds(self) -> float:
        """How long it may take: 0.2 where nobody says it."""
        return self.spot["timeout"].seconds(0.2) or 0.0


@dataclass(frozen=True)
class Everything:
    """All that was found. `https` and `tcps` are of the `listeners` that are to be judged.

    `unseen` are the filters of these that come over the network, where nothing is known of what becomes of connections.
    """

    resources: Resources
    listeners: Sequence[Spot]
    https: Sequence[Http]
    tcps: Sequence[Tcp]
    unseen: Sequence[Spot]

    @property
    def chains(self) -> "Sequence[Http | Tcp]":
        """Both."""
        return (*self.https, *self.tcps)

    @cached_property
    def clusters(self) -> Mapping[str, Spot]:
        """By name."""
        return {spot["name"].text: spot for spot in self.resources.clusters}

    @cached_property
    def calls(self) -> Sequence[Call]:
        """Every way in which extauthz is asked."""
        return list(self._calls())

    def _calls(self) -> Iterator[Call]:
        for http in self.https:
            for guard in http.all_guards:
                yield from _call(guard.config, http, apart=False)
                for settings in settings_of(http, guard.name):
                    yield from _call(settings["check_settings"], http, apart=True)
        for tcp in self.tcps:
            if tcp.guard is not None:
                yield from _call(tcp.guard.config, None, apart=False)

    @cached_property
    def guarded(self) -> frozenset[str]:
        """The clusters to which a chain leads that asks extauthz."""
        asked = [one for one in self.chains if one.guard is not None]
        return frozenset(name for one in asked for name in one.clusters if not name.startswith(OWN))

    def addresses(self, cluster: Spot) -> Sequence[Spot]:
        """Of the endpoints of a cluster, as far as they are known."""
        return addresses(cluster, self.resources.endpoints)

    def places(self, cluster: Spot) -> frozenset[str]:
        """Where a cluster leads, as texts that are equal where two lead to the same."""
        return places(cluster, self.resources.endpoints)

    def alike(self, clusters: frozenset[str]) -> frozenset[str]:
        """These clusters, and those that lead to one of their places under another name."""
        led = {name: self.places(spot) for name, spot in self.clusters.items()}
        theirs = frozenset[str]().union(*(led.get(name, ()) for name in clusters))
        return clusters | {name for name, places_of_it in led.items() if places_of_it & theirs}


def _call(config: Spot, http: Http | None, *, apart: bool) -> Iterator[Call]:
    if config["grpc_service"].exists:
        yield Call(config["grpc_service"], apart, http)


def settings_of(http: Http, name: str) -> Sequence[Spot]:
    """The settings that any level of any route has for the filter of that name, each once."""
    return http.settings.get(name, ())


def setting(level: Spot, name: str) -> Spot:
    """What a level says for the filter of that name, also where it is wrapped."""
    spot = level["typed_per_filter_config"][name]
    while True:
        kind = type_of(spot)
        if kind.endswith("TypedStruct"):
            spot = spot["value"]
        elif kind.endswith("route.v3.FilterConfig") and spot["config"].exists and not spot["disabled"].flag():
            spot = spot["config"]
        else:
            return spot


def everything(resources: Resources, listeners: Sequence[str]) -> Everything:
    """The model of these resources; of these listeners, or of all of them without a name."""
    tables = {spot["name"].text: spot for spot in resources.routes}
    https, tcps, unseen = [], [], []
    judged = [one for one in resources.listeners if not listeners or one["name"].text in listeners]
    for listener in judged:
        for chain in (*listener["filter_chains"].items, listener["default_filter_chain"]):
            filters = [filter_of(spot, resources) for spot in chain["filters"].items]
            for one in filters:
                discovered = one.spot["config_discovery"]
                if discovered.exists and not one.config.exists and one.kind in _DECIDING:
                    unseen.append(discovered)
                elif one.kind == "http_connection_manager":
                    https.append(_http(listener, chain, one.config, resources, tables))
                elif one.kind == "tcp_proxy":
                    tcps.append(Tcp(listener, chain, one, filters, resources.secrets))
    if not resources.listeners:
        https += _loose(tables)
    return Everything(resources, judged, https, tcps, unseen)


_DECIDING = frozenset({"http_connection_manager", "tcp_proxy", EXT_AUTHZ})
"""Filters of connections on which it depends who is asked."""


def _loose(tables: Mapping[str, Spot]) -> Iterator[Http]:
    """Routes that come without their listener: as if one asked, by a filter of the usual name."""
    for table in tables.values():
        nothing = Spot(table.file, (), table.line, None)
        assumed = Filter(f"envoy.filters.http.{EXT_AUTHZ}", EXT_AUTHZ, nothing, nothing)
        yield Http(nothing, nothing, nothing, (assumed,), list(_routes(table)), ())


def _http(listener: Spot, chain: Spot, spot: Spot, resources: Resources, tables: Mapping[str, Spot]) -> Http:
    filters = [filter_of(one, resources) for one in spot["http_filters"].items]
    upgraded = [
        filter_of(one, resources) for upgrade in spot["upgrade_configs"].items for one in upgrade["filters"].items
    ]
    table, unseen, scoped = spot["route_config"], [], []
    if (name := spot.at("rds", "route_config_name")).exists:
        table = tables.get(name.text, table)
        unseen = [] if table.exists else [name]
    elif spot["scoped_routes"].exists:
        lists = spot.at("scoped_routes", "scoped_route_configurations_list", "scoped_route_configurations").items
        scoped = [tables.get(one["route_configuration_name"].text, one["route_configuration"]) for one in lists]
        unseen = [] if scoped and all(one.exists for one in scoped) else [spot["scoped_routes"]]
    if table["vhds"].exists:
        unseen = [*unseen, table["vhds"]]
    routes = [route for one in (table, *scoped) for route in _routes(one)]
    named = {name for route in routes for name in route.clusters}
    reached = [one for one in resources.clusters if one["name"].text in named]
    behind = [spot for one in filters for spot in one.config["upstream_http_filters"].items]
    behind += [spot for one in reached for spot in one["typed_extension_protocol_options"][HTTP]["http_filters"].items]
    upstream = [filter_of(one, resources) for one in behind]
    return Http(listener, chain, spot, filters, routes, unseen, upgraded, reached, upstream, resources.secrets)


def _routes(table: Spot) -> Iterator[Route]:
    for host in table["virtual_hosts"].items:
        for route in host["routes"].items:
            yield Route(route, host, table)
        for inner in host["matcher"].inner():  # routes may stand anywhere in the tree of a matcher
            if type_of(inner).endswith("config.route.v3.Route"):
                yield Route(inner, host, table)
            elif type_of(inner).endswith("config.route.v3.RouteList"):
                for route in inner["routes"].items:
                    yield Route(route, host, table)
