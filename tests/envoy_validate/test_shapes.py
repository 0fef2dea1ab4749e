"""The same configuration in each shape that people have it in: whatever it comes in, the fault is found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.envoy.validate.configured_rules import Configured
from extauthz.envoy.validate.reading import UnreadableEnvoy
from extauthz.envoy.validate.run import validate

HERE = Path(__file__).parent
TYPE = "type.googleapis.com/envoy."


def tree(name: str) -> Any:
    return yaml.safe_load((HERE / "samples" / f"{name}.yaml").read_text())


def rules(*texts: str, listeners: tuple[str, ...] = ()) -> list[str]:
    named = [(f"{number}.yaml", text) for number, text in enumerate(texts)]
    return [one.rule for one in validate(named, listeners=listeners)]


def camel(value: Any) -> Any:
    """As protobuf writes JSON; names that are no fields stay."""
    if isinstance(value, list):
        return [camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name if "." in name or name.startswith("@") else name[:1] + name.title().replace("_", "")[1:]: camel(inner)
        for name, inner in value.items()
    }


def dump(tree: Any) -> Any:
    """What the admin interface gives, where all of it came over the network."""
    static = tree["static_resources"]
    admin = f"{TYPE}admin.v3."
    listeners = [{"name": one["name"], "active_state": {"listener": one}} for one in static["listeners"]]
    return {
        "configs": [
            {"@type": f"{admin}BootstrapConfigDump", "bootstrap": {"dynamic_resources": {"ads_config": {}}, **tree}},
            {"@type": f"{admin}ListenersConfigDump", "dynamic_listeners": listeners},
            {
                "@type": f"{admin}ClustersConfigDump",
                "dynamic_active_clusters": [{"cluster": one} for one in static["clusters"]],
            },
            {"@type": f"{admin}SecretsConfigDump"},
        ]
    }


def discovered(tree: Any) -> Any:
    static = tree["static_resources"]
    kinds = {"listeners": "config.listener.v3.Listener", "clusters": "config.cluster.v3.Cluster"}
    return {
        "resources": [{"@type": TYPE + kinds[kind], **one} for kind in kinds for one in static[kind]],
    }


def listed(tree: Any) -> Any:
    return [*tree["static_resources"]["listeners"], *tree["static_resources"]["clusters"]]


SHAPES: dict[str, Callable[[Any], str]] = {
    "json": json.dumps,
    "indented": lambda tree: json.dumps(tree, indent=1),
    "tabs": lambda tree: json.dumps(tree, indent="\t"),
    "camel": lambda tree: json.dumps(camel(tree)),
    "dump": lambda tree: json.dumps(dump(tree)),
    "discovered": lambda tree: json.dumps(discovered(tree)),
    "list": lambda tree: yaml.safe_dump(listed(tree)),
    "documents": lambda tree: yaml.safe_dump_all(listed(tree)),
    "byte-order-mark": lambda tree: "\ufeff" + yaml.safe_dump(tree),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "sample", ["failure-mode-allow", "route-unchecked", "xfcc-forwarded", "cluster-http1", "accept-untrusted"]
)
def test_a_fault_is_found_in_every_shape(sample: str, shape: str) -> None:
    assert rules(SHAPES[shape](tree("good"))) == []
    assert rules(SHAPES[shape](tree(sample))) == [sample]


def test_files_are_judged_together() -> None:
    good = tree("good")["static_resources"]
    manager = good["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    table = manager.pop("route_config")
    manager["rds"] = {"route_config_name": "https", "config_source": {"ads": {}}}
    listener, clusters = yaml.safe_dump(good["listeners"]), yaml.safe_dump(good["clusters"])
    assert rules(listener, clusters) == ["routes-unseen"]
    assert rules(listener, clusters, yaml.safe_dump(table)) == []
    table["virtual_hosts"][0]["routes"][1]["typed_per_filter_config"] = table["virtual_hosts"][0]["routes"][0][
        "typed_per_filter_config"
    ]
    assert rules(listener, clusters, yaml.safe_dump(table)) == ["route-unchecked"]


def test_routes_alone_are_judged_as_those_of_the_usual_filter() -> None:
    manager = tree("route-unchecked")["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    assert rules(yaml.safe_dump(manager["typed_config"]["route_config"])) == ["route-unchecked"]


def test_clusters_alone_are_judged_by_their_names() -> None:
    assert rules(yaml.safe_dump(tree("cluster-plaintext")["static_resources"]["clusters"])) == ["cluster-plaintext"]


def test_a_filter_that_is_discovered_is_judged_where_a_dump_has_it() -> None:
    good, unseen = tree("failure-mode-allow"), tree("filter-unseen")
    manager = good["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    extension = {"@type": f"{TYPE}config.core.v3.TypedExtensionConfig", **manager["http_filters"][0]}
    part = {"@type": f"{TYPE}admin.v3.EcdsConfigDump", "ecds_filters": [{"ecds_filter": extension}]}
    assert rules(yaml.safe_dump(unseen), json.dumps({"configs": [part]})) == ["failure-mode-allow"]


def test_a_filter_in_a_typed_struct_is_one() -> None:
    good = tree("failure-mode-allow")
    guard = good["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][
        0
    ]
    config = guard["typed_config"]
    guard["name"] = "guard"
    guard["typed_config"] = {
        "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
        "type_url": config.pop("@type"),
        "value": config,
    }
    found = rules(yaml.safe_dump(good))
    assert "failure-mode-allow" in found
    assert "nothing-asks" not in found


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7"])
def test_endpoints_that_are_discovered_are_judged_where_a_dump_has_them(address: str) -> None:
    unseen = yaml.safe_load((HERE / "samples" / "cluster-plaintext-by-discovery.yaml").read_text())
    place = {"socket_address": {"address": address, "port_value": 9191}}
    assigned = {"cluster_name": "extauthz", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": place}}]}]}
    part = {
        "@type": f"{TYPE}admin.v3.EndpointsConfigDump",
        "dynamic_endpoint_configs": [{"endpoint_config": assigned}],
    }
    found = [] if address == "127.0.0.1" else ["cluster-plaintext"]
    assert rules(yaml.safe_dump(unseen), json.dumps({"configs": [part]})) == found
    assert rules(yaml.safe_dump(unseen), json.dumps(assigned)) == found


def test_a_secret_that_came_over_the_network_is_judged_where_a_dump_has_it() -> None:
    named = tree("good")
    socket = named["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"]
    common = socket["typed_config"]["common_tls_context"]
    context = common.pop("validation_context")
    common["validation_context_sds_secret_config"] = {"name": "clients", "sds_config": {"ads": {}}}
    assert rules(yaml.safe_dump(named)) == []
    secret = {"name": "clients", "validation_context": {**context, "allow_expired_certificate": True}}
    part = {"@type": f"{TYPE}admin.v3.SecretsConfigDump", "dynamic_active_secrets": [{"secret": secret}]}
    assert rules(yaml.safe_dump(named), json.dumps({"configs": [part]})) == ["accept-expired"]


def test_the_default_chain_of_a_listener_is_judged() -> None:
    good = tree("failure-mode-allow")
    listener = good["static_resources"]["listeners"][0]
    listener["default_filter_chain"] = listener.pop("filter_chains")[0]
    assert rules(yaml.safe_dump(good)) == ["failure-mode-allow"]


def test_listeners_that_nobody_named_are_not_judged() -> None:
    text = yaml.safe_dump(tree("listener-bypass"))
    assert rules(text) == ["listener-bypass"]
    assert rules(text, listeners=("https",)) == []
    with pytest.raises(UnreadableEnvoy, match="has no listener `http`"):
        rules(text, listeners=("http",))


def test_a_route_inside_of_a_matcher_is_a_route() -> None:
    good = tree("good")
    manager = good["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    host = manager["route_config"]["virtual_hosts"][0]
    pages = host["routes"][0]["typed_per_filter_config"]
    action = {"@type": f"{TYPE}config.route.v3.Route", "match": {"prefix": "/open"}, "route": {"cluster": "service"}}
    inner = {"action": {"name": "route", "typed_config": {**action, "typed_per_filter_config": pages}}}
    host["matcher"] = {"matcher_tree": {"prefix_match_map": {"map": {"/open": inner}}}}
    assert rules(yaml.safe_dump(good)) == ["route-unchecked"]


def test_a_value_that_a_dump_leaves_out_is_not_guessed() -> None:
    text = (HERE / "configured" / "body-unbuffered-on-a-route.yaml").read_text()
    buffering = Configured(buffered=True)
    assert [one.rule for one in validate([("envoy.yaml", text)], buffering)] == ["configured-body"]
    said = "disable_request_body_buffering: true, context_extensions: {extauthz.buffered: '[redacted]'}"
    text = text.replace("disable_request_body_buffering: true", said)
    assert validate([("envoy.yaml", text)], buffering) == ()


def test_a_listener_of_http_3_is_judged() -> None:
    quic = tree("accept-untrusted")
    socket = quic["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"]
    wrapped = {
        "@type": f"{TYPE}extensions.transport_sockets.quic.v3.QuicDownstreamTransport",
        "enable_early_data": False,
    }
    socket["typed_config"] = {**wrapped, "downstream_tls_context": socket["typed_config"]}
    assert rules(yaml.safe_dump(quic)) == ["accept-untrusted"]


def test_a_log_that_sends_all_metadata_tells_the_decision() -> None:
    silent = tree("access-log-silent")
    manager = silent["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    log = {"@type": f"{TYPE}extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig"}
    manager["access_log"] = [{"name": "envoy.access_loggers.http_grpc", "typed_config": log}]
    assert rules(yaml.safe_dump(silent)) == []


def test_hosts_that_lead_to_extauthz_alone_need_no_pages() -> None:
    good = tree("good")
    manager = good["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    route = {"match": {"prefix": "/"}, "route": {"cluster": "extauthz_approvals"}}
    host = {"name": "approvals", "domains": ["approvals.example.com"], "routes": [route]}
    manager["route_config"]["virtual_hosts"].append(host)
    assert rules(yaml.safe_dump(good)) == []
    route["route"]["cluster"] = "other"
    assert rules(yaml.safe_dump(good)) == ["pages-missing"]
