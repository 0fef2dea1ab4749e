"""The configurations in `envoy/` are ones that Envoy takes."""

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from e2e import bootstrap

from extauthz.cli.quickstart.certificates import create_authority
from extauthz.web.approval_api import EVENTS_PATH as API_EVENTS
from extauthz.web.approvers.app import EVENTS_PATH as PAGE_EVENTS

SHIPPED = sorted(path.stem for path in bootstrap.SHIPPED.glob("*.yaml"))
WHOLE = [name for name in SHIPPED if name != "workers"]
"""With listeners: the other has clusters to be put in the place of theirs."""
ASKING = [name for name in WHOLE if name != "approvals"]
"""With the filter: the other has the approvers' pages behind it, and no application."""


@pytest.mark.parametrize("name", SHIPPED)
def test_envoy_takes_the_shipped_configuration_without_a_warning(name: str, tmp_path: Path, envoy_binary: Path) -> None:
    create_authority(tmp_path / "ca.pem", common_name="test", now=datetime.now(UTC)).issue_server(tmp_path / "server")
    text = (bootstrap.SHIPPED / f"{name}.yaml").read_text().replace("/etc/envoy/tls", str(tmp_path))
    (tmp_path / "envoy.yaml").write_text(text)
    validated = subprocess.run(
        [envoy_binary, "--mode", "validate", "-c", tmp_path / "envoy.yaml", "--log-level", "warning"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert validated.returncode == 0, validated.stderr
    assert validated.stderr == ""


@pytest.mark.parametrize("name", SHIPPED)
def test_every_address_and_file_is_marked_as_the_readers_own(name: str) -> None:
    """On its line, in a comment over it, or at the name of its cluster."""
    mine = False
    for line in (bootstrap.SHIPPED / f"{name}.yaml").read_text().splitlines():
        code, _, comment = line.partition("#")
        mine = "Yours: " in comment or (mine and not code.strip().startswith(("- name", "- transport_socket")))
        if re.search(r"\b(filename|port_value|pipe):", code):
            assert mine, line
            mine = False


@pytest.mark.parametrize("name", ASKING)
def test_nothing_is_let_through_when_extauthz_does_not_answer(name: str, tmp_path: Path) -> None:
    tree = bootstrap.load(name, tls=tmp_path, run=tmp_path)
    for listener in tree["static_resources"]["listeners"]:
        for entry in listener["filter_chains"][0]["filters"]:
            filters = [entry, *entry["typed_config"].get("http_filters", [])]
            asking = [entry for entry in filters if entry["name"].endswith(".ext_authz")]
            assert all(entry["typed_config"]["failure_mode_allow"] is False for entry in asking)
            assert all(entry["typed_config"]["transport_api_version"] == "V3" for entry in asking)


@pytest.mark.parametrize("name", ASKING)
def test_no_try_of_a_call_is_given_up_before_the_call_is(name: str, tmp_path: Path) -> None:
    """Envoy gives each try of a call with a retry policy `max_interval`, 10 s where nobody says it."""
    calls = list(_calls(bootstrap.load(name, tls=tmp_path, run=tmp_path)))
    assert calls
    for call in calls:
        back_off = call.get("retry_policy", {}).get("retry_back_off", {})
        assert _seconds(back_off.get("max_interval", "10s")) >= _seconds(call["timeout"])


def test_streams_of_the_approvers_pages_have_no_timeout(tmp_path: Path) -> None:
    routes = bootstrap.routes(bootstrap.load("approvals", tls=tmp_path, run=tmp_path))
    timeouts = {next(iter(one["match"].values())): one["route"]["timeout"] for one in routes}
    assert timeouts.pop("/") != "0s"
    assert timeouts == dict.fromkeys((PAGE_EVENTS, API_EVENTS), "0s")


def _calls(tree: Any) -> Iterator[bootstrap.Tree]:
    """Every `grpc_service` anywhere in it."""
    parts = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, part in parts:
        if name == "grpc_service":
            yield part
        yield from _calls(part)


def _seconds(written: str) -> float:
    return float(written.removesuffix("s"))
