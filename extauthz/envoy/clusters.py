"""Clusters: what Envoy calls.

The rule kept here: of whatever extauthz has, so much is called that it can answer in time, and what comes beyond is
refused at once.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from envoy_data_plane.envoy.config.cluster import v3 as cluster
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.endpoint import v3 as endpoint
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls
from envoy_data_plane.envoy.extensions.upstreams.http import v3 as upstream
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher

from extauthz.envoy.addresses import Address, Pipe, Tcp
from extauthz.envoy.notes import Note, Notes
from extauthz.envoy.wanted import AT_ONCE_DECIDED, CallingTls, Own, Server
from extauthz.errors import ConfigurationError

EXTAUTHZ: Final = "extauthz"
HOLDING: Final = "extauthz_holding"
PAGES: Final = "extauthz_web"
APPROVALS: Final = "extauthz_approvals"
SERVICE: Final = "service"
SERVICE_GRPC: Final = "service_grpc"
SERVICE_TCP: Final = "service_tcp"
COLLECTOR: Final = "otel_collector"
_PROTOCOL: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def address_message(address: Address, *, mode: int = 0) -> core.Address:
    """An address as Envoy has it; `mode` is that of a socket's file."""
    if isinstance(address, Pipe):
        return core.Address(pipe=core.Pipe(path=address.path, mode=mode))
    return core.Address(socket_address=core.SocketAddress(address=address.host, port_value=address.port))


def checks_cluster(notes: Notes, server: Server) -> cluster.Cluster:
    """Where Checks are answered."""
    workers = len(server.checks)
    room = AT_ONCE_DECIDED * workers
    return _checks(
        notes,
        EXTAUTHZ,
        server,
        max_requests=room,
        of_room=f"{_room(workers)} {_OF_RETRIES}",
        of_address=_of_checks(server),
    )


def holding_cluster(notes: Notes, server: Server, *, at_once: int) -> cluster.Cluster:
    """The same server, for calls that may wait; so many wait in each worker."""
    workers = len(server.checks)
    made = _checks(
        notes,
        HOLDING,
        server,
        max_requests=(at_once + AT_ONCE_DECIDED) * workers,
        of_room="As many as `approvals.holding.at_once` of extauthz, and those that are being decided"
        + (", of each worker" if workers > 1 else "")
        + ". Beyond that 503 at once.",
        of_address=["Yours: as in `extauthz`." if not one.said else None for one in server.checks],
    )
    return notes.on(made, name=Note("the same server, for calls that may be held", beside=True))


def pages_cluster(notes: Notes, addresses: Sequence[Own[Address]]) -> cluster.Cluster:
    """Where the pages of the second factor are."""
    made = cluster.Cluster(
        name=PAGES,
        type=_discovery(addresses),
        connect_timeout=timedelta(seconds=1),
        load_assignment=_endpoints(notes, PAGES, addresses, _of_pages(addresses)),
    )
    if len(addresses) > 1:
        made.health_checks = [
            core.HealthCheck(
                timeout=timedelta(seconds=1),
                interval=timedelta(seconds=1),
                no_traffic_interval=timedelta(seconds=1),
                unhealthy_threshold=1,
                healthy_threshold=1,
                tcp_health_check=core.HealthCheckTcpHealthCheck(),
            )
        ]
        looked_at = "Any worker can show any page. One that has just gone is noticed by its closed port."
        notes.on(made, name=None, type=None, connect_timeout=None, health_checks=looked_at)
    return made


def approvals_cluster(notes: Notes, addresses: Sequence[Own[Address]]) -> cluster.Cluster:
    """Where the approvers' pages are."""
    room = 2048 * len(addresses)
    return notes.on(
        cluster.Cluster(
            name=APPROVALS,
            type=_discovery(addresses),
            connect_timeout=timedelta(seconds=1),
            circuit_breakers=_breaker(max_connections=room, max_requests=room),
            load_assignment=_endpoints(
                notes,
                APPROVALS,
                addresses,
                [
                    one.marked("`listen.approvals` of extauthz; with several workers one endpoint for each.")
                    if number == 0
                    else None
                    for number, one in enumerate(addresses)
                ],
            ),
        ),
        name=None,
        type=None,
        connect_timeout=None,
        circuit_breakers="Each page that is open keeps a stream: of 1,000 for the pages and 500 for the API, of one"
        " server.",
    )


def plain_cluster(
    notes: Notes, name: str, address: Own[Address], *, said: str, http2: bool = False, patience: float = 2.0
) -> cluster.Cluster:
    """One address, and what is `said` of it beside the name."""
    made = cluster.Cluster(
        name=name,
        type=_discovery([address]),
        connect_timeout=timedelta(seconds=patience),
        load_assignment=_endpoints(notes, name, [address], [None]),
    )
    if http2:
        made.typed_extension_protocol_options = {
            _PROTOCOL: notes.pack(_http2(core.Http2ProtocolOptions())),
        }
    return notes.on(
        made,
        name=Note(address.marked(said) if not address.said else said, beside=True),
        type=None,
        connect_timeout=None,
        typed_extension_protocol_options=None,
    )


def _checks(
    notes: Notes,
    name: str,
    server: Server,
    *,
    max_requests: int,
    of_room: str,
    of_address: Sequence[str | Note | None],
) -> cluster.Cluster:
    several = len(server.checks) > 1
    options = core.Http2ProtocolOptions()
    # The other end of a Unix socket is on the same machine, whose kernel says at once when it is gone.
    if not all(isinstance(one.value, Pipe) for one in server.checks):
        options.connection_keepalive = core.KeepaliveSettings(
            interval=timedelta(seconds=5), timeout=timedelta(seconds=1)
        )
        notes.on(options, connection_keepalive=_OF_KEEPALIVE)
    # Not `close_connections_on_host_health_failure`: of connections that carry HTTP, Envoy closes none by it. It gives
    # them nothing new when their host fails, with or without, and calls that are under way there go on: those of a
    # server that says that it goes, and those that are held.
    made = cluster.Cluster(
        name=name,
        type=_discovery(server.checks),
        connect_timeout=timedelta(seconds=0.2),
        lb_policy=cluster.ClusterLbPolicy.LEAST_REQUEST if several else cluster.ClusterLbPolicy.ROUND_ROBIN,
        typed_extension_protocol_options={_PROTOCOL: notes.pack(_http2(options))},
        circuit_breakers=_breaker(
            max_requests=max_requests,
            max_pending_requests=AT_ONCE_DECIDED * len(server.checks),
            max_retries=max_requests,
        ),
        health_checks=[_health(notes, several)],
        outlier_detection=_outliers() if several else None,
        load_assignment=_endpoints(notes, name, server.checks, of_address),
    )
    notes.on(made, name=None, type=None, connect_timeout=None)
    if several:
        of_choice = "Of two chosen at random, the one with fewer calls: a worker that is slow for a moment gets less."
        notes.on(made, lb_policy=of_choice)
    if server.tls is not None:
        made.transport_socket = _calling_tls(notes, server.tls)
        notes.on(made, transport_socket=None)
    return notes.on(
        made,
        typed_extension_protocol_options="gRPC is HTTP/2; without this Envoy would speak HTTP/1.1.",
        circuit_breakers=of_room,
        health_checks=_OF_WORKERS_HEALTH if several else _OF_HEALTH,
        outlier_detection=_OF_OUTLIERS,
    )


_OF_KEEPALIVE: Final = (
    "Is the other end still there? One that is gone without a word (a machine without power, packets that get lost)"
    " closes no connection: without this calls are sent into it for as long as TCP tries, also for some seconds after"
    " the other end is back."
)
_OF_HEALTH: Final = "By gRPC's own protocol of health: a server that stops says so, and is asked no more."
_OF_WORKERS_HEALTH: Final = (
    "A worker that goes says so 2 s before it takes nothing new, so it must be looked at more often; one that came"
    " back must be seen before the next one goes. The threshold is for looks that got no answer, as on a busy"
    " machine: a worker that says that it goes is left out at once."
)
_OF_NO_TRAFFIC: Final = "Until the first request has come Envoy would look once a minute, and see as late who is gone."
_OF_OUTLIERS: Final = (
    "One that is gone without a word: looks alone need some seconds to notice, and until then its share of all calls"
    " waits for nothing. Three calls in a row that it did not answer leave it out at once, until a look finds it"
    " again. Only a lack of answers counts, not what an answer says; and never more than half are left out by this,"
    " for with too few the others would have too much."
)

_OF_RETRIES: Final = (
    "When a connection breaks, all calls on it are repeated: without a word Envoy repeats three at a time, and gives up"
    " the others."
)


def _room(workers: int) -> str:
    if workers > 1:
        return (
            f"{AT_ONCE_DECIDED} for each worker: so many are decided in time. What comes beyond is answered with 503"
            " at once."
        )
    return (
        "Calls that are under way at a time; what comes beyond is answered with 503 at once. So many are decided in"
        " time by one worker: more would all wait until it is too late (docs/operations.md, Overload)."
    )


def _of_checks(server: Server) -> Sequence[str | Note | None]:
    if len(server.checks) > 1:
        return [Note(one.marked(f"worker {number}"), beside=True) for number, one in enumerate(server.checks)]
    (one,) = server.checks
    if isinstance(one.value, Pipe):
        return [
            one.marked(f'`listen: {{grpc: "unix:{one.value.path}"}}` of extauthz. A socket that only this pod mounts:')
            + " its folder must belong to extauthz and Envoy alone."
        ]
    return [one.marked("`listen.grpc` of extauthz, by a name or address that Envoy can reach.")]


def _of_pages(addresses: Sequence[Own[Address]]) -> Sequence[str | Note | None]:
    if len(addresses) > 1:
        return [Note(one.marked(f"worker {number}"), beside=True) for number, one in enumerate(addresses)]
    (one,) = addresses
    if isinstance(one.value, Pipe):
        return [one.marked(f'`listen: {{web: "unix:{one.value.path}"}}` of extauthz.')]
    return [one.marked("`listen.web` of extauthz.")]


def _calling_tls(notes: Notes, calling: CallingTls) -> core.TransportSocket:
    names = calling.names
    context = notes.on(
        tls.CertificateValidationContext(
            trusted_ca=core.DataSource(filename=calling.authorities.value),
            match_typed_subject_alt_names=[
                tls.SubjectAltNameMatcher(
                    san_type=tls.SubjectAltNameMatcherSanType.URI
                    if name.startswith("spiffe://")
                    else tls.SubjectAltNameMatcherSanType.DNS,
                    matcher=StringMatcher(exact=name),
                )
                for name in names.value
            ],
        ),
        trusted_ca=calling.authorities.marked("who signs the certificate of extauthz, `listen.tls.certificate`."),
        match_typed_subject_alt_names=names.marked(
            "the names in that certificate. Without them whoever has one of the same authority could answer for"
            " extauthz."
        ),
    )
    common = tls.CommonTlsContext(
        tls_params=tls.TlsParameters(tls_minimum_protocol_version=tls.TlsParametersTlsProtocol.TLSv1_2),
        validation_context=context,
        alpn_protocols=["h2"],
    )
    if calling.certificate is not None and calling.key is not None:
        common.tls_certificates = [_certificate(notes, calling.certificate, calling.key)]
    notes.on(common, alpn_protocols=None, tls_params=None, tls_certificates=None)
    return core.TransportSocket(
        name="envoy.transport_sockets.tls", typed_config=notes.pack(tls.UpstreamTlsContext(common_tls_context=common))
    )


def _certificate(notes: Notes, certificate: Own[str], key: Own[str]) -> tls.TlsCertificate:
    return notes.on(
        tls.TlsCertificate(
            certificate_chain=core.DataSource(filename=certificate.value),
            private_key=core.DataSource(filename=key.value),
        ),
        certificate_chain=certificate.marked("Envoy's own, with one of the names in `listen.tls.callers` of extauthz."),
        private_key=Note(key.marked("its key"), beside=True),
    )


def _http2(options: core.Http2ProtocolOptions) -> upstream.HttpProtocolOptions:
    return upstream.HttpProtocolOptions(
        explicit_http_config=upstream.HttpProtocolOptionsExplicitHttpConfig(http2_protocol_options=options)
    )


def _health(notes: Notes, several: bool) -> core.HealthCheck:
    interval = timedelta(seconds=0.5 if several else 5)
    return notes.on(
        core.HealthCheck(
            timeout=timedelta(seconds=1),
            interval=interval,
            no_traffic_interval=interval,
            unhealthy_threshold=3 if several else 2,
            healthy_threshold=1,
            grpc_health_check=core.HealthCheckGrpcHealthCheck(),
        ),
        timeout=None,
        interval=None,
        no_traffic_interval=_OF_NO_TRAFFIC,
    )


def _outliers() -> cluster.OutlierDetection:
    return cluster.OutlierDetection(
        split_external_local_origin_errors=True,
        consecutive_local_origin_failure=3,
        interval=timedelta(seconds=1),
        base_ejection_time=timedelta(seconds=5),
        max_ejection_time=timedelta(seconds=30),
        max_ejection_percent=50,
        # No judgement by what is answered, nor by comparing the hosts.
        enforcing_consecutive_5xx=0,
        enforcing_success_rate=0,
        enforcing_local_origin_success_rate=0,
    )


def _breaker(
    *,
    max_requests: int,
    max_connections: int | None = None,
    max_pending_requests: int | None = None,
    max_retries: int | None = None,
) -> cluster.CircuitBreakers:
    limits = cluster.CircuitBreakersThresholds(
        max_connections=max_connections,
        max_pending_requests=max_pending_requests,
        max_requests=max_requests,
        max_retries=max_retries,
    )
    return cluster.CircuitBreakers(thresholds=[limits])


def _endpoints(
    notes: Notes, name: str, addresses: Sequence[Own[Address]], said: Sequence[str | Note | None]
) -> endpoint.ClusterLoadAssignment:
    return endpoint.ClusterLoadAssignment(
        cluster_name=name,
        endpoints=[
            endpoint.LocalityLbEndpoints(
                lb_endpoints=[
                    notes.on(
                        endpoint.LbEndpoint(endpoint=endpoint.Endpoint(address=address_message(one.value))),
                        endpoint=what,
                    )
                    for one, what in zip(addresses, said, strict=True)
                ]
            )
        ],
    )


def _discovery(addresses: Sequence[Own[Address]]) -> cluster.ClusterDiscoveryType:
    """A name is looked up, again and again.

    Raises:
        ConfigurationError: sockets and names can't be in one cluster.
    """
    named = [one.value for one in addresses if isinstance(one.value, Tcp) and one.value.is_name]
    if named and any(isinstance(one.value, Pipe) for one in addresses):
        raise ConfigurationError(f"`{named[0].host}` has to be looked up and can't be beside a socket in one cluster")
    return cluster.ClusterDiscoveryType.STRICT_DNS if named else cluster.ClusterDiscoveryType.STATIC
