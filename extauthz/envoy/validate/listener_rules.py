"""Rules for a configuration as a whole: ways around the filter, doors beside it, and what can't be seen from here."""

from collections.abc import Iterator

from extauthz.envoy.validate.chain_rules import OPAQUE
from extauthz.envoy.validate.filters import EXT_AUTHZ, kind_of, of_kinds, type_of
from extauthz.envoy.validate.findings import Hit, rule
from extauthz.envoy.validate.model import OWN, Everything, Http, Tcp, settings_of
from extauthz.envoy.validate.sockets import discovery, is_local, place
from extauthz.envoy.validate.spots import Spot


@rule(
    "nothing-asks",
    "error",
    "no listener asks extauthz about anything",
    "add `envoy.filters.http.ext_authz` in front of the router; `extauthz envoy config` writes it",
)
def nothing_asks(all_of_it: Everything) -> Iterator[Hit]:
    chains = [one for one in all_of_it.chains if one.chain.exists]
    if chains and not any(one.guard is not None for one in chains) and not all(map(_is_ours, chains)):
        yield chains[0].chain, ""


@rule(
    "listener-bypass",
    "error",
    "this leads to a service that another listener guards, and nobody is asked",
    "add the filter here too, or remove the listener",
)
def listener_bypass(all_of_it: Everything) -> Iterator[Hit]:
    guarded = all_of_it.alike(all_of_it.guarded)
    for one in all_of_it.chains:
        shared = sorted(_led_to(one) & guarded)
        if shared and one.guard is None and one.chain.exists:
            yield one.chain, f"cluster `{shared[0]}` through listener `{one.listener['name'].text}`"


@rule(
    "listener-unguarded",
    "warning",
    "nobody is asked about what comes through this listener",
    "add the filter, or name the listeners that are to be judged by `--listener`",
)
def listener_unguarded(all_of_it: Everything) -> Iterator[Hit]:
    guarded = all_of_it.alike(all_of_it.guarded)
    for one in _unguarded(all_of_it) if any(one.guard is not None for one in all_of_it.chains) else ():
        if not _led_to(one) & guarded:
            yield one.chain, f"`{one.listener['name'].text}`"


@rule(
    "checks-exposed",
    "error",
    "this leads clients to where Envoy asks: whoever gets there asks in the name of anybody, and uses up approvals",
    "remove it; pages and approvals have addresses and clusters of their own",
)
def checks_exposed(all_of_it: Everything) -> Iterator[Hit]:
    asked = all_of_it.alike(frozenset(call.cluster for call in all_of_it.calls if call.cluster))
    for http in all_of_it.https:
        for route in http.routes:
            if shared := sorted((route.clusters | route.mirrored) & asked):
                yield route.spot["route"], f"`{shared[0]}`"
    for tcp in all_of_it.tcps:
        if shared := sorted(tcp.clusters & asked):
            yield tcp.proxy.spot, f"`{shared[0]}`"


@rule(
    "upstream-by-client",
    "error",
    "the client names the address that gets its request, and no rule knows of it",
    "lead to a cluster with addresses of its own",
)
def upstream_by_client(all_of_it: Everything) -> Iterator[Hit]:
    for http in (one for one in all_of_it.https if one.guard is not None):
        for cluster in http.reached:
            header = cluster["original_dst_lb_config"]["use_http_header"]
            if discovery(cluster) == "ORIGINAL_DST" and header.flag():
                yield header, f"cluster `{cluster['name'].text}`"
        for one in http.filters:
            for settings in (one.config, *settings_of(http, one.name)):
                yield from _chosen_by_client(one.kind, settings)
    for tcp in all_of_it.tcps:
        if all_of_it.guarded:
            yield from of_kinds(tcp.filters, "sni_cluster", "sni_dynamic_forward_proxy")


def _chosen_by_client(kind: str, settings: Spot) -> Iterator[Hit]:
    """Where a filter takes the address out of a header."""
    if kind == "dynamic_forward_proxy" and (header := settings["host_rewrite_header"]).text:
        yield header, f"`{header.text}`"
    for entry in settings["on_request_headers"].items if kind == "set_filter_state" else ():
        key = entry["object_key"]
        if key.text in _ADDRESSES and any("%REQ" in one.text for one in entry["format_string"].inner()):
            yield key, f"`{key.text}`"


_ADDRESSES = frozenset(
    {
        "envoy.network.transport_socket.original_dst_address",
        "envoy.tcp_proxy.cluster",
        "envoy.upstream.dynamic_host",
        "envoy.upstream.dynamic_port",
    }
)
"""Objects of the filter state that say where a request goes."""


@rule(
    "forward-proxy",
    "warning",
    "the request goes wherever its `host` says, also to what nobody else on your network reaches: a rule without"
    " `hosts` allows all of it",
    "give every rule `hosts`, or lead to clusters with addresses of their own",
)
def forward_proxy(all_of_it: Everything) -> Iterator[Hit]:
    for http in (one for one in all_of_it.https if one.guard is not None):
        for cluster in http.reached:
            kind = cluster["cluster_type"]
            if kind["name"].text == _FORWARD_PROXY or type_of(kind["typed_config"]).endswith(_FORWARD_PROXY_CONFIG):
                yield kind, f"cluster `{cluster['name'].text}`"


_FORWARD_PROXY = "envoy.clusters.dynamic_forward_proxy"
_FORWARD_PROXY_CONFIG = "dynamic_forward_proxy.v3.ClusterConfig"


@rule(
    "protocol-unasked",
    "warning",
    "nobody is asked about what comes through this listener, which is neither HTTP nor forwarded as it is",
    "put `envoy.filters.network.ext_authz` in front (over UDP nobody can be asked), or remove the listener",
)
def protocol_unasked(all_of_it: Everything) -> Iterator[Hit]:
    for listener in all_of_it.listeners if any(one.guard is not None for one in all_of_it.chains) else ():
        for spot in listener["listener_filters"].items:
            if "udp_proxy" in spot["name"].text + type_of(spot["typed_config"]):
                yield spot, f"`{listener['name'].text}`"
        for chain in (*listener["filter_chains"].items, listener["default_filter_chain"]):
            kinds = {kind_of(one, all_of_it.resources) for one in chain["filters"].items}
            if kinds and not kinds & {*_ANSWERED, *_JUDGED, EXT_AUTHZ}:
                yield chain, f"`{listener['name'].text}`"


_ANSWERED = frozenset({"direct_response", "echo"})
_JUDGED = frozenset({"http_connection_manager", "tcp_proxy"})
"""What is judged by the other rules."""


@rule(
    "filter-behind-proxy",
    "error",
    "nothing reaches a filter behind the one that forwards the connection",
    "move `envoy.filters.network.ext_authz` in front of `envoy.filters.network.tcp_proxy`",
)
def filter_behind_proxy(all_of_it: Everything) -> Iterator[Hit]:
    for tcp in all_of_it.tcps:
        yield from of_kinds(tcp.filters[tcp.filters.index(tcp.proxy) :], EXT_AUTHZ)


@rule(
    "proxy-protocol",
    "warning",
    "whoever reaches this port says in the first line which address the connection is from, and is believed",
    "let the load balancer alone reach the port, or remove the listener filter",
)
def proxy_protocol(all_of_it: Everything) -> Iterator[Hit]:
    told = set()
    for one in all_of_it.chains:
        for spot in one.listener["listener_filters"].items:
            named = spot["name"].text + spot.at("typed_config", "@type").text
            if one.guard is not None and "proxy_protocol" in named and spot not in told:
                told.add(spot)
                yield spot, ""
        if one.guard is not None and one.chain["use_proxy_proto"].flag():
            yield one.chain["use_proxy_proto"], ""


@rule(
    "header-prefix",
    "error",
    "headers of Envoy's own have another name then: `x-envoy-auth-partial-body`, by which extauthz knows a truncated"
    " body from a whole one, is what the client writes into it",
    "remove `header_prefix`",
)
def header_prefix(all_of_it: Everything) -> Iterator[Hit]:
    for spot in all_of_it.resources.bootstraps:
        if spot["header_prefix"].text not in {"", "x-envoy"}:
            yield spot["header_prefix"], f"`{spot['header_prefix'].text}`"


@rule(
    "admin-exposed",
    "error",
    "whoever reaches the admin interface reads keys and tokens, drains or stops Envoy, and changes its runtime",
    "write `address: {pipe: {path: /run/envoy/admin.sock, mode: 384}}`",
)
def admin_exposed(all_of_it: Everything) -> Iterator[Hit]:
    for spot in all_of_it.resources.bootstraps:
        address = spot["admin"]["address"]
        if address.exists and not is_local(address) and _is_open(spot["admin"]):
            yield address, ""


@rule(
    "admin-routed",
    "error",
    "this leads to the admin interface: whoever gets there reads keys and tokens, drains or stops Envoy, and changes"
    " its runtime",
    "lead there by routes of `path: /stats/prometheus` and `path: /ready` alone",
)
def admin_routed(all_of_it: Everything) -> Iterator[Hit]:
    bootstraps = all_of_it.resources.bootstraps
    admins = {place(one["admin"]["address"]) for one in bootstraps if _is_open(one["admin"])} - {""}
    to_admin = {name for name, spot in all_of_it.clusters.items() if all_of_it.places(spot) & admins}
    for http in all_of_it.https:
        for route in http.routes:
            if route.clusters & to_admin and not route.path.startswith(_READ_ONLY):
                yield route.spot["route"], f"listener `{http.listener['name'].text}`"
    for tcp in all_of_it.tcps:
        if tcp.clusters & to_admin:
            yield tcp.proxy.spot, f"listener `{tcp.listener['name'].text}`"


def _is_open(admin: Spot) -> bool:
    """Whether more can be reached there than what tells no secret and changes nothing."""
    allowed = admin["allow_paths"].items
    return not allowed or any(one["exact"].text not in _READ_ONLY for one in allowed)


_READ_ONLY = ("/stats/prometheus", "/ready")


@rule(
    "connections-unseen",
    "warning",
    "what becomes of connections here comes over the network, so that nothing is known of who is asked about them",
    "give the `/config_dump?include_eds` of the Envoy that has received it",
)
def connections_unseen(all_of_it: Everything) -> Iterator[Hit]:
    for spot in all_of_it.unseen:
        yield spot, ""


@rule(
    "listeners-unseen",
    "warning",
    "listeners come over the network, so that one where nobody is asked can't be seen here",
    "give the `/config_dump` of the Envoy that has received them",
)
def listeners_unseen(all_of_it: Everything) -> Iterator[Hit]:
    if "listeners" not in all_of_it.resources.dumped:
        for spot in all_of_it.resources.bootstraps:
            dynamic = spot["dynamic_resources"]
            if (found := dynamic["lds_config"]).exists or (found := dynamic["ads_config"]).exists:
                yield found, ""


def _unguarded(all_of_it: Everything) -> Iterator[Http | Tcp]:
    for one in all_of_it.chains:
        if one.guard is None and not _is_ours(one) and one.chain.exists:
            yield one


def _led_to(one: Http | Tcp) -> frozenset[str]:
    """The clusters that a chain leads to, copies of requests among it."""
    if isinstance(one, Tcp):
        return one.clusters
    return one.clusters.union(*(route.mirrored for route in one.routes))


def _is_ours(one: Http | Tcp) -> bool:
    """Whether it leads to pages of extauthz alone, or nowhere: Envoy itself answers."""
    if isinstance(one, Http) and (one.unseen or any(each.kind in _ANSWERING for each in one.filters)):
        return False
    forwarding = isinstance(one, Tcp) or any(route.forwards for route in one.routes)
    return not forwarding or (bool(one.clusters) and all(name.startswith(OWN) for name in one.clusters))


_ANSWERING = frozenset({*OPAQUE, "file_server", "mcp_router"})
"""Filters that answer, or forward, without a route."""


RULES = (
    nothing_asks,
    listener_bypass,
    listener_unguarded,
    checks_exposed,
    upstream_by_client,
    forward_proxy,
    protocol_unasked,
    filter_behind_proxy,
    proxy_protocol,
    header_prefix,
    admin_exposed,
    admin_routed,
    connections_unseen,
    listeners_unseen,
)
