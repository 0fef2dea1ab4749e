"""What is written follows from what the server is configured for."""

from pathlib import Path

import pytest
import yaml
from e2e.bootstrap import connection_manager, ext_authz, routes
from envoy_config.writing import Tree, cluster, endpoints, spelled, tree, validated, written

CALLERS = {"authorities": "callers.pem", "names": ["spiffe://prod.example.org/ns/mesh/sa/gateway"]}


def _configured(folder: Path, kind: str, *options: str, **configuration: object) -> Tree:
    """What is written for a configuration with these keys beside the policies."""
    file = folder / "extauthz.yaml"
    file.write_text(yaml.safe_dump({"policies": ["policies/"], **configuration}))
    written.cache_clear()
    return tree(kind, "--config", str(file), *options)


def test_addresses_are_those_that_the_server_listens_on(tmp_path: Path) -> None:
    listen = {"grpc": "10.0.0.5:7001", "web": "unix:/run/x/web.sock", "approvals": "10.0.0.5:7004"}
    made = _configured(tmp_path, "gateway", listen=listen)
    assert endpoints(made, "extauthz") == ["10.0.0.5:7001"]
    assert endpoints(made, "extauthz_web") == ["unix:/run/x/web.sock"]
    approvals = _configured(tmp_path, "approvals", listen=listen, approvals={"url": "https://a.example.com:8555"})
    assert endpoints(approvals, "extauthz_approvals") == ["10.0.0.5:7004"]
    (listener,) = approvals["static_resources"]["listeners"]
    assert spelled(listener["address"]) == "0.0.0.0:8555"


def test_a_server_that_listens_everywhere_is_called_by_the_name_that_is_given(tmp_path: Path) -> None:
    listen = {"grpc": "0.0.0.0:7001", "web": "[::]:7002"}
    named = _configured(tmp_path, "gateway", "--extauthz", "authz", listen=listen)
    assert (endpoints(named, "extauthz"), endpoints(named, "extauthz_web")) == (["authz:7001"], ["authz:7002"])
    unnamed = _configured(tmp_path, "gateway", listen=listen)
    assert endpoints(unnamed, "extauthz") == ["extauthz:7001"]
    assert "Yours: `listen.grpc` of extauthz" in written("gateway", "--config", str(tmp_path / "extauthz.yaml"))


def test_the_environment_beats_the_file_as_it_does_for_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTAUTHZ_LISTEN__GRPC", "127.0.0.1:7777")
    assert endpoints(_configured(tmp_path, "gateway"), "extauthz") == ["127.0.0.1:7777"]


def test_workers_are_called_where_they_listen(tmp_path: Path) -> None:
    listen = {"grpc": "127.0.0.1:9200", "web": "unix:/run/x/web.sock", "admin": "127.0.0.1:9400"}
    made = _configured(tmp_path, "workers", "--workers", "2", listen=listen)
    assert endpoints(made, "extauthz") == ["127.0.0.1:9200", "127.0.0.1:9201"]
    assert endpoints(made, "extauthz_web") == ["unix:/run/x/web.0.sock", "unix:/run/x/web.1.sock"]


def test_tls_is_spoken_where_the_server_speaks_it_with_a_certificate_where_it_asks_for_one(tmp_path: Path) -> None:
    pair = {"certificate": "server.pem", "key": "server.key"}
    assert "transport_socket" not in cluster(_configured(tmp_path, "gateway"), "extauthz")
    tls = cluster(_configured(tmp_path, "gateway", listen={"tls": pair}), "extauthz")["transport_socket"][
        "typed_config"
    ]
    assert "tls_certificates" not in tls["common_tls_context"]
    mutual = _configured(tmp_path, "gateway", listen={"tls": {**pair, "callers": CALLERS}})
    tls = cluster(mutual, "extauthz")["transport_socket"]["typed_config"]
    assert tls["common_tls_context"]["tls_certificates"]
    assert "listen.tls.callers" in written("gateway", "--config", str(tmp_path / "extauthz.yaml"))


def test_bodies_hosts_headers_and_metadata_are_those_that_the_server_declares(tmp_path: Path) -> None:
    request = {"headers": ["X-Tenant", "authorization"], "hosts": ["*.pay.example.com"], "buffered": True}
    user = {"name": "edge", "issuer": "https://idp.example.com", "from": ["metadata:my.filter/payload"]}
    made = _configured(tmp_path, "gateway", request=request, identity={"users": [user]})
    asking = ext_authz(made)
    patterns = asking["allowed_headers"]["patterns"]
    assert patterns == [{"exact": name, "ignore_case": True} for name in ("authorization", "x-tenant")]
    assert asking["metadata_context_namespaces"] == ["envoy.filters.http.jwt_authn", "my.filter"]
    assert connection_manager(made)["route_config"]["virtual_hosts"][0]["domains"] == ["*.pay.example.com"]
    (grpc,) = [one for one in routes(made) if "grpc" in one["match"]]
    (settings,) = grpc["typed_per_filter_config"].values()
    assert settings["check_settings"]["context_extensions"]["extauthz.buffered"] == "false"


def test_hops_and_the_peer_are_counted_as_the_server_does(tmp_path: Path) -> None:
    untouched = _configured(tmp_path, "gateway", client={"xff": "untouched", "trusted_hops": 2})
    appended = _configured(tmp_path, "sidecar", client={"xff": "appended", "trusted_hops": 2})
    read = [connection_manager(one) for one in (untouched, appended)]
    assert [(one["use_remote_address"], one["xff_num_trusted_hops"]) for one in read] == [(False, 1), (True, 2)]


def test_as_many_calls_wait_as_the_server_holds(tmp_path: Path) -> None:
    made = _configured(tmp_path, "gateway", "--workers", "2", approvals={"holding": {"at_once": 44}})
    (limits,) = cluster(made, "extauthz_holding")["circuit_breakers"]["thresholds"]
    assert limits["max_requests"] == (44 + 256) * 2


def test_a_sidecar_lets_in_the_trust_domains_of_the_server(tmp_path: Path) -> None:
    made = _configured(tmp_path, "sidecar", identity={"workload": {"trust_domains": ["a.example", "b.example"]}})
    tls = made["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"]["typed_config"]
    matchers = tls["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"]
    assert [one["matcher"]["prefix"] for one in matchers] == ["spiffe://a.example/", "spiffe://b.example/"]


def test_envoy_takes_what_follows_from_all_of_it(envoy_binary: Path, certificates: Path, tmp_path: Path) -> None:
    _configured(
        tmp_path,
        "gateway",
        listen={"tls": {"certificate": "c", "key": "k", "callers": CALLERS}},
        request={"headers": ["authorization", "x-forwarded-for"], "hosts": ["a.example.com"], "buffered": True},
        client={"trusted_hops": 1},
    )
    text = written("gateway", "--config", str(tmp_path / "extauthz.yaml"))
    assert validated(envoy_binary, text, certificates=certificates, folder=tmp_path) == ""
