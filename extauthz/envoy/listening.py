"""Listeners: who may connect, how a request is read, and what is told of it.

The rule kept here: one reading of a request for Envoy, extauthz and the service; and whatever a client claims of its
own identity is taken away.
"""

from datetime import timedelta
from typing import Final

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.listener import v3 as listener
from envoy_data_plane.envoy.config.trace.v3 import OpenTelemetryConfig, TracingHttp
from envoy_data_plane.envoy.extensions.access_loggers.file.v3 import FileAccessLog
from envoy_data_plane.envoy.extensions.access_loggers.stream.v3 import StdoutAccessLog
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as manager
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 import TcpProxy
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Struct

from extauthz.envoy.asking import HTTP_FILTER, NETWORK_FILTER, http_filter, network_filter
from extauthz.envoy.clusters import COLLECTOR, SERVICE_TCP, address_message
from extauthz.envoy.notes import Note, Notes
from extauthz.envoy.routes import LISTENER, approvals_routes, proxy_routes
from extauthz.envoy.wanted import ApproversFront, Proxy, Seen, ServerTls, TcpGuard

_BUFFER: Final = 32768
_DECIDED: Final = ("decision", "decision_id", "rule", "reason", "revision")
_CONNECTION: Final = {
    "time": "%START_TIME%",
    "flags": "%RESPONSE_FLAGS%",
    "duration_ms": "%DURATION%",
    "peer": "%DOWNSTREAM_PEER_URI_SAN%",
}
# No `X-ENVOY-ORIGINAL-PATH`: nothing here rewrites paths, and a sidecar takes that header from whoever calls.
_REQUEST: Final = {
    "time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(:PATH)%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "duration_ms": "%DURATION%",
    "peer": "%DOWNSTREAM_PEER_URI_SAN%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "trace_id": "%TRACE_ID%",
}


def http_listener(notes: Notes, proxy: Proxy) -> listener.Listener:
    """Where requests come in."""
    gateway = proxy.kind == "gateway"
    chain = _chain(notes, proxy.tls, kind=proxy.kind)
    chain.filters = [
        listener.Filter(
            name="envoy.filters.network.http_connection_manager", typed_config=notes.pack(_manager(notes, proxy))
        )
    ]
    made = _listener(notes, LISTENER[proxy.kind], "where clients connect." if gateway else _INBOUND, proxy, chain)
    return notes.on(
        made,
        per_connection_buffer_limit_bytes="So many bytes of a connection are buffered: enough for a check, and small.",
    )


def tcp_listener(notes: Notes, proxy: Proxy, guard: TcpGuard) -> listener.Listener:
    """Where connections come in that carry no HTTP."""
    chain = _chain(notes, proxy.tls, kind=proxy.kind)
    to_service = TcpProxy(stat_prefix="inbound_tcp", cluster=SERVICE_TCP)
    chain.filters = [
        network_filter(notes, proxy.asking),
        listener.Filter(name="envoy.filters.network.tcp_proxy", typed_config=notes.pack(to_service)),
    ]
    made = listener.Listener(
        name="inbound_tcp",
        address=address_message(guard.listen.value),
        access_log=_access_log(notes, proxy.seen, _CONNECTION, NETWORK_FILTER),
        filter_chains=[chain],
    )
    return notes.on(
        made,
        name="Bytes, not requests: one Check a connection, and only rules with `tcp: true` can allow it.",
        address=guard.listen.marked(
            "where clients of that protocol connect; without one remove this listener and its cluster."
            if not guard.listen.said
            else "where clients of that protocol connect."
        ),
        access_log="Of the listener, so that a connection which was denied has a line, too. The filter for"
        " connections has a namespace of its own.",
    )


def approvals_listener(notes: Notes, front: ApproversFront) -> listener.Listener:
    """Where browsers of approvers, and programs that answer, come in."""
    chain = _chain(notes, front.tls, kind="approvals")
    settings = notes.on(
        manager.HttpConnectionManager(
            stat_prefix="approvals",
            codec_type=manager.HttpConnectionManagerCodecType.AUTO,
            use_remote_address=True,
            normalize_path=True,
            merge_slashes=False,
            path_with_escaped_slashes_action=_KEEP,
            strip_any_host_port=False,
            common_http_protocol_options=_protocol(idle=3600),
            request_headers_timeout=timedelta(seconds=10),
            request_timeout=timedelta(seconds=30),
            route_config=approvals_routes(notes),
            http_filters=[_router(notes)],
        ),
        stat_prefix=None,
        codec_type=None,
        use_remote_address=None,
        normalize_path=None,
        merge_slashes=None,
        path_with_escaped_slashes_action=None,
        strip_any_host_port="The pages answer by the host and the port of `approvals.url` alone.",
        common_http_protocol_options=None,
        request_headers_timeout=None,
        request_timeout=None,
        route_config=None,
        http_filters="No ext_authz: the pages have their own login, the API its own tokens, and an approval that"
        " waited for an approval would never end.",
    )
    chain.filters = [
        listener.Filter(name="envoy.filters.network.http_connection_manager", typed_config=notes.pack(settings))
    ]
    where = "where the browsers of approvers connect. Its port is in `approvals.url`, unless it is 443."
    return _listener(notes, "approvals", where, front, chain)


_INBOUND: Final = "where the mesh sends what is for the service."
_KEEP: Final = manager.HttpConnectionManagerPathWithEscapedSlashesAction.KEEP_UNCHANGED


def _listener(
    notes: Notes, name: str, where: str, whole: Proxy | ApproversFront, chain: listener.FilterChain
) -> listener.Listener:
    return notes.on(
        listener.Listener(
            name=name,
            address=address_message(whole.listen.value),
            per_connection_buffer_limit_bytes=max(_BUFFER, whole.asking.body) if isinstance(whole, Proxy) else _BUFFER,
            filter_chains=[chain],
        ),
        name=None,
        address=whole.listen.marked(where),
        per_connection_buffer_limit_bytes=None,
    )


def _manager(notes: Notes, proxy: Proxy) -> manager.HttpConnectionManager:
    gateway = proxy.kind == "gateway"
    details = manager.HttpConnectionManagerForwardClientCertDetails
    hops = proxy.trusted_hops if proxy.appends_peer else max(0, proxy.trusted_hops - 1)
    settings = manager.HttpConnectionManager(
        stat_prefix=LISTENER[proxy.kind],
        codec_type=manager.HttpConnectionManagerCodecType.AUTO,
        use_remote_address=proxy.appends_peer,
        xff_num_trusted_hops=hops,
        normalize_path=True,
        merge_slashes=False,
        path_with_escaped_slashes_action=_KEEP,
        strip_any_host_port=False,
        common_http_protocol_options=_protocol(idle=3600 if gateway else None),
        request_headers_timeout=timedelta(seconds=10),
        request_timeout=timedelta(seconds=300) if gateway else None,
        forward_client_cert_details=details.SANITIZE if proxy.tls is None else details.SANITIZE_SET,
        set_current_client_cert_details=None
        if proxy.tls is None
        else manager.HttpConnectionManagerSetCurrentClientCertDetails(uri=True),
        access_log=_access_log(notes, proxy.seen, _REQUEST, HTTP_FILTER),
        tracing=_tracing(notes, proxy),
        route_config=proxy_routes(notes, proxy),
        http_filters=[http_filter(notes, proxy.asking, proxy.server), _router(notes)],
    )
    options = settings.common_http_protocol_options
    if options is not None:
        notes.on(
            options,
            headers_with_underscores_action="`x_extauthz_subject` is `x-extauthz-subject` to a CGI-like service.",
        )
    return notes.on(
        settings,
        stat_prefix=None,
        codec_type=None,
        use_remote_address=_OF_PEER[proxy.appends_peer].format(hops=proxy.trusted_hops),
        xff_num_trusted_hops=None,
        normalize_path="One reading of the path for Envoy, extauthz and the service. What stays ambiguous after that"
        " (%2F, `//`, `;`) is not repaired here: extauthz refuses it with 400, on record.",
        merge_slashes=None,
        path_with_escaped_slashes_action=None,
        strip_any_host_port=None,
        common_http_protocol_options=None,
        request_headers_timeout=None,
        request_timeout=None,
        forward_client_cert_details=_OF_PLAINTEXT
        if proxy.tls is None
        else _OF_CERTIFICATES
        if gateway
        else _OF_EARLIER_HOPS,
        set_current_client_cert_details=None,
        access_log=None,
        tracing=None,
        route_config=None,
        http_filters=None,
    )


_OF_PEER: Final = {
    True: "The peer is the client, or the last of the trusted hops: Envoy appends it to X-Forwarded-For (extauthz:"
    " `client: {{xff: appended, trusted_hops: {hops}}}`) and takes x-envoy-* headers of clients away.",
    False: "The peer is another workload, not the client: X-Forwarded-For stays as the gateway wrote it (extauthz:"
    " `client: {{xff: untouched, trusted_hops: {hops}}}`).",
}
_OF_PLAINTEXT: Final = "Nobody has verified a certificate: what a client writes about one is dropped."
_OF_CERTIFICATES: Final = (
    "The caller's own X-Forwarded-Client-Cert is dropped, and the URI of the certificate that Envoy has verified is"
    " written instead."
)
_OF_EARLIER_HOPS: Final = (
    "What earlier hops claim about certificates is dropped. APPEND_FORWARD would keep their elements before our own;"
    " extauthz then believes the last one alone, and only beside a verified certificate."
)


def _chain(notes: Notes, secured: ServerTls | None, *, kind: str) -> listener.FilterChain:
    """A filter chain with TLS, or without."""
    if secured is None:
        return listener.FilterChain()
    versions = tls.TlsParametersTlsProtocol
    mesh = kind == "sidecar"
    common = tls.CommonTlsContext(
        alpn_protocols=["h2", "http/1.1"],
        tls_params=tls.TlsParameters(tls_minimum_protocol_version=versions.TLSv1_3 if mesh else versions.TLSv1_2),
        tls_certificates=[_certificate(notes, secured, kind)],
    )
    notes.on(common, alpn_protocols=None, tls_params=None, tls_certificates=None)
    context = tls.DownstreamTlsContext(common_tls_context=common)
    if kind != "approvals":
        common.validation_context = _validation(notes, secured, kind)
        context.require_client_certificate = mesh
        said = (
            "In a mesh everyone is someone: no certificate, no connection."
            if mesh
            else "Browsers come without a certificate, workloads with one. One that is presented must verify."
        )
        notes.on(context, require_client_certificate=said)
    socket = core.TransportSocket(name="envoy.transport_sockets.tls", typed_config=notes.pack(context))
    return notes.on(listener.FilterChain(transport_socket=socket), transport_socket=None)


def _certificate(notes: Notes, secured: ServerTls, kind: str) -> tls.TlsCertificate:
    said = {
        "gateway": "the server's chain",
        "sidecar": "this workload's SVID",
        "approvals": "the chain for the host of `approvals.url`, which no application has: cookies are shared by all"
        " ports of a host.",
    }[kind]
    beside = kind != "approvals"
    return notes.on(
        tls.TlsCertificate(
            certificate_chain=core.DataSource(filename=secured.certificate.value),
            private_key=core.DataSource(filename=secured.key.value),
        ),
        certificate_chain=Note(secured.certificate.marked(said), beside=beside),
        private_key=Note(secured.key.marked("its key"), beside=True),
    )


def _validation(notes: Notes, secured: ServerTls, kind: str) -> tls.CertificateValidationContext:
    mesh = kind == "sidecar"
    made = tls.CertificateValidationContext(
        trusted_ca=core.DataSource(filename=secured.authorities.value),
        trust_chain_verification=tls.CertificateValidationContextTrustChainVerification.VERIFY_TRUST_CHAIN,
    )
    whose = secured.authorities.marked(
        "the bundle of the trust domain" if mesh else "who signs the certificates of workloads."
    )
    said = f"Without a CA here Envoy takes any certificate, and a self-signed one would name a workload.\n{whose}"
    notes.on(made, trusted_ca=Note(whose, beside=True) if mesh else said, trust_chain_verification=None)
    if secured.trust_domains.value:
        made.match_typed_subject_alt_names = [
            tls.SubjectAltNameMatcher(
                san_type=tls.SubjectAltNameMatcherSanType.URI, matcher=StringMatcher(prefix=f"spiffe://{domain}/")
            )
            for domain in secured.trust_domains.value
        ]
        of_domains = secured.trust_domains.marked(
            "the trust domain. A CA that serves more than it still lets nobody else in."
        )
        notes.on(made, match_typed_subject_alt_names=of_domains)
    return made


def _protocol(*, idle: float | None) -> core.HttpProtocolOptions:
    return core.HttpProtocolOptions(
        headers_with_underscores_action=core.HttpProtocolOptionsHeadersWithUnderscoresAction.REJECT_REQUEST,
        idle_timeout=None if idle is None else timedelta(seconds=idle),
    )


def _access_log(notes: Notes, seen: Seen, fields: dict[str, str], namespace: str) -> list[AccessLog]:
    """One line of JSON, with what extauthz has decided and why."""
    if seen.access_log is None:
        return []
    decided = {name: f"%DYNAMIC_METADATA({namespace}:extauthz:{name})%" for name in _DECIDED}
    line = notes.on(
        core.SubstitutionFormatString(json_format=Struct.from_dict({**fields, **decided})),
        json_format="`decision` and what follows is what extauthz decided and why, on the line of the request itself."
        if namespace == HTTP_FILTER
        else None,
    )
    if seen.access_log == "stdout":
        logger: StdoutAccessLog | FileAccessLog = StdoutAccessLog(log_format=line)
        return [AccessLog(name="envoy.access_loggers.stdout", typed_config=notes.pack(logger))]
    logger = FileAccessLog(path=seen.access_log, log_format=line)
    return [AccessLog(name="envoy.access_loggers.file", typed_config=notes.pack(logger))]


def _tracing(notes: Notes, proxy: Proxy) -> manager.HttpConnectionManagerTracing | None:
    if proxy.seen.collector is None:
        return None
    config = OpenTelemetryConfig(
        service_name=proxy.seen.name,
        grpc_service=core.GrpcService(
            envoy_grpc=core.GrpcServiceEnvoyGrpc(cluster_name=COLLECTOR), timeout=timedelta(seconds=1)
        ),
    )
    return notes.on(
        manager.HttpConnectionManagerTracing(
            random_sampling=Percent(value=proxy.seen.sampling),
            provider=TracingHttp(name="envoy.tracers.opentelemetry", typed_config=notes.pack(config)),
        ),
        random_sampling="Envoy's span is the parent of the decision's. Sample less where traffic is heavy."
        if proxy.kind == "gateway"
        else "The gateway decides what is sampled; its traceparent is continued.",
    )


def _router(notes: Notes) -> manager.HttpFilter:
    return manager.HttpFilter(name="envoy.filters.http.router", typed_config=notes.pack(Router()))
