"""The filters that ask extauthz: for requests, for connections, and what routes say of them.

The rule kept here: no answer is no, everywhere.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import HeaderMutationRules
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.listener.v3 import Filter
from envoy_data_plane.envoy.extensions.filters.http.ext_authz import v3 as http_authz
from envoy_data_plane.envoy.extensions.filters.network.ext_authz.v3 import ExtAuthz as NetworkExtAuthz
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.type.matcher.v3 import ListStringMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import HttpStatus, StatusCode
from envoy_data_plane.google.protobuf import Any

from extauthz.envoy.clusters import EXTAUTHZ, HOLDING
from extauthz.envoy.notes import Notes
from extauthz.envoy.wanted import Asking, Server

HTTP_FILTER: Final = "envoy.filters.http.ext_authz"
NETWORK_FILTER: Final = "envoy.filters.network.ext_authz"
AFTER_HOLD: Final = 10.0
"""Seconds that a call may take beside the longest hold."""
_TRY: Final = 10.0
"""Seconds after which Envoy gives up one try of a call with a retry policy, where nobody says otherwise."""
_BUFFERED: Final = "extauthz.buffered"


def http_filter(notes: Notes, asking: Asking, server: Server) -> HttpFilter:
    """The filter that asks about each request."""
    settings = http_authz.ExtAuthz(
        transport_api_version=core.ApiVersion.V3,
        grpc_service=_call(notes, EXTAUTHZ, asking.timeout),
        failure_mode_allow=False,
        status_on_error=HttpStatus(code=StatusCode.ServiceUnavailable),
        clear_route_cache=False,
        encode_raw_headers=True,
        include_tls_session=True,
        include_peer_certificate=True,
        metadata_context_namespaces=list(server.metadata),
        validate_mutations=False,
        decoder_header_mutation_rules=HeaderMutationRules(allow_all_routing=False, allow_envoy=False),
        stat_prefix="extauthz",
    )
    if asking.body:
        settings.with_request_body = http_authz.BufferSettings(
            max_request_bytes=asking.body, allow_partial_message=True, pack_as_bytes=True
        )
    if server.headers is not None:
        settings.allowed_headers = ListStringMatcher(
            patterns=[StringMatcher(exact=name, ignore_case=True) for name in sorted(server.headers)]
        )
    notes.on(
        settings,
        transport_api_version=None,
        grpc_service=None,
        failure_mode_allow="No answer is no: `true` would let everything through whenever extauthz is down or late.",
        status_on_error=None,
        clear_route_cache="The request goes where the decision was about. `true` chooses the route anew after headers"
        " were changed: another service, or a route where ext_authz is off.",
        encode_raw_headers="Headers as they were sent, repeated ones apart: `a, b` and two headers are not the same.",
        allowed_headers="No other header is told: `request.headers` of extauthz says so, too.",
        with_request_body="Conditions on `request.json` need the body. A longer one arrives truncated, and extauthz"
        " takes a truncated body as evidence of nothing.",
        include_tls_session=None,
        include_peer_certificate="Needed where tokens are bound to certificates (RFC 8705).",
        metadata_context_namespaces="What jwt_authn has verified, where that filter stands in front.",
        validate_mutations="extauthz says nothing that is no header (503, `response-invalid`). Envoy's own check of"
        " that refuses with 500 every query parameter that is escaped, and rules may set such.",
        decoder_header_mutation_rules="An answer of extauthz never changes where a request goes (`host`, `:method`)"
        " and never speaks for Envoy (`x-envoy-*`): such a header is left out.",
    )
    return HttpFilter(name=HTTP_FILTER, typed_config=notes.pack(settings))


def network_filter(notes: Notes, asking: Asking) -> Filter:
    """The filter that asks about each connection."""
    settings = NetworkExtAuthz(
        stat_prefix="extauthz",
        transport_api_version=core.ApiVersion.V3,
        grpc_service=core.GrpcService(
            envoy_grpc=core.GrpcServiceEnvoyGrpc(cluster_name=EXTAUTHZ), timeout=timedelta(seconds=asking.timeout)
        ),
        failure_mode_allow=False,
        include_peer_certificate=True,
        include_tls_session=True,
    )
    notes.on(settings, stat_prefix=None, transport_api_version=None, grpc_service=None, failure_mode_allow=None)
    return Filter(name=NETWORK_FILTER, typed_config=notes.pack(settings))


def switched_off(notes: Notes) -> Mapping[str, Any]:
    """What a route says whose requests are asked about by nobody."""
    return {HTTP_FILTER: notes.pack(http_authz.ExtAuthzPerRoute(disabled=True))}


def of_route(notes: Notes, asking: Asking) -> dict[str, Any]:
    """What an ordinary route says."""
    settings = http_authz.CheckSettings(context_extensions=dict(asking.context))
    return _per_route(
        notes,
        notes.on(settings, context_extensions="Policies read these as `context.<name>`.") if asking.context else None,
    )


def of_grpc_route(notes: Notes, asking: Asking) -> dict[str, Any]:
    """What a route of gRPC streams says: bodies are not buffered."""
    if not asking.body:
        return of_route(notes, asking)
    context = dict(asking.context)
    if asking.declares_buffered:
        context[_BUFFERED] = "false"
    settings = http_authz.CheckSettings(disable_request_body_buffering=True, context_extensions=context)
    if asking.declares_buffered:
        notes.on(
            settings,
            context_extensions="`request.buffered` of extauthz is not true here: a body that nobody has seen is not"
            " none.",
        )
    return _per_route(notes, settings)


def of_held_route(notes: Notes, asking: Asking, *, seconds: float) -> dict[str, Any]:
    """What a route says where calls wait for an approval, for so many `seconds` at most."""
    context = dict(asking.context)
    if asking.body:
        context[_BUFFERED] = "true"
    settings = http_authz.CheckSettings(
        context_extensions=context, grpc_service=_call(notes, HOLDING, seconds + AFTER_HOLD)
    )
    if asking.body:
        notes.on(
            settings,
            context_extensions="Bodies are buffered here, so a request without one is known to have none: approvals"
            " that are bound to a request need that.",
        )
    return _per_route(notes, settings)


def _per_route(notes: Notes, settings: http_authz.CheckSettings | None) -> dict[str, Any]:
    if settings is None:
        return {}
    return {HTTP_FILTER: notes.pack(http_authz.ExtAuthzPerRoute(check_settings=settings))}


def _call(notes: Notes, name: str, seconds: float) -> core.GrpcService:
    """A Check to this cluster, which is asked again when its connection breaks."""
    again = core.RetryPolicy(retry_on="reset", num_retries=2)
    of_tries = (
        "An answer that a broken connection swallowed is asked for again, within the timeout. What the first Check"
        " has used up still serves the same Check."
    )
    if seconds > _TRY:
        again.retry_back_off = core.BackoffStrategy(
            base_interval=timedelta(seconds=0.1), max_interval=timedelta(seconds=seconds)
        )
        of_tries = (
            "Each try may take as long as all of them: `max_interval` is what Envoy takes for a timeout of a try, and"
            f" without it {'a hold' if name == HOLDING else 'a Check'} ends after 10 s with 503."
        )
    return notes.on(
        core.GrpcService(
            envoy_grpc=core.GrpcServiceEnvoyGrpc(cluster_name=name),
            retry_policy=notes.on(again, retry_on=None, num_retries=None, retry_back_off=None),
            timeout=timedelta(seconds=seconds),
        ),
        envoy_grpc=None,
        retry_policy=of_tries,
        timeout=None if name == HOLDING else "extauthz reads this deadline and answers (503) before it is over.",
    )
