"""Where requests go, in the order in which routes are tried.

The rule kept here: the one prefix that is not asked about is that of extauthz' own pages, which guard themselves. What
else goes unasked has been named by the operator, one exact path at a time.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from envoy_data_plane.envoy.config.route import v3 as route

from extauthz.envoy.asking import AFTER_HOLD, of_grpc_route, of_held_route, of_route, switched_off
from extauthz.envoy.clusters import APPROVALS, PAGES, SERVICE, SERVICE_GRPC
from extauthz.envoy.notes import Notes
from extauthz.envoy.wanted import Proxy

LISTENER: Final = {"gateway": "https", "sidecar": "inbound"}
"""What the listener for requests is called, and its routes."""
_STREAM: Final = timedelta(0)
_SILENT: Final = 300.0
"""Seconds after which Envoy ends a stream on which nothing moves, where nobody says otherwise."""


def proxy_routes(notes: Notes, proxy: Proxy) -> route.RouteConfiguration:
    """The routes of a gateway or a sidecar."""
    anywhere = proxy.hosts == ("*",)
    made = route.RouteConfiguration(
        name=LISTENER[proxy.kind],
        virtual_hosts=[
            route.VirtualHost(
                name="all" if proxy.kind == "gateway" else "service",
                domains=list(proxy.hosts),
                routes=list(_routes(notes, proxy)),
            )
        ],
        ignore_port_in_host_matching=not anywhere,
    )
    return made if anywhere else notes.on(made, name=None, ignore_port_in_host_matching=None)


def approvals_routes(notes: Notes) -> route.RouteConfiguration:
    """The routes to the approvers' pages and their API."""
    streams = [
        _route(route.RouteMatch(path="/events"), APPROVALS, _STREAM),
        _route(route.RouteMatch(path="/v1/approvals/events"), APPROVALS, _STREAM),
    ]
    notes.on(streams[0], match="Server-sent events of the pages and of the API: open for as long as somebody looks.")
    host = route.VirtualHost(
        name="approvals",
        domains=["*"],
        routes=[*streams, _route(route.RouteMatch(prefix="/"), APPROVALS, timedelta(seconds=20))],
    )
    notes.on(
        host,
        name=None,
        domains="extauthz answers other names with 421, which says what the right one is. No `host_rewrite` here:"
        " without the name that the browser has asked for everything would be 421.",
    )
    return route.RouteConfiguration(name="approvals", virtual_hosts=[host])


def _routes(notes: Notes, proxy: Proxy) -> Iterator[route.Route]:
    yield from _pages(notes, proxy)
    for path in proxy.asking.unchecked:
        one = _route(route.RouteMatch(path=path), SERVICE, timedelta(seconds=15))
        one.typed_per_filter_config = dict(switched_off(notes))
        yield notes.on(
            one,
            match="Nobody is asked about this path. Headers that rules set arrive here as the client wrote them: the"
            " service must not believe any of them on this path.",
        )
    if proxy.service_grpc is not None:
        one = _route(route.RouteMatch(prefix="/", grpc=route.RouteMatchGrpcRouteMatchOptions()), SERVICE_GRPC, _STREAM)
        one.typed_per_filter_config = of_grpc_route(notes, proxy.asking)
        yield notes.on(
            one, match="A gRPC stream may wait for an answer before it sends more: never buffer it for a check."
        )
    yield from _held(notes, proxy)
    yield _ordinary(notes, proxy)


def _pages(notes: Notes, proxy: Proxy) -> Iterator[route.Route]:
    events = _route(route.RouteMatch(path="/.extauthz/waiting/events"), PAGES, _STREAM)
    events.typed_per_filter_config = dict(switched_off(notes))
    yield notes.on(
        events,
        match="Server-sent events of the page where a browser waits for an approval: open for as long as it does."
        " With a timeout the page would connect anew each time; it goes on all the same.",
    )
    pages = _route(route.RouteMatch(path_separated_prefix="/.extauthz"), PAGES, timedelta(seconds=20))
    pages.typed_per_filter_config = dict(switched_off(notes))
    of_sidecar = (
        " The pages belong to the origin that the browser sees. If that is a gateway in front, the gateway needs this"
        " route as well, and the same cookies pass through both."
        if proxy.kind == "sidecar"
        else ""
    )
    yield notes.on(
        pages,
        match="The pages of the second factor: same origin, and not asked about (a challenge that leads to a"
        f" challenged page would never end). extauthz guards them itself.{of_sidecar}",
    )


def _held(notes: Notes, proxy: Proxy) -> Iterator[route.Route]:
    hold = proxy.asking.hold
    if hold is None:
        return
    whose = hold.paths.marked(
        f"the paths of such rules, and the longest `hold` of theirs and {AFTER_HOLD:g} s, twice below."
    )
    for path in hold.paths.value:
        one = _route(route.RouteMatch(path_separated_prefix=path), SERVICE, timedelta(seconds=15))
        one.typed_per_filter_config = of_held_route(notes, proxy.asking, seconds=hold.seconds)
        if hold.seconds + AFTER_HOLD >= _SILENT and one.route is not None:
            one.route.idle_timeout = timedelta(seconds=hold.seconds + 2 * AFTER_HOLD)
            said = f"Nothing moves while a call waits: without it Envoy ends it after {_SILENT:g} s with 504."
            notes.on(one.route, cluster=None, timeout=None, idle_timeout=said)
        yield notes.on(
            one,
            match="Where rules hold calls open for an approval (`approve` with `hold`): a timeout that is longer than"
            f" any hold, and a cluster of its own, so that calls that wait take no place of others.\n{whose}",
        )


def _ordinary(notes: Notes, proxy: Proxy) -> route.Route:
    one = _route(route.RouteMatch(prefix="/"), SERVICE, timedelta(seconds=15))
    one.typed_per_filter_config = of_route(notes, proxy.asking)
    if proxy.kind == "gateway" and one.route is not None:
        one.route.retry_policy = route.RetryPolicy(retry_on="connect-failure,refused-stream", num_retries=2)
        notes.on(
            one.route,
            cluster=None,
            timeout=None,
            retry_policy="The router alone repeats a request: it was allowed once, extauthz is not asked again.",
        )
    return one


def _route(match: route.RouteMatch, cluster: str, timeout: timedelta) -> route.Route:
    return route.Route(match=match, route=route.RouteAction(cluster=cluster, timeout=timeout))
