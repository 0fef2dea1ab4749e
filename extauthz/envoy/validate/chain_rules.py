"""Rules for the filters around the one that asks: what runs before it may answer or say who calls, what runs behind it
may change what was decided about."""

from collections.abc import Iterator

from extauthz.envoy.validate.findings import Hit, rule
from extauthz.envoy.validate.model import EXT_AUTHZ, Filter, Http, settings_of, type_of
from extauthz.envoy.validate.spots import Spot

_OPAQUE = frozenset({"lua", "wasm", "ext_proc", "golang", "dynamic_modules", "composite"})
"""Filters whose code, or whose server, does what it likes with a request."""
_TERMINAL = "router"


@rule(
    "filter-disabled",
    "error",
    "the filter is off wherever no route switches it on",
    "remove `disabled`, and switch it off on single routes instead",
)
def filter_disabled(http: Http) -> Iterator[Hit]:
    for guard in http.all_guards:
        if guard.spot["disabled"].flag():
            yield guard.spot["disabled"], ""


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
    "write the filter without `ExtensionWithMatcher`",
)
def filter_conditional(http: Http) -> Iterator[Hit]:
    for guard in http.all_guards:
        if type_of(guard.spot["typed_config"]).endswith("ExtensionWithMatcher"):
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
    for one in http.filters[terminal:]:
        if one.kind == EXT_AUTHZ:
            yield one.spot, ""


@rule(
    "cache-before",
    "error",
    "what one caller was allowed to read is served to all others, and nobody is asked",
    "move the cache behind the filter that asks, or remove it",
)
def cache_before(http: Http) -> Iterator[Hit]:
    for one in _before(http):
        if one.kind in {"cache", "cache_v2"}:
            yield one.spot, ""


@rule(
    "opaque-before",
    "warning",
    "code in front of the filter may answer by itself, so that nobody is asked, and what it writes into headers and"
    " metadata is believed",
    "move it behind the filter that asks if it changes nothing that rules read; else treat it as a part of the policy",
)
def opaque_before(http: Http) -> Iterator[Hit]:
    for one in _before(http):
        if one.kind in _OPAQUE:
            yield one.spot, f"`{one.kind}`"


@rule(
    "identity-from-client",
    "warning",
    "what a client writes elsewhere becomes a claim, a certificate or an address here, and is believed as if Envoy had"
    " verified it",
    "remove it, unless a proxy in front has taken the client's own words away",
)
def identity_from_client(http: Http) -> Iterator[Hit]:
    sent = {one.text for guard in http.guards for one in guard.config["metadata_context_namespaces"].items}
    for one in _before(http):
        for config in (one.config, *settings_of(http, one.name)) if one.kind in _TO_METADATA else ():
            for spot in (inner["metadata_namespace"] for inner in config.inner()):
                if spot.text in sent:
                    yield spot, f"`{spot.text}`"
        if one.kind == "header_mutation":
            yield from _identifying(one.config.at("mutations", "request_mutations"))
            for config in settings_of(http, one.name):
                yield from _identifying(config.at("mutations", "request_mutations"))
    for early in http.spot["early_header_mutation_extensions"].items:
        yield from _identifying(early.at("typed_config", "mutations"))


def _identifying(mutations: Spot) -> Iterator[Hit]:
    for change in mutations.items:
        header = change.at("append", "header", "key")
        if header.text.lower() in _IDENTIFYING:
            yield header, f"`{header.text}`"


_TO_METADATA = frozenset({"header_to_metadata", "json_to_metadata"})
_IDENTIFYING = frozenset({"x-forwarded-client-cert", "x-forwarded-for"})


@rule(
    "opaque-after",
    "warning",
    "code behind the filter may change path, host, headers or body after they were decided about",
    "move it in front of the filter that asks",
)
def opaque_after(http: Http) -> Iterator[Hit]:
    for one in _after(http):
        if one.kind in _OPAQUE:
            yield one.spot, f"`{one.kind}`"


@rule(
    "headers-changed-after",
    "warning",
    "the service reads another header than rules have judged, or than extauthz has set",
    "move `header_mutation` in front of the filter that asks, and let routes change no header of requests",
)
def headers_changed_after(http: Http) -> Iterator[Hit]:
    told = set()
    for name in (*_mutated(http), *_changed_by_routes(http)):
        if name.exists and name not in told:
            told.add(name)
            yield name, f"`{name.text}`"


def _mutated(http: Http) -> Iterator[Spot]:
    """The names of headers that `header_mutation` changes behind the filter, everywhere or on some route."""
    for one in _after(http):
        for config in (one.config, *settings_of(http, one.name)) if one.kind == "header_mutation" else ():
            for change in config.at("mutations", "request_mutations").items:
                yield from (change["remove"], change.at("append", "header", "key"), change["remove_on_match"])


def _changed_by_routes(http: Http) -> Iterator[Spot]:
    """The names of headers that routes change by themselves, which the router does last."""
    for route in http.routes:
        for level in (*route.levels, *route.weighted):
            yield from level["request_headers_to_remove"].items
            yield from (one.at("header", "key") for one in level["request_headers_to_add"].items)


@rule(
    "transcoder-after",
    "warning",
    "rules see the path of JSON, the service that of gRPC: two readings of one request",
    "move the transcoder in front of the filter that asks, and write rules for the path of gRPC",
)
def transcoder_after(http: Http) -> Iterator[Hit]:
    for one in _after(http):
        if one.kind in {"grpc_json_transcoder", "grpc_json_reverse_transcoder"}:
            yield one.spot, ""


@rule(
    "decompressed-after",
    "warning",
    "extauthz is shown the compressed body, and the service reads the other one",
    "move the decompressor in front of the filter that asks",
)
def decompressed_after(http: Http) -> Iterator[Hit]:
    for one in _after(http):
        if one.kind == "decompressor":
            yield one.spot, ""


@rule(
    "jwt-after",
    "warning",
    "the token is verified only when the decision has been made, so that the decision can't rest on it",
    "move `jwt_authn` in front of the filter that asks",
)
def jwt_after(http: Http) -> Iterator[Hit]:
    for one in _after(http):
        if one.kind == "jwt_authn":
            yield one.spot, ""


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


@rule(
    "answers-rewritten",
    "warning",
    "Envoy puts its own text in the place of challenges and problem documents, so that callers can't tell what to do",
    "let the mapper leave out answers of the filter: `%RESPONSE_CODE_DETAILS%` begins with `ext_authz`",
)
def answers_rewritten(http: Http) -> Iterator[Hit]:
    local = http.spot["local_reply_config"]
    bodies = [
        local["body_format"],
        *(one[name] for one in local["mappers"].items for name in ("body", "body_format_override")),
    ]
    for body in bodies:
        if body.exists:
            yield body, ""


@rule(
    "denial-turned-success",
    "error",
    "a mapper of local replies turns denials into success",
    "remove `status_code` from the mapper, or write one of 400 or more",
)
def denial_turned_success(http: Http) -> Iterator[Hit]:
    for mapper in http.spot.at("local_reply_config", "mappers").items:
        if 200 <= mapper["status_code"].number() < 400:
            yield mapper["status_code"], f"{mapper['status_code'].text}"


def _before(http: Http) -> list[Filter]:
    return [] if http.guard is None else list(http.filters[: list(http.filters).index(http.guard)])


def _after(http: Http) -> list[Filter]:
    return [] if http.guard is None else list(http.filters[list(http.filters).index(http.guards[-1]) + 1 :])


RULES = (
    filter_disabled,
    filter_optional,
    filter_conditional,
    filter_unseen,
    filter_after_router,
    cache_before,
    opaque_before,
    identity_from_client,
    opaque_after,
    headers_changed_after,
    transcoder_after,
    decompressed_after,
    jwt_after,
    upgrade_unchecked,
    answers_rewritten,
    denial_turned_success,
)
