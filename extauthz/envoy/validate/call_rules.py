"""Rules for the calls by which extauthz is asked, and the clusters that they go through."""

from collections.abc import Iterator, Sequence

from extauthz.envoy.validate.filters import Filter
from extauthz.envoy.validate.findings import Hit, rule
from extauthz.envoy.validate.model import HTTP, OWN, Everything, Http, Route
from extauthz.envoy.validate.sockets import (
    PINS,
    is_local,
    is_plain,
    names_of_secrets,
    takes_untrusted,
    tls_of,
    validations,
    verifies,
)
from extauthz.envoy.validate.spots import Spot

QUICK = 5.0
"""Seconds that a call may take at most that is not held for an approval."""
_BASE = 1.0
"""Seconds that Envoy waits before a second try where a retry policy doesn't say."""
_IDLE = 300.0
"""Seconds after which Envoy ends a silent stream where nobody says otherwise."""


@rule(
    "timeout-missing",
    "warning",
    "Envoy gives up after 0.2 s, sooner than a look-up in a store that is busy takes",
    "write `timeout: 0.25s`, or what your store needs",
)
def timeout_missing(all_of_it: Everything) -> Iterator[Hit]:
    for call in all_of_it.calls:
        if not call.spot["timeout"].exists:
            yield call.spot, ""


@rule(
    "timeout-none",
    "error",
    "a call without an end: when extauthz hangs, every request hangs with it, until Envoy has no room for more",
    "write `timeout: 0.25s`",
)
def timeout_none(all_of_it: Everything) -> Iterator[Hit]:
    for call in all_of_it.calls:
        if call.spot["timeout"].exists and call.seconds == 0:
            yield call.spot["timeout"], ""


@rule(
    "timeout-long",
    "warning",
    "every request waits so long whenever extauthz is out of reach",
    "write `timeout: 0.25s`, and a longer one on the routes where calls are held, through a cluster of their own",
)
def timeout_long(all_of_it: Everything) -> Iterator[Hit]:
    for call in all_of_it.calls:
        if call.seconds > QUICK and not call.apart:
            yield call.spot["timeout"], f"{call.seconds:g} s"


@rule(
    "held-share-cluster",
    "warning",
    "calls that wait for an approval take the places of all others in this cluster, which then get 403 or 503",
    "let the held ones go through a cluster of their own, as `extauthz_holding` in `envoy/gateway.yaml`",
)
def held_share_cluster(all_of_it: Everything) -> Iterator[Hit]:
    quick = {call.cluster for call in all_of_it.calls if call.seconds <= QUICK and call.cluster}
    for call in all_of_it.calls:
        if call.seconds > QUICK and call.cluster in quick:
            yield call.spot, f"`{call.cluster}`"


@rule(
    "retry-cuts-timeout",
    "warning",
    "with a retry policy Envoy gives each try `max_interval`, where nobody says it ten times `base_interval`, or 10 s:"
    " the call ends before its timeout",
    "write `retry_back_off: {base_interval: 0.1s, max_interval: …}` with the timeout of the call",
)
def retry_cuts_timeout(all_of_it: Everything) -> Iterator[Hit]:
    for call in all_of_it.calls:
        policy = call.spot["retry_policy"]
        base = policy.at("retry_back_off", "base_interval").seconds(_BASE) or _BASE
        longest = policy.at("retry_back_off", "max_interval").seconds() or 10 * base
        if policy.exists and call.seconds > longest:
            yield policy, f"{longest:g} s of {call.seconds:g} s"


@rule(
    "stream-ends-first",
    "warning",
    "Envoy ends a stream on which nothing moves, also while extauthz is asked about it, before the call's own timeout",
    "write a longer `stream_idle_timeout` or `max_stream_duration`, or a shorter hold",
)
def stream_ends_first(all_of_it: Everything) -> Iterator[Hit]:
    told = set()
    for http in all_of_it.https:
        for guard in http.all_guards:
            routes: Sequence[Route | None] = http.judged or (None,)
            for route in routes:
                timeout = _call_of(guard, route)["timeout"]
                for end, default in _ends(http, route):
                    seconds, where = end.seconds(default) or 0.0, end if end.exists else timeout
                    if 0 < seconds < (timeout.seconds(0.2) or 0.0) and where not in told:
                        told.add(where)
                        yield where, f"{seconds:g} s"


def _call_of(guard: Filter, route: Route | None) -> Spot:
    """How the filter asks on this route."""
    own = (settings["check_settings"]["grpc_service"] for settings in (route.settings(guard.name) if route else ()))
    return next((spot for spot in own if spot.exists), guard.config["grpc_service"])


def _ends(http: Http, route: Route | None) -> Iterator[tuple[Spot, float]]:
    """What ends a stream on this route, each with its default in seconds, 0 for never."""
    ends = (
        (http.spot["stream_idle_timeout"], ("idle_timeout",), _IDLE),
        (
            http.spot["common_http_protocol_options"]["max_stream_duration"],
            ("max_stream_duration", "max_stream_duration"),
            0.0,
        ),
    )
    for usual, path, default in ends:
        own = usual if route is None else route.spot.at("route", *path)
        yield (own if own.exists else usual), default


@rule(
    "google-grpc",
    "warning",
    "Google's client keeps connections of its own: no health checks, circuit breakers or retries of Envoy's clusters",
    "write `envoy_grpc: {cluster_name: extauthz}`",
)
def google_grpc(all_of_it: Everything) -> Iterator[Hit]:
    for call in all_of_it.calls:
        if call.spot["google_grpc"].exists:
            yield call.spot["google_grpc"], ""


@rule(
    "cluster-unknown",
    "error",
    "no cluster has this name, so that nobody can be asked",
    "write the name of a cluster, or give the file that has it",
)
def cluster_unknown(all_of_it: Everything) -> Iterator[Hit]:
    for name in _unknown(all_of_it) if not _come_elsewhere(all_of_it) else ():
        yield name, f"`{name.text}`"


@rule(
    "clusters-unseen",
    "warning",
    "this cluster comes from elsewhere, so that nothing is known here of where extauthz is asked, and whether others"
    " can answer in its place",
    "give the file with the clusters, too, or the `/config_dump?include_eds` of the Envoy that has received them",
)
def clusters_unseen(all_of_it: Everything) -> Iterator[Hit]:
    for name in _unknown(all_of_it) if _come_elsewhere(all_of_it) else ():
        yield name, f"`{name.text}`"


def _unknown(all_of_it: Everything) -> Iterator[Spot]:
    """The names of clusters that are to be asked, and are not there."""
    for call in all_of_it.calls:
        if call.cluster and call.cluster not in all_of_it.clusters:
            yield call.spot["envoy_grpc"]["cluster_name"]


def _come_elsewhere(all_of_it: Everything) -> bool:
    """Whether clusters may come over the network, or none were given."""
    bootstraps = all_of_it.resources.bootstraps
    return not all_of_it.clusters or any(one["dynamic_resources"]["cds_config"].exists for one in bootstraps)


@rule(
    "cluster-http1",
    "error",
    "gRPC is HTTP/2, and to this cluster Envoy speaks HTTP/1.1: no call succeeds",
    "add `typed_extension_protocol_options` with `explicit_http_config: {http2_protocol_options: {}}`",
)
def cluster_http1(all_of_it: Everything) -> Iterator[Hit]:
    for cluster in _asked(all_of_it):
        options = cluster["typed_extension_protocol_options"][HTTP]
        kinds = ("explicit_http_config", "auto_config", "use_downstream_protocol_config")
        second = any(options[kind]["http2_protocol_options"].exists for kind in kinds)
        if not second and not cluster["http2_protocol_options"].exists:
            yield cluster, f"`{cluster['name'].text}`"


@rule(
    "cluster-plaintext",
    "warning",
    "who is on the way between Envoy and extauthz reads every token, and can answer `allow` in its place",
    "use a Unix socket, or TLS on both sides: `transport_socket` here, `listen.tls` for extauthz",
)
def cluster_plaintext(all_of_it: Everything) -> Iterator[Hit]:
    for cluster in _asked(all_of_it):
        known = all_of_it.addresses(cluster)
        away = [address for address in known if not is_local(address)] if known else [cluster]
        if is_plain(cluster) and not cluster["transport_socket_matches"].exists and away:
            yield away[0], f"`{cluster['name'].text}`"


@rule(
    "cluster-unverified",
    "error",
    "Envoy asks whoever answers at this address: it takes a certificate for which no authority vouches, or none any"
    " more",
    "write `validation_context: {trusted_ca: …, match_typed_subject_alt_names: …}`, and nothing that softens it",
)
def cluster_unverified(all_of_it: Everything) -> Iterator[Hit]:
    secrets = all_of_it.resources.secrets
    for cluster, tls in _encrypted(all_of_it):
        told = f"`{cluster['name'].text}`"
        if not verifies(tls, secrets):
            yield tls["common_tls_context"]["validation_context"], told
        for context in validations(tls, secrets):
            if takes_untrusted(context):
                yield context["trust_chain_verification"], told
            if context["allow_expired_certificate"].flag():
                yield context["allow_expired_certificate"], told


@rule(
    "cluster-any-name",
    "warning",
    "every certificate of that authority is taken for the one of extauthz",
    "add `match_typed_subject_alt_names` with the name or SPIFFE ID of extauthz",
)
def cluster_any_name(all_of_it: Everything) -> Iterator[Hit]:
    secrets = all_of_it.resources.secrets
    for cluster, tls in _encrypted(all_of_it):
        contexts = [one for one in validations(tls, secrets) if one.exists]
        named = any(context[name].exists for context in contexts for name in (*_NAMES, *PINS))
        seen = all(name.text in secrets for name in names_of_secrets(tls))
        if contexts and seen and not named and not tls["auto_sni_san_validation"].flag() and verifies(tls, secrets):
            yield contexts[0], f"`{cluster['name'].text}`"


_NAMES = ("match_typed_subject_alt_names", "match_subject_alt_names")


@rule(
    "circuit-breaker-missing",
    "warning",
    "up to 1,024 calls wait for an extauthz that is too slow for them, and all of them get their answer too late",
    "write `circuit_breakers: {thresholds: [{max_requests: 256, max_pending_requests: 256}]}`",
)
def circuit_breaker_missing(all_of_it: Everything) -> Iterator[Hit]:
    for cluster in _asked(all_of_it):
        thresholds = cluster["circuit_breakers"]["thresholds"]
        if not any(one["max_requests"].exists for one in thresholds.items):
            yield thresholds, f"`{cluster['name'].text}`"


@rule(
    "health-check-missing",
    "warning",
    "Envoy goes on asking a server that stops or hangs, and its requests fail",
    'write `health_checks` with `grpc_health_check: {service_name: ""}`',
)
def health_check_missing(all_of_it: Everything) -> Iterator[Hit]:
    for cluster in _asked(all_of_it):
        if not cluster["health_checks"].items:
            yield cluster["health_checks"], f"`{cluster['name'].text}`"


def _asked(all_of_it: Everything) -> list[Spot]:
    """The clusters through which extauthz is asked; where only clusters are given, those that are called so."""
    names = dict.fromkeys(call.cluster for call in all_of_it.calls)
    if not all_of_it.resources.listeners and not all_of_it.resources.routes:
        ours = [
            name for name, spot in all_of_it.clusters.items() if name.startswith(OWN) and spot["health_checks"].items
        ]
        names.update(dict.fromkeys(name for name in ours if _speaks_grpc(all_of_it.clusters[name])))
    return [all_of_it.clusters[name] for name in names if name in all_of_it.clusters]


def _speaks_grpc(cluster: Spot) -> bool:
    return any(check["grpc_health_check"].exists for check in cluster["health_checks"].items)


def _encrypted(all_of_it: Everything) -> Iterator[tuple[Spot, Spot]]:
    """The clusters through which extauthz is asked over TLS, with each of its settings."""
    for cluster in _asked(all_of_it):
        for holder in (cluster, *cluster["transport_socket_matches"].items):
            tls = tls_of(holder)
            if tls["@type"].text.endswith("UpstreamTlsContext"):
                yield cluster, tls


RULES = (
    timeout_missing,
    timeout_none,
    timeout_long,
    held_share_cluster,
    retry_cuts_timeout,
    stream_ends_first,
    google_grpc,
    cluster_unknown,
    clusters_unseen,
    cluster_http1,
    cluster_plaintext,
    cluster_unverified,
    cluster_any_name,
    circuit_breaker_missing,
    health_check_missing,
)
