"""Rules for the filter that asks as an entry of its chain, and for what runs before it: that may answer by itself, or
say who calls."""

from collections.abc import Iterator

from extauthz.envoy.validate.filters import EXT_AUTHZ, of_kinds
from extauthz.envoy.validate.findings import Hit, rule
from extauthz.envoy.validate.model import Http, settings_of
from extauthz.envoy.validate.route_rules import are_pages
from extauthz.envoy.validate.spots import Spot

OPAQUE = frozenset({"lua", "wasm", "ext_proc", "golang", "dynamic_modules", "composite", "filter_chain"})
"""Filters whose code, whose server, or whose choice of other filters does what it likes with a request."""
_TERMINAL = "router"


@rule(
    "filter-disabled",
    "error",
    "the filter is off wherever no route switches it on",
    "remove `disabled`, and switch it off on single routes instead, or switch it on on each route",
)
def filter_disabled(http: Http) -> Iterator[Hit]:
    for guard in http.all_guards:
        asking = http.guards if guard in http.guards else [guard]
        judged = [route for route in http.judged if not are_pages(http, route)]
        off = [route for route in judged if not any(route.has_on(one) for one in asking)]
        if guard.spot["disabled"].flag() and (off or http.unseen or not http.judged):
            yield guard.spot["disabled"], f"`{off[0].path}`" if off and off[0].path else ""


@rule(
    "filter-optional",
    "error",
    "an Envoy that does not know the filter goes on without it",
    "remove `is_optional`",
)
def filter_optional(http: Http) -> Iterator[Hit]:
    for guard in http.all_guards:
        if guard.spot["is_optional"].flag():
            yield guard.spot["is_optional"], ""


@rule(
    "filter-conditional",
    "error",
    "a matcher decides whether anybody is asked, and it goes by what the client sends",
    "write the filter itself into `http_filters`, not into one that chooses among others",
)
def filter_conditional(http: Http) -> Iterator[Hit]:
    for guard in http.all_guards:
        if guard.is_chosen:
            yield guard.spot["typed_config"], ""


@rule(
    "filter-unseen",
    "warning",
    "the settings of the filter come over the network, so that nothing is known of them here",
    "give the `/config_dump?include_eds` of the Envoy that has received them",
)
def filter_unseen(http: Http) -> Iterator[Hit]:
    for guard in http.guards:
        if guard.spot["config_discovery"].exists and not guard.config.exists:
            yield guard.spot["config_discovery"], ""


@rule(
    "filter-after-router",
    "error",
    "nothing reaches a filter behind the router, and Envoy does not start with one",
    "move the filter in front of `envoy.filters.http.router`",
)
def filter_after_router(http: Http) -> Iterator[Hit]:
    terminal = next((number for number, one in enumerate(http.filters) if one.kind == _TERMINAL), len(http.filters))
    return of_kinds(http.filters[terminal:], EXT_AUTHZ)


@rule(
    "cache-before",
    "error",
    "what one caller was allowed to read is served to all others, and nobody is asked",
    "move the cache behind the filter that asks, or remove it",
)
def cache_before(http: Http) -> Iterator[Hit]:
    return of_kinds(http.before, "cache", "cache_v2")


@rule(
    "opaque-before",
    "warning",
    "code in front of the filter may answer by itself, so that nobody is asked, and what it writes into headers and"
    " metadata is believed",
    "move it behind the filter that asks if it changes nothing that rules read; else treat it as a part of the policy",
)
def opaque_before(http: Http) -> Iterator[Hit]:
    return of_kinds(http.before, *OPAQUE, "file_server")


@rule(
    "identity-from-client",
    "warning",
    "what a client writes elsewhere becomes a claim, a certificate or an address here, and is believed as if Envoy had"
    " verified it",
    "remove it, unless a proxy in front has taken the client's own words away",
)
def identity_from_client(http: Http) -> Iterator[Hit]:
    sent = {one.text for guard in http.guards for one in guard.config["metadata_context_namespaces"].items}
    for one in http.before:
        for config in (one.config, *settings_of(http, one.name)) if one.kind in _TO_METADATA else ():
            for spot in _written(config):
                namespace = spot["metadata_namespace"]
                name = namespace.text or f"envoy.filters.http.{one.kind}"
                if name in sent:
                    yield namespace, f"`{name}`"
        if one.kind == "header_mutation":
            yield from _identifying(one.config.at("mutations", "request_mutations"))
            for config in settings_of(http, one.name):
                yield from _identifying(config.at("mutations", "request_mutations"))
    for entry in _written(http.listener["listener_filters"]):  # what a PROXY protocol says in front of TLS
        if (entry["metadata_namespace"].text or "envoy.filters.listener.proxy_protocol") in sent:
            yield entry, f"`{entry['key'].text}`"
    for early in http.spot["early_header_mutation_extensions"].items:
        yield from _identifying(early.at("typed_config", "mutations"))


def _written(config: Spot) -> Iterator[Spot]:
    """The entries of metadata that a filter writes out of the request."""
    for rule_of_filter in config.inner():
        for name in ("on_header_present", "on_present", "on_tlv_present"):
            if (entry := rule_of_filter[name]).exists:
                yield entry


def _identifying(mutations: Spot) -> Iterator[Hit]:
    for change in mutations.items:
        header = change.at("append", "header", "key")
        if header.text.lower() in _IDENTIFYING:
            yield header, f"`{header.text}`"


_TO_METADATA = frozenset({"header_to_metadata", "json_to_metadata"})
_IDENTIFYING = frozenset({"x-forwarded-client-cert", "x-forwarded-for"})


@rule(
    "credentials-before",
    "error",
    "Envoy writes credentials of its own into the request before extauthz is asked: everybody is taken for whom they"
    " name",
    "move the filter behind the one that asks",
)
def credentials_before(http: Http) -> Iterator[Hit]:
    return of_kinds(http.before, *INJECTING)


INJECTING = frozenset({"credential_injector", "gcp_authn"})
"""Filters that write a token or a password of Envoy's own into a header, by default into `authorization`."""


@rule(
    "upgrade-unchecked",
    "error",
    "an upgrade that has a list of filters of its own goes by that one, in which nobody is asked",
    "put the filter into `upgrade_configs[].filters`, or remove that list",
)
def upgrade_unchecked(http: Http) -> Iterator[Hit]:
    for upgrade in http.spot["upgrade_configs"].items:
        filters = upgrade["filters"].items
        if filters and not any(EXT_AUTHZ in one.at("typed_config", "@type").text for one in filters):
            yield upgrade["filters"], f"`{upgrade['upgrade_type'].text}`"


RULES = (
    filter_disabled,
    filter_optional,
    filter_conditional,
    filter_unseen,
    filter_after_router,
    cache_before,
    opaque_before,
    identity_from_client,
    credentials_before,
    upgrade_unchecked,
)
