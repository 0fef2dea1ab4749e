"""The page on Istio: its resources say what the page says, and Envoy takes the filter that comes of them."""

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from e2e import bootstrap
from e2e.conftest import envoy_binary

from extauthz.cli.quickstart.certificates import create_authority
from extauthz.settings import load_settings

__all__ = ["envoy_binary"]

PAGE = (Path(__file__).parents[2] / "docs" / "istio.md").read_text()
BLOCKS = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)]


def resource(key: str) -> dict[str, Any]:
    """The one block of this kind, or with this key."""
    (found,) = (one for one in BLOCKS if one.get("kind") == key or key in one)
    assert isinstance(found, dict)
    return found


def written_by_istio() -> dict[str, Any]:
    """The settings that Istio makes of the page's provider, with the page's patch merged into them."""
    (provider,) = resource("extensionProviders")["extensionProviders"]
    said = provider["envoyExtAuthzGrpc"]
    body = said["includeRequestBodyInCheck"]
    (patch,) = resource("EnvoyFilter")["spec"]["configPatches"]
    return {
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": "extauthz"}, "timeout": said["timeout"]},
        "failure_mode_allow": said["failOpen"],
        "status_on_error": {"code": int(said["statusOnError"])},
        "with_request_body": {
            "max_request_bytes": body["maxRequestBytes"],
            "allow_partial_message": body["allowPartialMessage"],
            "pack_as_bytes": body["packAsBytes"],
        },
        **patch["patch"]["value"]["typed_config"],
    }


def test_the_filter_of_the_page_asks_as_the_shipped_gateway_does_but_for_what_istio_can_not_say(tmp_path: Path) -> None:
    shipped = bootstrap.ext_authz(bootstrap.load("gateway", tls=tmp_path, run=tmp_path))
    shipped["grpc_service"]["timeout"] = "0.25s"
    del shipped["grpc_service"]["retry_policy"]
    shipped["status_on_error"] = {"code": 503}
    # Ours alone, and what they stand for by default.
    for name, default in (("clear_route_cache", False), ("validate_mutations", False), ("stat_prefix", "extauthz")):
        assert shipped.pop(name) == default
    assert written_by_istio() == shipped


def test_envoy_takes_the_filter_of_the_page(tmp_path: Path, envoy_binary: Path) -> None:
    create_authority(tmp_path / "ca.pem", common_name="test", now=datetime.now(UTC)).issue_server(tmp_path / "server")
    tree = bootstrap.load("gateway", tls=tmp_path, run=tmp_path)
    asking = bootstrap.ext_authz(tree)
    asking.clear()
    asking.update(written_by_istio())
    (tmp_path / "envoy.yaml").write_text(yaml.safe_dump(tree))
    validated = subprocess.run(
        [envoy_binary, "--mode", "validate", "-c", tmp_path / "envoy.yaml", "--log-level", "warning"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (validated.returncode, validated.stderr) == (0, "")


def test_what_is_not_asked_about_goes_to_extauthz() -> None:
    (rule,) = resource("AuthorizationPolicy")["spec"]["rules"]
    ((unasked,),) = (one["operation"]["notPaths"] for one in rule["to"])
    pages, _service = resource("VirtualService")["spec"]["http"]
    (match,) = pages["match"]
    assert unasked == match["uri"]["prefix"] + "*"
    (route,) = pages["route"]
    (provider,) = resource("extensionProviders")["extensionProviders"]
    assert route["destination"]["host"] == provider["envoyExtAuthzGrpc"]["service"]


def test_the_configuration_of_the_page_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXTAUTHZ_CONFIG", raising=False)
    path = tmp_path / "extauthz.yaml"
    path.write_text(yaml.safe_dump(resource("policies")))
    assert load_settings(path).identity.workload.trust_domains == ("cluster.local",)
