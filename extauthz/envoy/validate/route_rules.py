"""Rules for routes: where nobody is asked, and where the service is asked for something else than was decided about."""

from collections.abc import Iterator

from extauthz.envoy.validate.filters import type_of
from extauthz.envoy.validate.findings import Hit, rule
from extauthz.envoy.validate.model import PAGES, Http, Route, setting, settings_of
from extauthz.envoy.validate.spots import Spot

_REPEATS = frozenset(
    {
        "5xx",
        "gateway-error",
        "reset",
        "retriable-4xx",
        "retriable-status-codes",
        "retriable-headers",
        "http3-post-connect-failure",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "unavailable",
    }
)
"""Conditions of a retry under which the service may have done already what it is asked for again."""
_BUFFERED = "extauthz.buffered"


@rule(
    "route-unchecked",
    "error",
    "requests on this route go to a service, and nobody is asked about them",
    f"switch the filter off below `{PAGES}/` alone; let a rule of a policy allow what is open to everybody",
)
def route_unchecked(http: Http) -> Iterator[Hit]:
    told = set()
    for route in http.routes:
        if not route.forwards or are_pages(http, route):
            continue
        for where in (_off(http, route), *_off_by_weight(http, route)):
            if where is not None and where not in told and not route.leads_to_us:
                told.add(where)
                yield where, f"`{route.path}`" if route.path else ""


@rule(
    "pages-checked",
    "error",
    "whoever must prove something is led to a page that is denied in its turn",
    "write `typed_per_filter_config` with `disabled: true` on this route, under the filter's name",
)
def pages_checked(http: Http) -> Iterator[Hit]:
    for route in http.routes:
        if route.is_pages and route.forwards and _is_asked_about(http, route):
            yield route.spot["match"], f"`{route.path}`"


@rule(
    "pages-missing",
    "warning",
    f"no route leads `{PAGES}/` to extauthz: whoever must prove something or wait finds no page",
    "add the routes of `envoy/gateway.yaml` in front of the others; without rules that challenge or hold, leave it",
)
def pages_missing(http: Http) -> Iterator[Hit]:
    asking: dict[tuple[str, tuple[str | int, ...]], list[Route]] = {}
    for route in http.routes:
        asking.setdefault((route.host.file, route.host.steps), []).append(route)
    for routes in asking.values():
        served = any(route.forwards and not route.leads_to_us for route in routes)
        if served and not any(route.is_pages for route in routes):
            yield routes[0].host, ""


@rule(
    "settings-unused",
    "error",
    "Envoy knows settings of a route by the name of the filter, and no filter is called this: they count for nothing",
    "write the `name` that the filter has in `http_filters`",
)
def settings_unused(http: Http) -> Iterator[Hit]:
    names = {guard.name for guard in http.guards}
    told = set()
    for route in http.routes:
        for level in (*route.levels, *route.weighted):
            for name, settings in level["typed_per_filter_config"].entries:
                ours = "ext_authz.v3.ExtAuthzPerRoute" in {
                    type_of(one).rpartition("http.")[2] for one in settings.inner()
                }
                if ours and name not in names and settings not in told:
                    told.add(settings)
                    yield settings, f"`{name}`"


@rule(
    "buffered-claimed",
    "error",
    f"`{_BUFFERED}` says that bodies are known here, and they are not: a rule takes a request with a body for one"
    " without",
    "let the filter buffer bodies (`with_request_body`), or remove the extension",
)
def buffered_claimed(http: Http) -> Iterator[Hit]:
    for guard in http.guards:
        for settings in settings_of(http, guard.name):
            check = settings["check_settings"]
            claim = check["context_extensions"][_BUFFERED]
            buffers = check["with_request_body"].exists or guard.config["with_request_body"].exists
            off = check["disable_request_body_buffering"].flag()
            if claim.exists and (claim.text == "true" or claim.flag()) and (off or not buffers) and guard.config.exists:
                yield claim, ""


@rule(
    "extension-unknown",
    "warning",
    "extauthz knows no context extension of this name, and `extauthz.` is for its own",
    f"write `{_BUFFERED}`, or a name of your own",
)
def extension_unknown(http: Http) -> Iterator[Hit]:
    for guard in http.guards:
        for settings in settings_of(http, guard.name):
            for name, value in settings["check_settings"]["context_extensions"].entries:
                if name.startswith("extauthz.") and name != _BUFFERED:
                    yield value, f"`{name}`"


@rule(
    "route-rewrites-path",
    "warning",
    "rules judge the path before it is rewritten, and the service acts on the one after it",
    "write rules for the paths that clients send, and see that no other route leads to the same",
)
def route_rewrites_path(http: Http) -> Iterator[Hit]:
    for route in http.judged:
        for name in ("prefix_rewrite", "regex_rewrite", "path_rewrite_policy", "path_rewrite"):
            if route.spot["route"][name].exists:
                yield route.spot["route"][name], ""


@rule(
    "route-rewrites-host",
    "warning",
    "the client chooses by a header or path for which host the service takes the request; rules judge the other one",
    "write `host_rewrite_literal`",
)
def route_rewrites_host(http: Http) -> Iterator[Hit]:
    for route in http.judged:
        for name in ("host_rewrite_header", "host_rewrite_path_regex"):
            if route.spot["route"][name].exists:
                yield route.spot["route"][name], ""


@rule(
    "host-by-header",
    "error",
    "the client chooses by a header whose routes count, whatever its `host` says; rules judge the host",
    "let the host choose: remove `vhost_header`, or take `:authority` for the key of scopes",
)
def host_by_header(http: Http) -> Iterator[Hit]:
    for table in dict.fromkeys(route.table for route in http.routes):
        if table["vhost_header"].text.lower() not in _HOST:
            yield table["vhost_header"], f"`{table['vhost_header'].text}`"
    for fragment in http.spot.at("scoped_routes", "scope_key_builder", "fragments").items:
        name = fragment["header_value_extractor"]["name"]
        if name.text.lower() not in _HOST:
            yield name, f"`{name.text}`"


_HOST = frozenset({"", ":authority", "host"})


@rule(
    "path-case-ignored",
    "warning",
    "`/ADMIN` goes the way of `/admin`, and rules tell them apart: a rule that denies the one lets the other pass",
    "remove `case_sensitive: false`",
)
def path_case_ignored(http: Http) -> Iterator[Hit]:
    for route in http.judged:
        spot = route.spot["match"]["case_sensitive"]
        if not spot.flag(default=True) and route.path.lower() != route.path.upper():
            yield spot, f"`{route.path}`"


@rule(
    "route-by-header",
    "error",
    "the client names the cluster that gets its request, and no rule knows of it",
    "name the `cluster`, or set that header in a filter in front of the one that asks",
)
def route_by_header(http: Http) -> Iterator[Hit]:
    for route in http.judged:
        for one in (route.spot["route"], *route.weighted):
            if (spot := one["cluster_header"]).exists:
                yield spot, f"`{spot.text}`"
        for mirror in route.mirrors:
            if (spot := mirror["cluster_header"]).exists:
                yield spot, f"`{spot.text}`"


@rule(
    "route-mirrors",
    "warning",
    "a copy of each request, with its credentials and what rules have set, goes to a second service, which acts on it"
    " as the first does: one approval, two payments",
    "mirror to what carries nothing out and may know these credentials alone, or remove `request_mirror_policies`",
)
def route_mirrors(http: Http) -> Iterator[Hit]:
    # No error: the copy is made when the request has been allowed, and its answer goes nowhere.
    told = set()
    for route in http.routes:
        for mirror in route.mirrors:
            if mirror["cluster"].text and mirror not in told:
                told.add(mirror)
                yield mirror, f"cluster `{mirror['cluster'].text}`"


@rule(
    "route-by-plugin",
    "warning",
    "code chooses the cluster when extauthz has been asked, and may go by what the client writes",
    "name the `cluster`, or let rules judge all that the plugin reads",
)
def route_by_plugin(http: Http) -> Iterator[Hit]:
    for route in http.judged:
        for name in ("cluster_specifier_plugin", "inline_cluster_specifier_plugin"):
            if (spot := route.spot["route"][name]).exists:
                yield spot, ""


@rule(
    "internal-redirect",
    "warning",
    "Envoy follows a redirect of the service by itself, as another request: what a caller has proven for one action is"
    " asked of the next, and an approval is used up by the first",
    "remove `internal_redirect_policy`, and let clients follow",
)
def internal_redirect(http: Http) -> Iterator[Hit]:
    for route in http.judged:
        if (spot := route.spot.at("route", "internal_redirect_policy")).exists:
            yield spot, ""


@rule(
    "route-repeats",
    "warning",
    "Envoy repeats a request that the service may have carried out already: one approval, two payments",
    "write `retry_on: connect-failure,refused-stream`, and no `hedge_policy`",
)
def route_repeats(http: Http) -> Iterator[Hit]:
    told = set()
    for route in http.judged:
        for spot in (route.host.at("retry_policy", "retry_on"), route.spot.at("route", "retry_policy", "retry_on")):
            repeating = sorted(_REPEATS.intersection(one.strip() for one in spot.text.split(",")))
            if repeating and spot not in told:
                told.add(spot)
                yield spot, f"`{', '.join(repeating)}`"
        for level in (route.host, route.spot["route"]):
            spot = level.at("hedge_policy", "hedge_on_per_try_timeout")
            if spot.flag() and spot not in told:
                told.add(spot)
                yield spot, "`hedge_policy`"


@rule(
    "upgrade-checked-once",
    "warning",
    "extauthz is asked when the connection is upgraded, and about nothing that is sent on it later",
    "let rules allow upgrades on paths that need them alone, and bound them by `max_stream_duration`",
)
def upgrade_checked_once(http: Http) -> Iterator[Hit]:
    upgrades = [*http.spot["upgrade_configs"].items]
    upgrades += [one for route in http.judged for one in route.spot.at("route", "upgrade_configs").items]
    for upgrade in upgrades:
        if upgrade["enabled"].flag(default=True) and not upgrade["filters"].items:
            yield upgrade, f"`{upgrade['upgrade_type'].text}`"


@rule(
    "routes-unseen",
    "warning",
    "these routes come over the network, so that nothing is known here of routes where nobody is asked",
    "give the file with the routes, too, or the `/config_dump` of the Envoy that has received them",
)
def routes_unseen(http: Http) -> Iterator[Hit]:
    for spot in http.unseen:
        yield spot, f"`{spot.text}`" if spot.text else ""


def are_pages(http: Http, route: Route) -> bool:
    """Whether a route leads to the pages alone, and not to a service that is asked about elsewhere."""
    return route.is_pages and not route.clusters & _guarded(http)


def _guarded(http: Http) -> frozenset[str]:
    """The clusters to which some route leads on which somebody is asked."""
    asking = [route for route in http.routes if route.forwards and not route.is_pages and _is_asked_about(http, route)]
    return frozenset(name for route in asking for name in route.clusters)


def _is_asked_about(http: Http, route: Route) -> bool:
    return any(route.has_on(guard) for guard in http.guards)


def _off(http: Http, route: Route) -> Spot | None:
    """Where the filters are switched off on this route, if they are."""
    for guard in http.guards:
        for settings in route.settings(guard.name):
            if settings["disabled"].flag():
                return settings["disabled"]
            break  # Envoy goes by the most particular settings
    return None


def _off_by_weight(http: Http, route: Route) -> Iterator[Spot | None]:
    for guard in http.guards:
        for cluster in route.weighted:
            spot = setting(cluster, guard.name)["disabled"]
            yield spot if spot.flag() else None


RULES = (
    route_unchecked,
    pages_checked,
    pages_missing,
    settings_unused,
    buffered_claimed,
    extension_unknown,
    route_rewrites_path,
    route_rewrites_host,
    host_by_header,
    path_case_ignored,
    route_by_header,
    route_mirrors,
    route_by_plugin,
    internal_redirect,
    route_repeats,
    upgrade_checked_once,
    routes_unseen,
)
