"""Rules for what runs behind the filter that asks, which may change what was decided about, and for what becomes of
its answers."""

from collections.abc import Iterator

from extauthz.envoy.validate.chain_rules import INJECTING, OPAQUE
from extauthz.envoy.validate.filters import of_kinds, type_of
from extauthz.envoy.validate.findings import Hit, rule
from extauthz.envoy.validate.model import Http, settings_of
from extauthz.envoy.validate.spots import Spot


@rule(
    "opaque-after",
    "warning",
    "code behind the filter may change path, host, headers or body after they were decided about, and Envoy then"
    " chooses the route anew",
    "move it in front of the filter that asks",
)
def opaque_after(http: Http) -> Iterator[Hit]:
    return of_kinds(http.behind, *OPAQUE)


@rule(
    "headers-changed-after",
    "warning",
    "the service reads another header or parameter than rules have judged, or than extauthz has set",
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
    for one in http.behind:
        for config in (one.config, *settings_of(http, one.name)) if one.kind == "header_mutation" else ():
            for change in config.at("mutations", "request_mutations").items:
                yield from (change["remove"], change.at("append", "header", "key"), change["remove_on_match"])
            for change in config.at("mutations", "query_parameter_mutations").items:
                yield from (change["remove"], change.at("append", "record", "key"))


def _changed_by_routes(http: Http) -> Iterator[Spot]:
    """The names of headers that routes change by themselves, which the router does last."""
    for route in http.routes:
        for level in (*route.levels, *route.weighted):
            yield from level["request_headers_to_remove"].items
            yield from (one.at("header", "key") for one in level["request_headers_to_add"].items)


@rule(
    "transcoder-after",
    "warning",
    "rules see the path and body that came, the service others: two readings of one request",
    "move the filter in front of the one that asks, and write rules for what the service is sent",
)
def transcoder_after(http: Http) -> Iterator[Hit]:
    return of_kinds(http.behind, *_TRANSCODING)


_TRANSCODING = frozenset(
    {
        "grpc_json_transcoder",
        "grpc_json_reverse_transcoder",
        "mcp_json_rest_bridge",
        "mcp_router",
        "transform",
    }
)


@rule(
    "decompressed-after",
    "warning",
    "extauthz is shown the compressed body, and the service reads the other one",
    "move the decompressor in front of the filter that asks",
)
def decompressed_after(http: Http) -> Iterator[Hit]:
    return of_kinds(http.behind, "decompressor")


@rule(
    "jwt-after",
    "warning",
    "the token is verified only when the decision has been made, so that the decision can't rest on it",
    "move `jwt_authn` in front of the filter that asks",
)
def jwt_after(http: Http) -> Iterator[Hit]:
    return of_kinds(http.behind, "jwt_authn")


@rule(
    "credentials-after",
    "warning",
    "the service is shown credentials of Envoy's own, not those of the caller that the decision was about: to it"
    " everybody is the same",
    "let the service know callers by headers that rules set (`allow: {headers: …}`)",
)
def credentials_after(http: Http) -> Iterator[Hit]:
    return of_kinds(http.behind, *INJECTING, "aws_request_signing")


@rule(
    "route-chosen-after",
    "error",
    "a filter behind has Envoy choose the route anew: another service than the decision was about, or a route where"
    " nobody is asked",
    "write `clear_route_cache: false`, or move the filter in front of the one that asks",
)
def route_chosen_after(http: Http) -> Iterator[Hit]:
    for one in http.behind:
        for config in (one.config, *settings_of(http, one.name)):
            for spot in config.inner():
                if spot["clear_route_cache"].flag():
                    yield spot["clear_route_cache"], f"`{one.kind}`"


@rule(
    "answers-rewritten",
    "warning",
    "Envoy puts its own text in the place of challenges and problem documents, so that callers can't tell what to do",
    "leave out answers of the filter: `%RESPONSE_CODE_DETAILS%` begins with `ext_authz`",
)
def answers_rewritten(http: Http) -> Iterator[Hit]:
    local = http.spot["local_reply_config"]
    bodies = [
        local["body_format"],
        *(one[name] for one in local["mappers"].items for name in ("body", "body_format_override")),
    ]
    for body in (*bodies, *(policy for policy, success in _custom(http) if not success)):
        if body.exists:
            yield body, ""


@rule(
    "denial-turned-success",
    "error",
    "denials are answered as if all had gone well",
    "remove `status_code`, or write one of 400 or more",
)
def denial_turned_success(http: Http) -> Iterator[Hit]:
    for mapper in http.spot.at("local_reply_config", "mappers").items:
        if 200 <= mapper["status_code"].number() < 400:
            yield mapper["status_code"], f"{mapper['status_code'].text}"
    for policy, success in _custom(http):
        if success:
            yield policy["status_code"], policy["status_code"].text


def _custom(http: Http) -> Iterator[tuple[Spot, bool]]:
    """What `custom_response` puts in the place of answers, and whether that is a success; it sees those of filters,
    too, wherever it stands."""
    for one in http.filters:
        for config in (one.config, *settings_of(http, one.name)) if one.kind == "custom_response" else ():
            for spot in config.inner():
                kind = type_of(spot).rpartition(".")[2]
                if kind in {"LocalResponsePolicy", "RedirectPolicy"}:
                    status = spot["status_code"].number(200 if kind == "RedirectPolicy" else 400)
                    yield spot, status < 400


RULES = (
    opaque_after,
    headers_changed_after,
    transcoder_after,
    decompressed_after,
    jwt_after,
    credentials_after,
    route_chosen_after,
    answers_rewritten,
    denial_turned_success,
)
