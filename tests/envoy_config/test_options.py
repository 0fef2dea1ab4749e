"""Every kind with its options: Envoy takes it without a warning, and it says what was asked for."""

import re
from pathlib import Path
from typing import Any

import pytest
from e2e.bootstrap import EXT_AUTHZ, connection_manager, ext_authz, routes
from envoy_config.writing import cluster, endpoints, names, spelled, tree, validated, written

TLS_TO_EXTAUTHZ = (
    *("--extauthz-ca", "/etc/envoy/tls/ca.pem", "--extauthz-name", "spiffe://prod.example.org/ns/x/sa/extauthz"),
    *("--extauthz-name", "extauthz.example.org"),
    *("--client-certificate", "/etc/envoy/tls/server.pem", "--client-key", "/etc/envoy/tls/server.key"),
)
MATRIX = {
    "gateway": ["gateway"],
    "gateway, of its own": [
        *("gateway", "--service", "orders:8080", "--service-grpc", "orders:9090", "--hold-path", "/a"),
        *("--hold-path", "/b", "--hold", "5m", "--tracing", "10.0.0.1:4317", "--sampling", "12.5", "--name", "edge"),
        *("--host", "shop.example.com", "--host", "*.shop.example.com", "--context", "tenant=t1", "--unchecked", "/up"),
        *("--body", "100000", "--timeout", "12s", "--trusted-hops", "2"),
    ],
    "gateway, least": [
        *("gateway", "--certificate", "none", "--admin", "none", "--body", "0", "--access-log", "none"),
        *("--service", "unix:/run/app.sock", "--extauthz", "unix:/run/x/grpc.sock", "--pages", "unix:/run/x/web.sock"),
    ],
    "gateway, workers by TLS": ["gateway", "--extauthz", "authz", "--workers", "3", *TLS_TO_EXTAUTHZ],
    "gateway, IPv6 and TCP": [
        *("gateway", "--listen", "[::]:8443", "--service", "[::1]:80", "--extauthz", "[::1]:9191"),
        *("--listen-tcp", "[::]:5432", "--service-tcp", "[::1]:5432", "--admin", "127.0.0.1:9901"),
        *("--access-log", "/dev/null"),
    ],
    "sidecar": ["sidecar"],
    "sidecar, of its own": [
        *("sidecar", "--service", "127.0.0.1:8080", "--trust-domain", "a.example", "--trust-domain", "b.example"),
        *("--hold-path", "/held", "--trusted-hops", "2", *TLS_TO_EXTAUTHZ),
    ],
    "sidecar, workers at sockets": ["sidecar", "--workers", "2", "--listen-tcp", "none", "--tracing", "none"],
    "workers": ["workers"],
    "workers at names, by TLS": ["workers", "--extauthz", "a:1", "--extauthz", "b:1", *TLS_TO_EXTAUTHZ],
    "approvals": ["approvals"],
    "approvals, of its own": [
        *("approvals", "--pages", "10.0.0.1:9194", "--pages", "10.0.0.2:9194", "--listen", "127.0.0.1:8443"),
        *("--certificate", "none", "--admin", "none"),
    ],
}


@pytest.mark.parametrize("arguments", MATRIX.values(), ids=MATRIX)
def test_envoy_takes_it_without_a_warning(
    arguments: list[str], envoy_binary: Path, certificates: Path, tmp_path: Path
) -> None:
    text = written(*arguments)
    assert validated(envoy_binary, text, certificates=certificates, folder=tmp_path) == ""


@pytest.mark.parametrize("arguments", MATRIX.values(), ids=MATRIX)
def test_every_filter_refuses_without_an_answer_and_gives_no_try_up_before_the_call(arguments: list[str]) -> None:
    parts = _parts(tree(*arguments))
    found = [part for part in parts if str(part.get("@type", "")).endswith("ext_authz.v3.ExtAuthz")]
    calls = [part["grpc_service"] for part in parts if "grpc_service" in part]
    assert all(one["failure_mode_allow"] is False for one in found)
    assert bool(found) == (arguments[0] in ("gateway", "sidecar"))
    for call in calls:
        if "retry_policy" in call:
            tries = call["retry_policy"].get("retry_back_off", {}).get("max_interval", "10s")
            assert float(tries.removesuffix("s")) >= float(call["timeout"].removesuffix("s"))


OWN = ("--listen", "127.0.0.1:8443", "--admin", "none", "--certificate", "none", "--pages", "10.0.0.1:9192")
NAMED = {
    "gateway": ["gateway", *OWN, "--service", "a:1", "--extauthz", "b:1"],
    "sidecar": ["sidecar", *OWN, "--service", "a:1", "--extauthz", "b:1"],
    "approvals": ["approvals", *OWN],
}
"""Where nothing is left of our examples."""


@pytest.mark.parametrize(
    "arguments", [*MATRIX.values(), *NAMED.values()], ids=[*MATRIX, *(f"{one}, named" for one in NAMED)]
)
def test_a_reader_is_told_to_change_what_is_marked_where_something_is(arguments: list[str]) -> None:
    head, _, rest = written(*arguments).partition("\n\n")
    if arguments[0] != "workers":  # to be put into another file
        assert ('"Yours"' in head) == ("Yours: " in rest)
    if arguments in NAMED.values():
        assert "Yours" not in head + rest


def test_who_names_a_service_gets_only_the_parts_that_they_name() -> None:
    assert names(tree("gateway", "--service", "a:1"), "clusters") == ["service", "extauthz", "extauthz_web"]
    assert names(tree("sidecar", "--service", "a:1"), "listeners") == ["inbound"]
    named = tree("sidecar", "--service", "a:1", "--listen-tcp", "0.0.0.0:2", "--service-tcp", "127.0.0.1:3")
    assert names(named, "listeners") == ["inbound", "inbound_tcp"]
    assert endpoints(named, "service_tcp") == ["127.0.0.1:3"]


def test_a_part_of_the_example_can_be_left_out() -> None:
    parts = ("--service-grpc", "none", "--hold-path", "none", "--tracing", "none", "--admin", "none")
    made = tree("gateway", *parts)
    assert names(made, "clusters") == ["service", "extauthz", "extauthz_web"]
    assert "admin" not in made
    assert "tracing" not in connection_manager(made)


def test_a_host_alone_takes_the_usual_ports_for_checks_and_pages() -> None:
    made = tree("gateway", "--extauthz", "authz")
    assert endpoints(made, "extauthz") == endpoints(made, "extauthz_holding") == ["authz:9191"]
    assert endpoints(made, "extauthz_web") == ["authz:9192"]


def test_several_hosts_are_called_for_checks_and_for_pages() -> None:
    made = tree("gateway", "--extauthz", "a", "--extauthz", "b:9999")
    assert endpoints(made, "extauthz") == ["a:9191", "b:9999"]
    assert endpoints(made, "extauthz_web") == ["a:9192", "b:9192"]


def test_workers_listen_at_the_next_ports_and_numbered_sockets() -> None:
    made = tree("gateway", "--extauthz", "authz", "--workers", "2")
    assert endpoints(made, "extauthz") == ["authz:9191", "authz:9192"]
    sockets = tree("sidecar", "--workers", "2")
    assert endpoints(sockets, "extauthz") == ["unix:/run/extauthz/grpc.0.sock", "unix:/run/extauthz/grpc.1.sock"]
    assert cluster(made, "extauthz")["circuit_breakers"]["thresholds"][0]["max_requests"] == 512


def test_a_server_that_is_gone_without_a_word_is_noticed_whether_it_is_called_or_not() -> None:
    for name in ("extauthz", "extauthz_holding"):
        made = cluster(tree("gateway"), name)
        (looks,) = made["health_checks"]
        assert looks["no_traffic_interval"] == looks["interval"] == "5s"
        assert _http2(made)["connection_keepalive"] == {"interval": "5s", "timeout": "1s"}
        assert "outlier_detection" not in made, "there is no other to ask"
        several = cluster(tree("gateway", "--extauthz", "a", "--extauthz", "b"), name)
        (looks,) = several["health_checks"]
        assert looks["no_traffic_interval"] == looks["interval"] == "0.5s"
        assert _http2(several) == _http2(made)
        left_out = several["outlier_detection"]
        assert (left_out["consecutive_local_origin_failure"], left_out["max_ejection_percent"]) == (3, 50)
        assert {value for key, value in left_out.items() if key.startswith("enforcing_")} == {0}


def test_the_other_end_of_a_socket_needs_no_question_whether_it_is_there() -> None:
    for made in (tree("sidecar"), tree("sidecar", "--workers", "2")):
        found = cluster(made, "extauthz")
        assert _http2(found) == {}
        (looks,) = found["health_checks"]
        assert looks["no_traffic_interval"] == looks["interval"]


def test_tls_to_extauthz_knows_it_by_name_and_shows_a_certificate() -> None:
    for name in ("extauthz", "extauthz_holding"):
        socket = cluster(tree("gateway", *TLS_TO_EXTAUTHZ), name)["transport_socket"]
        context = socket["typed_config"]["common_tls_context"]
        assert context["validation_context"]["match_typed_subject_alt_names"] == [
            {"san_type": "URI", "matcher": {"exact": "spiffe://prod.example.org/ns/x/sa/extauthz"}},
            {"san_type": "DNS", "matcher": {"exact": "extauthz.example.org"}},
        ]
        (own,) = context["tls_certificates"]
        assert own["certificate_chain"] == {"filename": "/etc/envoy/tls/server.pem"}
        assert context["alpn_protocols"] == ["h2"]


def test_the_routes_are_the_pages_what_is_unchecked_grpc_what_is_held_and_the_rest() -> None:
    made = routes(tree(*MATRIX["gateway, of its own"]))
    matches = [next(iter(one["match"].values())) for one in made]
    assert matches == ["/.extauthz/waiting/events", "/.extauthz", "/up", "/", "/a", "/b", "/"]
    settings = [one["typed_per_filter_config"][EXT_AUTHZ] for one in made]
    assert [one.get("disabled", False) for one in settings] == [True, True, True, False, False, False, False]
    assert settings[3]["check_settings"]["disable_request_body_buffering"] is True
    for held in settings[4:6]:
        assert held["check_settings"]["grpc_service"]["timeout"] == "310s"
        assert held["check_settings"]["context_extensions"] == {"tenant": "t1", "extauthz.buffered": "true"}
    assert settings[6]["check_settings"]["context_extensions"] == {"tenant": "t1"}


def test_hosts_are_served_with_any_port_and_no_others() -> None:
    configuration = connection_manager(tree(*MATRIX["gateway, of its own"]))["route_config"]
    (host,) = configuration["virtual_hosts"]
    assert host["domains"] == ["shop.example.com", "*.shop.example.com"]
    assert configuration["ignore_port_in_host_matching"] is True


def test_bodies_are_shown_as_far_as_asked() -> None:
    made = tree("gateway", "--body", "100000")
    assert ext_authz(made)["with_request_body"]["max_request_bytes"] == 100_000
    assert made["static_resources"]["listeners"][0]["per_connection_buffer_limit_bytes"] == 100_000
    without = tree("gateway", "--body", "0")
    assert "with_request_body" not in ext_authz(without)
    assert "buffered" not in written("gateway", "--body", "0", "--format", "json")


def test_without_tls_no_certificate_is_believed() -> None:
    made = tree("gateway", "--certificate", "none")
    assert connection_manager(made)["forward_client_cert_details"] == "SANITIZE"
    assert "transport_socket" not in made["static_resources"]["listeners"][0]["filter_chains"][0]


def test_hops_of_a_sidecar_count_the_one_that_wrote_last() -> None:
    """Envoy counts from its peer, or, where that is not appended, from the last entry."""
    assert connection_manager(tree("gateway", "--trusted-hops", "2"))["xff_num_trusted_hops"] == 2
    assert connection_manager(tree("sidecar", "--trusted-hops", "2"))["xff_num_trusted_hops"] == 1


def test_addresses_are_where_they_were_said() -> None:
    made = tree(*MATRIX["gateway, IPv6 and TCP"])
    listening = [spelled(one["address"]) for one in made["static_resources"]["listeners"]]
    assert listening == [":::8443", ":::5432"]
    assert spelled(made["admin"]["address"]) == "127.0.0.1:9901"
    assert cluster(made, "service")["type"] == "STATIC"
    assert cluster(tree("gateway", "--service", "name:1"), "service")["type"] == "STRICT_DNS"


def test_the_access_log_has_the_decision() -> None:
    text = written("gateway", "--access-log", "/var/log/envoy.log")
    assert re.findall(r"extauthz:(\w+)\)%", text) == ["decision", "decision_id", "rule", "reason", "revision"]
    assert "path: /var/log/envoy.log" in text


def test_the_access_log_tells_of_a_request_nothing_that_a_caller_claims_for_envoy() -> None:
    """A sidecar takes `x-envoy-original-path` from whoever calls, and would write that path beside the decision."""
    for kind in ("gateway", "sidecar"):
        told = re.findall(r"%REQ\(([^)]*)\)", written(kind))
        assert told == [":METHOD", ":PATH", "X-REQUEST-ID"]


def _http2(found: dict[str, Any]) -> dict[str, Any]:
    """How a cluster speaks HTTP/2."""
    (options,) = found["typed_extension_protocol_options"].values()
    settings: dict[str, Any] = options["explicit_http_config"]["http2_protocol_options"]
    return settings


def _parts(value: Any) -> list[dict[str, Any]]:
    """Every mapping in it."""
    if isinstance(value, dict):
        return [value, *(part for item in value.values() for part in _parts(item))]
    return [part for item in value for part in _parts(item)] if isinstance(value, list) else []
