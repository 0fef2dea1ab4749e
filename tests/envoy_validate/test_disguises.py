"""Faults in another spelling that Envoy understands, in another place, or wrapped: found all the same."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.envoy.validate.reading import UnreadableEnvoy
from extauthz.envoy.validate.run import validate

GOOD = yaml.safe_load((Path(__file__).parent / "samples" / "good.yaml").read_text())
TYPE = "type.googleapis.com/envoy."
PER_ROUTE = f"{TYPE}extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
MUTATION = f"{TYPE}extensions.filters.http.header_mutation.v3.HeaderMutation"
STRUCT = "type.googleapis.com/xds.type.v3.TypedStruct"
GUARD = "envoy.filters.http.ext_authz"
OFF = {"@type": PER_ROUTE, "disabled": True}
WRAPPED = {"@type": f"{TYPE}config.route.v3.FilterConfig", "config": OFF}


class Tree:
    """A configuration of which single places are changed."""

    def __init__(self) -> None:
        self.whole: Any = deepcopy(GOOD)
        self.chain = self.whole["static_resources"]["listeners"][0]["filter_chains"][0]
        self.manager = self.chain["filters"][0]["typed_config"]
        self.guard = self.manager["http_filters"][0]["typed_config"]
        self.host = self.manager["route_config"]["virtual_hosts"][0]
        self.route = self.host["routes"][-1]

    def put(self, **settings: Any) -> None:
        """Settings of this route for the filter."""
        self.route["typed_per_filter_config"] = {GUARD: settings}

    def weigh(self, **cluster: Any) -> None:
        """One cluster by weight in the place of the route's own."""
        self.route["route"] = {"weighted_clusters": {"clusters": [{"weight": 1, **cluster}]}}


def text(tree: Tree) -> str:
    """Numbers that stand in quotes here behind `bare` are written as they are."""
    return yaml.safe_dump(tree.whole).replace("bare ", "")


def rules(tree: Tree) -> set[str]:
    return {one.rule for one in validate([("envoy.yaml", text(tree))])}


def list_of_routes(tree: Tree) -> None:
    unasked = {**tree.route, "typed_per_filter_config": {GUARD: OFF}}
    action = {"@type": f"{TYPE}config.route.v3.RouteList", "routes": [*tree.host.pop("routes")[:-1], unasked]}
    tree.host["matcher"] = {"on_no_match": {"action": {"name": "all", "typed_config": action}}}


def scope(tree: Tree) -> None:
    tree.put(**OFF)
    scoped = {"name": "a", "route_configuration": tree.manager.pop("route_config")}
    listed = {"scoped_route_configurations": [scoped]}
    tree.manager["scoped_routes"] = {"name": "scopes", "scoped_route_configurations_list": listed}


def upgrade(tree: Tree) -> None:
    filters = deepcopy(tree.manager["http_filters"])
    filters[0]["typed_config"]["failure_mode_allow"] = True
    tree.manager["upgrade_configs"] = [{"upgrade_type": "websocket", "filters": filters}]


def until_discovered(tree: Tree) -> None:
    first = tree.manager["http_filters"][0]
    default = {**first.pop("typed_config"), "failure_mode_allow": True}
    first["config_discovery"] = {"default_config": default, "type_urls": [default["@type"]]}


def runtime(tree: Tree) -> None:
    tree.guard["filter_enabled"] = {"default_value": {"numerator": 100}, "runtime_key": "a"}
    tree.guard["deny_at_disable"] = {"default_value": True, "runtime_key": "b"}
    static = {"name": "static", "static_layer": {"a": 0, "b": False}}
    tree.whole["layered_runtime"] = {"layers": [static]}


def octal(tree: Tree) -> None:
    tree.guard["filter_enabled"] = {"default_value": {"numerator": "bare 0100"}}


def hexadecimal(tree: Tree) -> None:
    tree.manager["local_reply_config"] = {"mappers": [{"status_code": "bare 0xC8"}]}


def secret(tree: Tree) -> None:
    common = tree.chain["transport_socket"]["typed_config"]["common_tls_context"]
    context = {**common.pop("validation_context"), "trust_chain_verification": "ACCEPT_UNTRUSTED"}
    common["validation_context_sds_secret_config"] = {"name": "clients"}
    tree.whole["static_resources"]["secrets"] = [{"name": "clients", "validation_context": context}]


def tapped(tree: Tree) -> None:
    inner = tree.chain["transport_socket"]
    inner["typed_config"]["common_tls_context"]["validation_context"]["trust_chain_verification"] = "ACCEPT_UNTRUSTED"
    tap = {"@type": f"{TYPE}extensions.transport_sockets.tap.v3.Tap", "transport_socket": inner}
    tree.chain["transport_socket"] = {"name": "envoy.transport_sockets.tap", "typed_config": tap}


def mutation_on_a_route(tree: Tree) -> None:
    tree.manager["http_filters"].insert(1, {"name": "m", "typed_config": {"@type": MUTATION}})
    changes = {"request_mutations": [{"append": {"header": {"key": "x-authz-subject", "value": "%REQ(x-other)%"}}}]}
    tree.route["typed_per_filter_config"] = {"m": {"@type": f"{MUTATION}PerRoute", "mutations": changes}}


def early(tree: Tree) -> None:
    change = {"append": {"header": {"key": "X-Forwarded-Client-Cert", "value": "%REQ(x-other)%"}}}
    mutation = {"@type": f"{TYPE}http.early_header_mutation.header_mutation.v3.HeaderMutation", "mutations": [change]}
    tree.manager["early_header_mutation_extensions"] = [{"name": "early", "typed_config": mutation}]


def udp(tree: Tree) -> None:
    proxy = {"@type": f"{TYPE}extensions.filters.udp.udp_proxy.v3.UdpProxyConfig", "cluster": "service"}
    filters = [{"name": "udp", "typed_config": proxy}]
    tree.whole["static_resources"]["listeners"].append({"name": "udp", "listener_filters": filters})


def checks_by_tcp(tree: Tree) -> None:
    proxy = {"@type": f"{TYPE}extensions.filters.network.tcp_proxy.v3.TcpProxy", "cluster": "extauthz"}
    chain = {"filters": [{"name": "tcp", "typed_config": proxy}]}
    tree.whole["static_resources"]["listeners"].append({"name": "tcp", "filter_chains": [chain]})


def checks_by_mirror(tree: Tree) -> None:
    tree.manager["route_config"]["request_mirror_policies"] = [{"cluster": "extauthz"}]


def checks_by_another_name(tree: Tree) -> None:
    clusters = tree.whole["static_resources"]["clusters"]
    clusters.append({**next(one for one in clusters if one["name"] == "extauthz"), "name": "other"})
    tree.route["route"] = {"cluster": "other"}


def host_by_header(tree: Tree) -> None:
    kind = f"{TYPE}extensions.filters.http.dynamic_forward_proxy.v3."
    tree.manager["http_filters"].insert(1, {"name": "f", "typed_config": {"@type": f"{kind}FilterConfig"}})
    tree.route["typed_per_filter_config"] = {"f": {"@type": f"{kind}PerRouteConfig", "host_rewrite_header": "x-host"}}


def cluster_by_name_of_server(tree: Tree) -> None:
    kind = f"{TYPE}extensions.filters.network."
    filters = [
        {"name": "sni", "typed_config": {"@type": f"{kind}sni_cluster.v3.SniCluster"}},
        {"name": "tcp", "typed_config": {"@type": f"{kind}tcp_proxy.v3.TcpProxy", "cluster": "other"}},
    ]
    tree.whole["static_resources"]["listeners"].append({"name": "tcp", "filter_chains": [{"filters": filters}]})


def metadata_of_the_usual_name(tree: Tree) -> None:
    kind = f"{TYPE}extensions.filters.http.header_to_metadata.v3.Config"
    rule = {"header": "x-subject", "on_header_present": {"key": "sub"}}
    entry = {"name": "h", "typed_config": {"@type": kind, "request_rules": [rule]}}
    tree.manager["http_filters"].insert(0, entry)
    tree.guard["metadata_context_namespaces"] = ["envoy.filters.http.header_to_metadata"]


def address_by_state(tree: Tree) -> None:
    kind = f"{TYPE}extensions.filters.http.set_filter_state.v3.Config"
    said = {"text_format_source": {"inline_string": "%REQ(x-place)%"}}
    entry = {"object_key": "envoy.network.transport_socket.original_dst_address", "format_string": said}
    filters = tree.manager["http_filters"]
    filters.insert(0, {"name": "s", "typed_config": {"@type": kind, "on_request_headers": [entry]}})


def query_changed_behind(tree: Tree) -> None:
    change = {"append": {"record": {"key": "account", "value": "%REQ(x-account)%"}}}
    typed = {"@type": MUTATION, "mutations": {"query_parameter_mutations": [change]}}
    tree.manager["http_filters"].insert(1, {"name": "m", "typed_config": typed})


def scopes_by_header(tree: Tree) -> None:
    scope(tree)
    extractor = {"name": "x-site", "element_separator": ";", "element": {"key": "a", "separator": "="}}
    tree.manager["scoped_routes"]["scope_key_builder"] = {"fragments": [{"header_value_extractor": extractor}]}


def short_streams(tree: Tree) -> None:
    tree.guard["grpc_service"]["timeout"] = "40s"
    tree.manager["common_http_protocol_options"]["max_stream_duration"] = "30s"


def files_in_front(tree: Tree) -> None:
    kind = f"{TYPE}extensions.filters.http.file_server.v3.FileServerConfig"
    tree.manager["http_filters"].insert(0, {"name": "f", "typed_config": {"@type": kind}})


def files_of_another_listener(tree: Tree) -> None:
    listener = deepcopy(tree.whole["static_resources"]["listeners"][0])
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    kind = f"{TYPE}extensions.filters.http.file_server.v3.FileServerConfig"
    manager["http_filters"][0] = {"name": "f", "typed_config": {"@type": kind}}
    manager["route_config"]["virtual_hosts"][0]["routes"] = [{"match": {"prefix": "/"}, "direct_response": {}}]
    tree.whole["static_resources"]["listeners"].append({**listener, "name": "files"})


def tag_of_a_span(tree: Tree) -> None:
    tag = {"tag": "who", "request_header": {"name": "Authorization"}}
    tree.manager["tracing"] = {"custom_tags": [tag]}


def claims_of_the_connection(tree: Tree) -> None:
    kind = f"{TYPE}extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
    rule = {"tlv_type": 224, "on_tlv_present": {"metadata_namespace": "envoy.filters.http.jwt_authn", "key": "sub"}}
    entry = {"name": "p", "typed_config": {"@type": kind, "rules": [rule]}}
    tree.whole["static_resources"]["listeners"][0]["listener_filters"] = [entry]
    tree.guard["metadata_context_namespaces"] = ["envoy.filters.http.jwt_authn"]


def mirror_of_the_pages(tree: Tree) -> None:
    tree.host["routes"][0]["route"]["request_mirror_policies"] = [{"cluster": "second"}]


def trailers_to_the_service(tree: Tree) -> None:
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    explicit = {"explicit_http_config": {"http_protocol_options": {"enable_trailers": True}}}
    service = tree.whole["static_resources"]["clusters"][0]
    service["typed_extension_protocol_options"] = {options: {"@type": f"type.googleapis.com/{options}", **explicit}}


def short_streams_of_a_route(tree: Tree) -> None:
    tree.guard["grpc_service"]["timeout"] = "4s"
    tree.route["route"]["idle_timeout"] = "3s"


def filter_of_the_router(tree: Tree) -> None:
    lua = {"@type": f"{TYPE}extensions.filters.http.lua.v3.Lua"}
    tree.manager["http_filters"][-1]["typed_config"]["upstream_http_filters"] = [{"name": "l", "typed_config": lua}]


def chain_of_filters(tree: Tree) -> None:
    kind = f"{TYPE}extensions.filters.http.filter_chain.v3.FilterChainConfig"
    inner = {"filters": [tree.manager["http_filters"][0]]}
    tree.manager["http_filters"][0] = {"name": "c", "typed_config": {"@type": kind, "default_filter_chain": inner}}


def unsoftened(name: str, value: Any) -> Callable[[Tree], None]:
    """TLS with extauthz, whose settings are softened by this, for endpoints that match."""

    def change(tree: Tree) -> None:
        context = {"trusted_ca": {"filename": "ca.pem"}, name: value}
        tls = f"{TYPE}extensions.transport_sockets.tls.v3.UpstreamTlsContext"
        typed = {
            "@type": tls,
            "common_tls_context": {"combined_validation_context": {"default_validation_context": context}},
        }
        asked = next(one for one in tree.whole["static_resources"]["clusters"] if one["name"] == "extauthz")
        asked["transport_socket_matches"] = [
            {"name": "all", "transport_socket": {"name": "tls", "typed_config": typed}}
        ]

    return change


def internal(**network: Any) -> Callable[[Tree], None]:
    """This network counts as internal."""
    return lambda tree: tree.manager.update(internal_address_config={"cidr_ranges": [network]})


def plain_listener(tree: Tree) -> None:
    tree.chain["transport_socket"] = {"name": "envoy.transport_sockets.raw_buffer"}


def answer_of_another(tree: Tree) -> None:
    policy = {"@type": f"{TYPE}extensions.http.custom_response.redirect_policy.v3.RedirectPolicy", "uri": "https://a/b"}
    page = {"on_no_match": {"action": {"name": "page", "typed_config": policy}}}
    kind = f"{TYPE}extensions.filters.http.custom_response.v3.CustomResponse"
    tree.manager["http_filters"].insert(0, {"name": "r", "typed_config": {"@type": kind}})
    tree.route["typed_per_filter_config"] = {"r": {"@type": kind, "custom_response_matcher": page}}


@pytest.mark.parametrize(
    ("found", "change"),
    [
        ("route-unchecked", lambda tree: tree.put(**WRAPPED)),
        ("route-unchecked", lambda tree: tree.put(**{"@type": STRUCT, "type_url": PER_ROUTE, "value": OFF})),
        ("route-unchecked", lambda tree: tree.weigh(name="service", typed_per_filter_config={GUARD: WRAPPED})),
        ("route-unchecked", list_of_routes),
        ("route-unchecked", scope),
        ("route-by-header", lambda tree: tree.weigh(cluster_header="x-cluster")),
        ("route-by-header", lambda tree: tree.route["route"].update(request_mirror_policies=[{"cluster_header": "x"}])),
        ("route-repeats", lambda tree: tree.host.update(hedge_policy={"hedge_on_per_try_timeout": True})),
        ("failure-mode-allow", upgrade),
        ("failure-mode-allow", until_discovered),
        ("filter-enabled-runtime", runtime),
        ("filter-enabled-fraction", octal),
        ("denial-turned-success", hexadecimal),
        ("xfcc-forwarded", lambda tree: tree.manager.update(forward_client_cert_details="always_forward_only")),
        ("xfcc-forwarded", lambda tree: tree.manager.update(forward_client_cert_details="4")),
        ("status-on-error-success", lambda tree: tree.guard.update(status_on_error={"code": "ok"})),
        ("accept-untrusted", secret),
        ("accept-untrusted", tapped),
        ("headers-changed-after", mutation_on_a_route),
        ("headers-changed-after", lambda tree: tree.route.update(request_headers_to_remove=["x-authz-subject"])),
        ("headers-changed-after", lambda tree: tree.host.update(request_headers_to_add=[{"header": {"key": "x"}}])),
        ("identity-from-client", early),
        ("protocol-unasked", udp),
        ("checks-exposed", checks_by_tcp),
        ("checks-exposed", checks_by_mirror),
        ("checks-exposed", checks_by_another_name),
        ("route-by-header", lambda tree: tree.host.update(request_mirror_policies=[{"cluster_header": "x"}])),
        ("upstream-by-client", host_by_header),
        ("upstream-by-client", cluster_by_name_of_server),
        ("identity-from-client", metadata_of_the_usual_name),
        ("opaque-after", filter_of_the_router),
        ("filter-conditional", chain_of_filters),
        ("cluster-unverified", unsoftened("trust_chain_verification", "ACCEPT_UNTRUSTED")),
        ("cluster-unverified", unsoftened("allow_expired_certificate", True)),
        ("cluster-any-name", unsoftened("max_verify_depth", 3)),
        ("callers-internal", internal(address_prefix="::")),
        ("callers-internal", internal(address_prefix="8.0.0.0", prefix_len=7)),
        ("listener-plaintext", plain_listener),
        ("identity-from-client", claims_of_the_connection),
        ("route-mirrors", mirror_of_the_pages),
        ("trailers-passed", trailers_to_the_service),
        ("opaque-before", files_in_front),
        ("listener-unguarded", files_of_another_listener),
        ("credentials-logged", tag_of_a_span),
        ("route-repeats", lambda tree: tree.host.update(retry_policy={"retry_on": "connect-failure,unavailable"})),
        ("proxy-protocol", lambda tree: tree.chain.update(use_proxy_proto=True)),
        ("upstream-by-client", address_by_state),
        ("headers-changed-after", query_changed_behind),
        ("host-by-header", scopes_by_header),
        ("stream-ends-first", short_streams),
        ("stream-ends-first", short_streams_of_a_route),
        ("denial-turned-success", answer_of_another),
    ],
)
def test_a_fault_is_found_in_every_shape_that_envoy_takes(found: str, change: Callable[[Tree], None]) -> None:
    tree = Tree()
    change(tree)
    assert found in rules(tree)


def test_a_route_may_let_its_streams_be_longer() -> None:
    tree = Tree()
    tree.guard["grpc_service"]["timeout"] = "4s"
    tree.manager["stream_idle_timeout"] = "3s"
    assert rules(tree) == {"stream-ends-first"}
    tree.route["route"]["idle_timeout"] = "5s"
    assert rules(tree) == set()


@pytest.mark.parametrize("network", ["127.0.0.1/32", "10.0.0.0/8", "100.64.0.0/10", "fd00::/8", "::1/128"])
def test_networks_of_ones_own_may_count_as_internal(network: str) -> None:
    tree = Tree()
    prefix, _, length = network.rpartition("/")
    internal(address_prefix=prefix, prefix_len=int(length))(tree)
    assert rules(tree) == set()


def test_a_field_in_both_spellings_is_refused_of_which_envoy_takes_the_last() -> None:
    tree = Tree()
    tree.guard.update(failure_mode_allow=False, failureModeAllow=True)
    with pytest.raises(UnreadableEnvoy, match=r":[0-9]+: `failureModeAllow` and `failure_mode_allow` are one field"):
        rules(tree)


def test_a_bootstrap_beside_the_dump_of_another_envoy_is_judged() -> None:
    tree = Tree()
    listener = {"listener": deepcopy(tree.whole["static_resources"]["listeners"][0])}
    part = {"@type": f"{TYPE}admin.v3.ListenersConfigDump", "static_listeners": [listener]}
    tree.guard["failure_mode_allow"] = True
    found = validate([("dump.json", json.dumps({"configs": [part]})), ("envoy.yaml", text(tree))])
    assert ("envoy.yaml", "failure-mode-allow") in {(one.file, one.rule) for one in found}
