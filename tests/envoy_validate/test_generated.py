"""What `envoy config` writes for a server, `envoy validate` finds nothing in when it knows the same server."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from commanding import command
from e2e.bootstrap import connection_manager

SERVERS: dict[str, dict[str, Any]] = {
    "as-it-is": {},
    "on-sockets": {"listen": {"grpc": "unix:/run/extauthz/grpc.sock", "web": "unix:/run/extauthz/web.sock"}},
    "behind-two-proxies": {"client": {"trusted_hops": 2}},
    "shown-some-headers": {
        "request": {"headers": ["authorization", "x-tier", "x-forwarded-client-cert"]},
        "client": {"trusted_hops": 0},
    },
    "shown-bodies": {"request": {"buffered": True}},
    "shown-certificates": {"identity": {"workload": {"sources": ["peer_certificate"]}}},
    "shown-claims": {
        "identity": {
            "users": [
                {
                    "name": "idp",
                    "issuer": "https://idp.example.com",
                    "audiences": ["api"],
                    "from": ["metadata:envoy.filters.http.jwt_authn/claims"],
                }
            ]
        }
    },
    "accepting-dots": {"paths": {"accept": ["dot_segment"]}},
    "holding": {
        "approvals": {
            "tokens": {"issuer": "https://idp.example.com", "audiences": ["approvals"], "jwks": "jwks.json"},
            "holding": {"at_once": 20_000},
        }
    },
}


@pytest.mark.parametrize("kind", ["gateway", "sidecar"])
@pytest.mark.parametrize("server", SERVERS)
def test_what_is_written_for_a_server_is_what_it_expects(server: str, kind: str, tmp_path: Path) -> None:
    client = {"client": {"trusted_hops": 1, "xff": "untouched"}} if kind == "sidecar" else {}
    settings = {"policies": ["policies/"], **client, **SERVERS[server]}
    if kind == "sidecar":
        settings["client"] = {"trusted_hops": 1, **settings.get("client", {}), "xff": "untouched"}
        headers = settings.get("request", {}).get("headers")
        if headers:
            settings["request"] = {"headers": [*headers, "x-forwarded-for"]}
    (tmp_path / "extauthz.yaml").write_text(json.dumps(settings))
    written = command("envoy", "config", kind, "--config", "extauthz.yaml", folder=tmp_path)
    assert written.returncode == 0, written.stderr
    (tmp_path / "envoy.yaml").write_text(written.stdout)
    arguments = ("envoy", "validate", "envoy.yaml", "--config", "extauthz.yaml", "--format", "json")
    told = json.loads(command(*arguments, folder=tmp_path).stdout)
    # TLS with extauthz and its cluster's names are the reader's own.
    found = [one for one in told["findings"] if one["rule"] != "cluster-plaintext"]
    assert found == []


@pytest.mark.parametrize(("hold", "idle"), [("30s", None), ("4m", None), ("290s", "310s"), ("5m", "320s")])
def test_no_stream_ends_before_the_longest_hold(hold: str, idle: str | None, tmp_path: Path) -> None:
    arguments = ("--service", "unix:/run/app.sock", "--extauthz", "unix:/run/x/grpc.sock", "--pages", "127.0.0.1:1")
    written = command("envoy", "config", "gateway", *arguments, "--hold-path", "/held", "--hold", hold, folder=tmp_path)
    (tmp_path / "envoy.yaml").write_text(written.stdout)
    told = command("envoy", "validate", "envoy.yaml", folder=tmp_path)
    assert told.stdout.startswith("1 file: nothing found")
    tables = connection_manager(yaml.safe_load(written.stdout))["route_config"]["virtual_hosts"]
    (held,) = (one for one in tables[0]["routes"] if one["match"].get("path_separated_prefix") == "/held")
    assert held["route"].get("idle_timeout") == idle
