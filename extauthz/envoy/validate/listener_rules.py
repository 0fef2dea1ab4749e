"""Rules for a configuration as a whole: ways around the filter, doors beside it, and what can't be seen from here."""

from collections.abc import Iterator

from extauthz.envoy.validate.connection_rules import is_local
from extauthz.envoy.validate.findings import Hit, rule
from extauthz.envoy.validate.model import EXT_AUTHZ, OWN, Everything, Http, Tcp, kind_of, type_of


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
    for one in _unguarded(all_of_it):
        if shared := sorted(one.clusters & all_of_it.guarded):
            yield one.chain, f"cluster `{shared[0]}` through listener `{one.listener['name'].text}`"


@rule(
    "listener-unguarded",
    "warning",
    "nobody is asked about what comes through this listener",
    "add the filter, or name the listeners that are to be judged by `--listener`",
)
def listener_unguarded(all_of_it: Everything) -> Iterator[Hit]:
    if any(one.guard is not None for one in all_of_it.chains):
        for one in _unguarded(all_of_it):
            if not one.clusters & all_of_it.guarded:
                yield one.chain, f"`{one.listener['name'].text}`"


@rule(
    "checks-exposed",
    "error",
    "this leads clients to where Envoy asks: whoever gets there asks in the name of anybody, and uses up approvals",
    "remove it; pages and approvals have addresses and clusters of their own",
)
def checks_exposed(all_of_it: Everything) -> Iterator[Hit]:
    asked = frozenset(call.cluster for call in all_of_it.calls if call.cluster)
    for http in all_of_it.https:
        for route in http.routes:
            if shared := sorted(route.clusters & asked):
                yield route.spot["route"], f"`{shared[0]}`"
    for tcp in all_of_it.tcps:
        if shared := sorted(tcp.clusters & asked):
            yield tcp.proxy.spot, f"`{shared[0]}`"


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
        for one in tcp.filters[tcp.filters.index(tcp.proxy) :]:
            if one.kind == EXT_AUTHZ:
                yield one.spot, ""


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


@rule(
    "admin-exposed",
    "error",
    "whoever reaches the admin interface reads keys and tokens, drains or stops Envoy, and changes its runtime",
    "write `address: {pipe: {path: /run/envoy/admin.sock, mode: 384}}`",
)
def admin_exposed(all_of_it: Everything) -> Iterator[Hit]:
    for spot in all_of_it.resources.bootstraps:
        address = spot["admin"]["address"]
        if address.exists and not is_local(address):
            yield address, ""


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


def _is_ours(one: Http | Tcp) -> bool:
    """Whether it leads to pages of extauthz alone, or nowhere: Envoy itself answers."""
    if isinstance(one, Http) and one.unseen:
        return False
    forwarding = isinstance(one, Tcp) or any(route.forwards for route in one.routes)
    return not forwarding or (bool(one.clusters) and all(name.startswith(OWN) for name in one.clusters))


RULES = (
    nothing_asks,
    listener_bypass,
    listener_unguarded,
    checks_exposed,
    protocol_unasked,
    filter_behind_proxy,
    proxy_protocol,
    admin_exposed,
    listeners_unseen,
)
