"""Envoys of the benchmarks: one that answers by itself, the limit of what can be measured, and one that asks first.

The second has a listener for each authorizer and one without ext_authz; behind all of them Envoy answers by itself, so
that no service adds its noise. Its filter is set as the shipped configurations set it; only the caller's own XFCC is
let through, because there is no TLS here to make one from.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from bench.harness import traffic
from bench.harness.h2load import Ask
from bench.harness.servers import Server, Yard, free_address
from bench.noop import CHECK, framed
from extauthz.cli.quickstart.envoy import envoy_command, find_envoy
from extauthz.cli.quickstart.local_http import answers

PLAIN: Final = "no ext_authz"
_FILES = Path(__file__).parents[2] / "envoy"
_TYPE = "type.googleapis.com/envoy.extensions"
_Tree = dict[str, Any]


def start_direct(yard: Yard) -> Ask:
    """An Envoy that answers 200 to every call by itself: what h2load can measure at most.

    Raises:
        ConfigurationError: no Envoy is installed.
        ProcessFailed: it does not start.
    """
    address = free_address()
    _start(yard, "envoy direct_response", [_listener("direct", address, [])], [])
    body = framed(traffic.request())
    return Ask(url=f"http://{address}{CHECK}", headers={}, body=body)


def start_front(yard: Yard, servers: Sequence[Server]) -> dict[str, Ask]:
    """An Envoy before all of them; what to send for each, and for `PLAIN`.

    Raises:
        ConfigurationError: no Envoy is installed.
        ProcessFailed: it does not start.
    """
    addresses = {PLAIN: free_address(), **{server.name: free_address() for server in servers}}
    listeners = [_listener(PLAIN, addresses[PLAIN], [])]
    listeners += [_listener(one.name, addresses[one.name], [_ext_authz(_authority(one.name))]) for one in servers]
    _start(yard, "envoy front", listeners, [_cluster(_authority(one.name), one.address) for one in servers])
    return {
        name: Ask(
            url=f"http://{address}{traffic.PATH}",
            headers={":authority": traffic.HOST, **traffic.HEADERS},
        )
        for name, address in addresses.items()
    }


def start_shipped(yard: Yard, workers: Sequence[str], *, errors: Path) -> Ask:
    """An Envoy with the filter of envoy/gateway.yaml, but for its timeout, and the cluster of envoy/workers.yaml, for
    workers at these addresses; what to send. A line is written to `errors` for each request that is not let through.

    Raises:
        ConfigurationError: no Envoy is installed.
        ProcessFailed: it does not start.
    """
    address = free_address()
    (gateway,) = _shipped("gateway.yaml")["listeners"][0]["filter_chains"][0]["filters"]
    ext_authz = _named("envoy.filters.http.ext_authz", gateway["typed_config"]["http_filters"])
    ext_authz["typed_config"]["grpc_service"]["timeout"] = f"{traffic.CALLERS_TIMEOUT:g}s"
    cluster = _named("extauthz", _shipped("workers.yaml")["clusters"])
    endpoints = [{"endpoint": {"address": _address(worker)}} for worker in workers]
    cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": endpoints}]
    listener = _listener("shipped", address, [ext_authz])
    listener["filter_chains"][0]["filters"][0]["typed_config"]["access_log"] = [_log_of_errors(errors)]
    _start(yard, "envoy shipped", [listener], [cluster])
    return Ask(url=f"http://{address}{traffic.PATH}", headers={":authority": traffic.HOST, **traffic.HEADERS})


def _log_of_errors(path: Path) -> _Tree:
    reason = "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:extauthz:reason)%"
    line = f"%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% {reason}\n"
    code = {"op": "GE", "value": {"default_value": 300, "runtime_key": "bench.unused"}}
    to_file = {"path": str(path), "log_format": {"text_format_source": {"inline_string": line}}}
    log = _filter("envoy.access_loggers.file", f"{_TYPE}.access_loggers.file.v3.FileAccessLog", to_file)
    return {**log, "filter": {"status_code_filter": {"comparison": code}}}


def _shipped(name: str) -> _Tree:
    tree: _Tree = yaml.safe_load((_FILES / name).read_text())["static_resources"]
    return tree


def _named(name: str, among: Sequence[_Tree]) -> _Tree:
    return next(one for one in among if one["name"] == name)


def _authority(name: str) -> str:
    """The cluster's name, which Envoy sends as `:authority`: no spaces there."""
    return name.replace(" ", "-")


def _start(yard: Yard, name: str, listeners: list[_Tree], clusters: list[_Tree]) -> None:
    # The path of a socket has at most 107 bytes.
    admin = yard.folder / f"{len(yard.processes.children)}.sock"
    bootstrap = yard.folder / f"{name.replace(' ', '-')}.json"
    tree = {
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    }
    bootstrap.write_text(json.dumps(tree))
    yard.start(name, envoy_command(find_envoy(), Path(bootstrap)), lambda: admin.exists() and answers(admin, "/ready"))


def _listener(name: str, address: str, filters: list[_Tree]) -> _Tree:
    router = _filter("envoy.filters.http.router", f"{_TYPE}.filters.http.router.v3.Router", {})
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    connections = {
        "stat_prefix": name,
        "codec_type": "HTTP2",
        "forward_client_cert_details": "ALWAYS_FORWARD_ONLY",
        "use_remote_address": True,
        "normalize_path": True,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [*filters, router],
    }
    manager = f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager"
    chain = {"filters": [_filter("envoy.filters.network.http_connection_manager", manager, connections)]}
    return {"name": name, "address": _address(address), "filter_chains": [chain]}


def _ext_authz(cluster: str) -> _Tree:
    settings = {
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": cluster}, "timeout": f"{traffic.CALLERS_TIMEOUT:g}s"},
        "failure_mode_allow": False,
        "encode_raw_headers": True,
        "include_tls_session": True,
        "include_peer_certificate": True,
        "validate_mutations": False,
        "status_on_error": {"code": "ServiceUnavailable"},
    }
    return _filter("envoy.filters.http.ext_authz", f"{_TYPE}.filters.http.ext_authz.v3.ExtAuthz", settings)


def _cluster(name: str, address: str) -> _Tree:
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            options: {
                "@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(address)}}]}],
        },
    }


def _address(address: str) -> _Tree:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _filter(name: str, type_url: str, settings: Mapping[str, Any]) -> _Tree:
    return {"name": name, "typed_config": {"@type": type_url, **settings}}
