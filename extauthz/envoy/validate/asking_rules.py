"""Rules for the filter that asks extauthz, HTTP's and the network's: what becomes of an answer, and of none."""

from collections.abc import Iterator

from extauthz.envoy.validate.findings import Hit, rule
from extauthz.envoy.validate.spots import Spot

_SUCCESS = {"ok", "created", "accepted", "nocontent"}
_LONGEST_BODY = 1_835_008
"""Bytes: a CheckRequest may have 2 MiB, of which 256 KiB are kept for what is beside the body."""


@rule(
    "failure-mode-allow",
    "error",
    "whenever extauthz is down, late or overloaded, every request is let through",
    "write `failure_mode_allow: false`",
)
def failure_mode_allow(config: Spot) -> Iterator[Hit]:
    if config["failure_mode_allow"].flag():
        yield config["failure_mode_allow"], ""


@rule(
    "failure-mode-header",
    "warning",
    "`x-envoy-auth-failure-mode-allowed` has a use only where requests are let through that nobody has judged",
    "remove `failure_mode_allow_header_add`",
)
def failure_mode_header(config: Spot) -> Iterator[Hit]:
    if config["failure_mode_allow_header_add"].flag():
        yield config["failure_mode_allow_header_add"], ""


@rule(
    "status-on-error-missing",
    "warning",
    "when extauthz is out of reach callers get 403, as if they had been denied, and do not try again",
    "write `status_on_error: {code: ServiceUnavailable}`",
)
def status_on_error_missing(config: Spot) -> Iterator[Hit]:
    if not config["status_on_error"].exists and _is_http(config):
        yield config["status_on_error"], ""


@rule(
    "status-on-error-success",
    "error",
    "when extauthz is out of reach callers are told that all went well",
    "write `status_on_error: {code: ServiceUnavailable}`",
)
def status_on_error_success(config: Spot) -> Iterator[Hit]:
    code = config["status_on_error"]["code"]
    if code.text.lower() in _SUCCESS or 200 <= code.number() < 400:
        yield code, f"`{code.text}`"


@rule(
    "shadow-mode",
    "error",
    "Envoy asks, and does not do what it is told: every request is let through",
    "remove `shadow_mode`; rules have a `mode: shadow` of their own",
)
def shadow_mode(config: Spot) -> Iterator[Hit]:
    spot = config["shadow_mode"]
    if spot.exists and (spot.flag() or spot.entries):
        yield spot, ""


@rule(
    "filter-enabled-fraction",
    "error",
    "only this part of the requests is asked about, and the rest goes through unasked",
    "remove `filter_enabled`",
)
def filter_enabled_fraction(config: Spot) -> Iterator[Hit]:
    share = config["filter_enabled"]["default_value"]
    if config["filter_enabled"].exists and not _denies_when_disabled(config):
        whole = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}
        of = whole.get(share["denominator"].one_of(("HUNDRED", "TEN_THOUSAND", "MILLION")), 100)
        if share["numerator"].number() < of:
            yield config["filter_enabled"], f"{share['numerator'].number():g} of {of}"


@rule(
    "filter-enabled-runtime",
    "error",
    "whoever sets this runtime key, by the admin interface or a file, switches the filter off without a trace",
    "remove `filter_enabled`: `deny_at_disable` has such a key, too",
)
def filter_enabled_runtime(config: Spot) -> Iterator[Hit]:
    key = config["filter_enabled"]["runtime_key"]
    if key.text:
        yield key, f"`{key.text}`"


@rule(
    "http-service",
    "error",
    "extauthz speaks gRPC, and this asks over HTTP: of the request it shows a few headers, and no identity",
    "write `grpc_service: {envoy_grpc: {cluster_name: extauthz}, timeout: 0.25s}`",
)
def http_service(config: Spot) -> Iterator[Hit]:
    if config["http_service"].exists:
        yield config["http_service"], ""


@rule(
    "api-version",
    "warning",
    "what is asked then depends on the version of Envoy, some of which refuse to start",
    "write `transport_api_version: V3`",
)
def api_version(config: Spot) -> Iterator[Hit]:
    if config["transport_api_version"].one_of(("AUTO", "V2", "V3")) != "V3":
        yield config["transport_api_version"], ""


@rule(
    "clear-route-cache",
    "error",
    "after the answer Envoy chooses the route anew, by headers that the answer has changed: another service than the"
    " decision was about, or a route where nobody is asked",
    "write `clear_route_cache: false`",
)
def clear_route_cache(config: Spot) -> Iterator[Hit]:
    if config["clear_route_cache"].flag():
        yield config["clear_route_cache"], ""


@rule(
    "raw-headers",
    "warning",
    "two headers of one name reach extauthz as one with a comma, so that it can't tell them from one that has a comma",
    "write `encode_raw_headers: true`",
)
def raw_headers(config: Spot) -> Iterator[Hit]:
    if _is_http(config) and not config["encode_raw_headers"].flag():
        yield config["encode_raw_headers"], ""


@rule(
    "headers-withheld",
    "warning",
    "extauthz is not shown every header: a rule `not X` is met by a header that was withheld",
    "remove it, or name in `request.headers` of extauthz.yaml the headers that are sent, and give that as `--config`",
)
def headers_withheld(config: Spot) -> Iterator[Hit]:
    for name in ("allowed_headers", "disallowed_headers"):
        if config[name].exists:
            yield config[name], f"`{name}`"


@rule(
    "mutations-dropped",
    "error",
    "Envoy leaves out, without a word, what extauthz sets or removes: a client's own `x-authz-subject` reaches the"
    " service",
    "remove `decoder_header_mutation_rules`, or write `disallow_is_error: true` in it",
)
def mutations_dropped(config: Spot) -> Iterator[Hit]:
    rules = config["decoder_header_mutation_rules"]
    limits = [rules["disallow_all"].flag(), rules["disallow_expression"].exists, rules["disallow_system"].flag()]
    if (any(limits) or rules["allow_expression"].exists) and not rules["disallow_is_error"].flag():
        yield rules, ""


@rule(
    "validate-mutations",
    "warning",
    "Envoy answers 500 to every query parameter of an answer that is escaped; extauthz says nothing that is no header",
    "write `validate_mutations: false`",
)
def validate_mutations(config: Spot) -> Iterator[Hit]:
    if config["validate_mutations"].flag():
        yield config["validate_mutations"], ""


@rule(
    "metadata-dropped",
    "warning",
    "the decision is not in Envoy's metadata, and so in none of its access logs",
    "remove `enable_dynamic_metadata_ingestion`",
)
def metadata_dropped(config: Spot) -> Iterator[Hit]:
    if not config["enable_dynamic_metadata_ingestion"].flag(default=True):
        yield config["enable_dynamic_metadata_ingestion"], ""


@rule(
    "answer-cut",
    "warning",
    "pages and problem documents that extauthz answers with arrive cut off",
    "remove `max_denied_response_body_bytes`, or write 65536 or more",
)
def answer_cut(config: Spot) -> Iterator[Hit]:
    limit = config["max_denied_response_body_bytes"]
    if 0 < limit.number() < 65_536:
        yield limit, ""


@rule(
    "stat-prefix",
    "warning",
    "the counters of this filter are added to those of every other `ext_authz`",
    "write `stat_prefix: extauthz`",
)
def stat_prefix(config: Spot) -> Iterator[Hit]:
    if not config["stat_prefix"].text:
        yield config["stat_prefix"], ""


@rule(
    "body-refused",
    "warning",
    "a request with a longer body gets 413 from Envoy before anybody is asked, and no decision tells of it",
    "write `allow_partial_message: true`: extauthz takes a truncated body as evidence of nothing",
)
def body_refused(config: Spot) -> Iterator[Hit]:
    for body in _bodies(config):
        if not body["allow_partial_message"].flag():
            yield body["allow_partial_message"], ""


@rule(
    "body-as-text",
    "warning",
    "a body that is not UTF-8 can't be sent as text, and such requests are refused",
    "write `pack_as_bytes: true`",
)
def body_as_text(config: Spot) -> Iterator[Hit]:
    for body in _bodies(config):
        if not body["pack_as_bytes"].flag():
            yield body["pack_as_bytes"], ""


@rule(
    "body-too-long",
    "error",
    "extauthz refuses a Check of more than 2 MiB with 400, and gRPC one of more than 16 MiB with an error",
    f"write `max_request_bytes` of {_LONGEST_BODY} or less",
)
def body_too_long(config: Spot) -> Iterator[Hit]:
    for body in _bodies(config):
        if body["max_request_bytes"].number() > _LONGEST_BODY:
            yield body["max_request_bytes"], f"{body['max_request_bytes'].number():.0f}"


def _bodies(config: Spot) -> Iterator[Spot]:
    if config["with_request_body"].exists:
        yield config["with_request_body"]


def _denies_when_disabled(config: Spot) -> bool:
    return config["deny_at_disable"]["default_value"].flag()


def _is_http(config: Spot) -> bool:
    """Whether it is HTTP's filter: the network's has no use for headers."""
    return ".network." not in config["@type"].text


RULES = (
    failure_mode_allow,
    failure_mode_header,
    status_on_error_missing,
    status_on_error_success,
    shadow_mode,
    filter_enabled_fraction,
    filter_enabled_runtime,
    http_service,
    api_version,
    clear_route_cache,
    raw_headers,
    headers_withheld,
    mutations_dropped,
    validate_mutations,
    metadata_dropped,
    answer_cut,
    stat_prefix,
    body_refused,
    body_as_text,
    body_too_long,
)
ON_ROUTES = (http_service, body_refused, body_as_text, body_too_long)
"""Those for what a route may say in the place of the filter."""
