"""The configuration of the Envoy that the `pyvoy` transport runs in: pyvoy's own, and what it leaves open set here.

The rule: a setting that Envoy has a default for says why it is set. docs/pyvoy.md tells operators.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from extauthz.transport.callers import expression_of, is_pattern, is_uri
from extauthz.transport.methods import ARRIVED, CALLER, HEALTH_WATCH, LONGEST_REQUEST, MAX_MESSAGE, PATHS
from extauthz.transport.tls import Tls
from extauthz.transport.unix_sockets import AS_ALWAYS, Sockets

Tree = dict[str, Any]

STREAMS: Final = 1024
"""Calls on one connection at a time. Envoy opens another one for more."""
CONNECTIONS: Final = 4096
LONGEST_CALL: Final = "330s"
"""A call that is still there after it is ended: whoever is behind it has long given up. No `hold` is longer."""
HEAP: Final = 2 * 1024 * 1024 * 1024
"""Bytes of Envoy's own memory above which no more calls are taken: 120 of the longest messages."""
RELEASED: Final = 4 * 1024 * 1024
"""Bytes of memory that nobody needs any more, given back to the system each second."""
_BUFFER: Final = MAX_MESSAGE + 64 * 1024
_TYPES: Final = "type.googleapis.com/envoy"
_SERVER: Final = "server.json"
_CALLERS: Final = "callers.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an Envoy is: the address of its listener, whom that lets in, and the socket of its admin interface.

    `secrets` is the folder of what `envoy_secrets` gives.
    """

    address: str
    admin: Path
    secrets: Path
    tls: Tls | None = None
    sockets: Sockets = AS_ALWAYS


def envoy_secrets(tls: Tls) -> Mapping[str, Tree]:
    """What Envoy is told of certificates, by the names of the files in the folder of secrets.

    It reads the certificates again when something is moved to where they are.
    """
    secrets: dict[str, Tree] = {
        _SERVER: {
            "tls_certificate": {
                "certificate_chain": {"filename": str(tls.certificate)},
                "private_key": {"filename": str(tls.key)},
                "watched_directory": {"path": str(tls.certificate.parent)},
            }
        }
    }
    if tls.authorities is not None:
        secrets[_CALLERS] = {
            "validation_context": {
                "trusted_ca": {"filename": str(tls.authorities)},
                "watched_directory": {"path": str(tls.authorities.parent)},
                "trust_chain_verification": "VERIFY_TRUST_CHAIN",
                "match_typed_subject_alt_names": [
                    {"san_type": "URI" if is_uri(name) else "DNS", "matcher": _matcher(name)}
                    for name in sorted(tls.names)
                ],
            }
        }
    kind = f"{_TYPES}.extensions.transport_sockets.tls.v3.Secret"
    return {name: {"resources": [{"@type": kind, "name": name, **secret}]} for name, secret in secrets.items()}


def _matcher(name: str) -> Tree:
    return {"safe_regex": {"regex": expression_of(name)}} if is_pattern(name) else {"exact": name}


def envoy_config(application: str, place: Place, *, json_logs: bool) -> Tree:
    """The bootstrap of an Envoy that serves the ASGI application with this import string (`module:name`)."""
    # Here, because the package is an extra.
    from pyvoy import PyvoyServer

    tree: Tree = PyvoyServer(application, loop="asyncio", lifespan=True, worker_threads=1).get_envoy_config()
    (listener,) = tree["static_resources"]["listeners"]
    (network,) = listener["filter_chains"][0]["filters"]
    _set_listener(listener, place)
    _set_connections(network["typed_config"], named=place.tls is not None and place.tls.authorities is not None)
    # Secrets are only read by somebody with a name.
    tree["node"] = {"id": "extauthz", "cluster": "extauthz"}
    # A file, and for its owner alone: whoever reaches the admin interface can drain or stop the server.
    tree["admin"] = {"address": {"pipe": {"path": str(place.admin), "mode": 0o600}}}
    tree["static_resources"]["clusters"] = [_NOWHERE]
    tree["overload_manager"] = _overload_manager()
    # By itself Envoy keeps what it once had: after a flood of calls, 20 kB for each of those that waited.
    tree["memory_allocator_manager"] = {"bytes_to_release": RELEASED, "memory_release_interval": "1s"}
    if json_logs:
        tree["application_log_config"] = {"log_format": {"json_format": _LOG_LINE}}
    return tree


def _set_listener(listener: Tree, place: Place) -> None:
    listener["address"] = _address(place.address, place.sockets.mode)
    # Two servers on one port would share its calls without anybody noticing.
    listener["enable_reuse_port"] = False
    # A message is buffered in Envoy until Python has taken it, and above this answered with an error.
    listener["per_connection_buffer_limit_bytes"] = _BUFFER
    listener["stat_prefix"] = "grpc"
    # All draining is of our doing.
    listener["drain_type"] = "MODIFY_ONLY"
    if place.tls is not None:
        listener["filter_chains"][0]["transport_socket"] = _transport_socket(place.tls, place.secrets)


def _transport_socket(tls: Tls, secrets: Path) -> Tree:
    def secret(name: str) -> Tree:
        return {"name": name, "sds_config": {"path_config_source": {"path": str(secrets / name)}}}

    common: Tree = {
        "alpn_protocols": ["h2"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificate_sds_secret_configs": [secret(_SERVER)],
    }
    if tls.authorities is not None:
        common["validation_context_sds_secret_config"] = secret(_CALLERS)
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TYPES}.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": common,
            # Who takes up a session again shows no certificate, and so would get in after his has expired.
            "disable_stateless_session_resumption": tls.authorities is not None,
            "disable_stateful_session_resumption": tls.authorities is not None,
            "require_client_certificate": tls.authorities is not None,
        },
    }


def _address(address: str, mode: int) -> Tree:
    if address.startswith("unix:"):
        return {"pipe": {"path": address.removeprefix("unix:"), "mode": mode}}
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def _set_connections(manager: Tree, *, named: bool) -> None:
    manager["stat_prefix"] = "grpc"
    # gRPC and nothing else: no HTTP/1.1, and no upgrade from it.
    manager["codec_type"] = "HTTP2"
    manager["http2_protocol_options"] = {
        "max_concurrent_streams": STREAMS,
        # A body of up to 1 MiB comes in one go; of all bodies on one connection, 16 MiB do.
        "initial_stream_window_size": 1024 * 1024,
        "initial_connection_window_size": 16 * 1024 * 1024,
        # A caller that is gone without a word frees its calls.
        "connection_keepalive": {"interval": "30s", "timeout": "10s"},
    }
    # A call must be there whole within this, and its end stays in the hands of the route.
    manager["request_timeout"] = f"{LONGEST_REQUEST}s"
    manager["stream_idle_timeout"] = "0s"
    manager["common_http_protocol_options"] = {"idle_timeout": "3600s", "max_stream_duration": LONGEST_CALL}
    manager["drain_timeout"] = "0.5s"
    manager["server_header_transformation"] = "PASS_THROUGH"
    (host,) = manager["route_config"]["virtual_hosts"]
    host["routes"] = [
        # For as long as its caller likes.
        {
            "match": {"path": HEALTH_WATCH},
            "route": {"cluster": _NOWHERE["name"], "max_stream_duration": {"max_stream_duration": "0s"}},
        }
    ]
    # Before all filters: one more of them would cost each call more than setting its headers does.
    manager["early_header_mutation_extensions"] = [_overwriting(_ARRIVAL, *([_WHO_CALLS] if named else []))]
    manager["http_filters"].insert(0, _only_our_methods())
    manager["local_reply_config"] = {"mappers": [_NO_SUCH_METHOD, _TOO_LATE, _TOO_LONG]}


def _only_our_methods() -> Tree:
    """What is no call of ours never reaches Python: a path that is not UTF-8 would hang there for ever."""
    return {
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": f"{_TYPES}.extensions.filters.http.rbac.v3.RBAC",
            "rules": {
                "action": "ALLOW",
                "policies": {
                    "methods": {
                        "permissions": [
                            {
                                "and_rules": {
                                    "rules": [
                                        {"or_rules": {"rules": [_header(":path", path) for path in PATHS]}},
                                        _header(":method", "POST"),
                                        # Without it pyvoy sends no trailers, and so no status.
                                        _header("te", "trailers"),
                                    ]
                                }
                            }
                        ],
                        "principals": [{"any": True}],
                    }
                },
            },
        },
    }


def _header(name: str, value: str) -> Tree:
    return {"header": {"name": name, "string_match": {"exact": value}}}


def _on_status(code: int) -> Tree:
    return {
        "status_code_filter": {
            "comparison": {"op": "EQ", "value": {"default_value": code, "runtime_key": "extauthz.unused"}}
        }
    }


def _with_status(status: int) -> list[Tree]:
    return [{"header": {"key": "grpc-status", "value": str(status)}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]


def _overwriting(*headers: Tree) -> Tree:
    """What sets headers, whatever a caller wrote there."""
    mutations = [{"append": {"header": one, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}} for one in headers]
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": f"{_TYPES}.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": mutations,
        },
    }


# What waits for Python waits where it can't see it; so that it can refuse what has waited for too long.
_ARRIVAL: Final[Tree] = {"key": ARRIVED, "value": "%START_TIME(%s%6f)%"}
# The handshake takes a certificate with one name that fits; that it has no second URI, nothing there can say.
_WHO_CALLS: Final[Tree] = {"key": CALLER, "value": "%DOWNSTREAM_PEER_URI_SAN%;%DOWNSTREAM_PEER_DNS_SAN%"}
# gRPC's UNIMPLEMENTED is what Envoy makes of 404; for others it has no status of HTTP.
_NO_SUCH_METHOD: Final[Tree] = {
    "filter": _on_status(403),
    "status_code": 404,
    "body": {"inline_string": "Method not found!"},
}
_TOO_LATE: Final[Tree] = {"filter": _on_status(408), "headers_to_add": _with_status(4)}  # DEADLINE_EXCEEDED
_TOO_LONG: Final[Tree] = {"filter": _on_status(413), "headers_to_add": _with_status(8)}  # RESOURCE_EXHAUSTED
_NOWHERE: Final[Tree] = {
    "name": "nowhere",  # a route must lead somewhere; none is followed, as pyvoy answers before
    "type": "STATIC",
    "load_assignment": {"cluster_name": "nowhere"},
}
_LOG_LINE: Final[Tree] = {
    "event": "envoy",
    "level": "%l",
    "logger": "envoy.%n",
    "timestamp": "%Y-%m-%dT%T.%FZ",
    "message": "%j",
}


def _overload_manager() -> Tree:
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": f"{_TYPES}.extensions.resource_monitors.downstream_connections.v3"
                    ".DownstreamConnectionsConfig",
                    "max_active_downstream_connections": CONNECTIONS,
                },
            },
            {
                "name": "envoy.resource_monitors.fixed_heap",
                "typed_config": {
                    "@type": f"{_TYPES}.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": HEAP,
                },
            },
        ],
        "actions": [
            {
                "name": "envoy.overload_actions.stop_accepting_requests",
                "triggers": [{"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": 0.95}}],
            },
        ],
    }
