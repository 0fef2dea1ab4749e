"""What a server imports: what its configuration asks for, before it serves, and nothing of what it does not."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from serving import CONFIG, command

LIBRARIES = ("redis", "opentelemetry", "webauthn", "httpx", "maxminddb")
COMMANDS = {f"extauthz.cli.{name}" for name in ("audit", "bundle", "factors", "grants", "keys", "policy", "subjects")}
NOT_FOR_SERVING = ("extauthz.history", "extauthz.policy.lint", "extauthz.policy.trial", *COMMANDS)
NOT_CONFIGURED = ("extauthz.web.approvers.", "extauthz.app.approval_apis")

RELYING_PARTY = "stepup: {webauthn: {id: example.com, origins: ['https://example.com']}}\n"
ISSUER = """
identity:
  users: [{name: staff, issuer: 'https://login.example.com', audiences: [a], jwks: 'https://127.0.0.1:1/jwks'}]
"""


def imported_until_it_serves(
    folder: Path, configuration: str, environ: Mapping[str, str], transport: str = "grpcio"
) -> set[str]:
    """Everything that a server with this configuration has imported when it serves, its parent included."""
    (folder / "extauthz.yaml").write_text(configuration)
    process = subprocess.Popen(
        command(folder, transport),
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1", **environ},
    )
    assert process.stderr is not None
    found, told = set(), []
    try:
        for line in process.stderr:
            if line.startswith("import time:"):
                found.add(line.rpartition("|")[2].strip())
            else:
                told.append(line)
            if '"event": "serving"' in line:
                return found
    finally:
        process.kill()
        process.communicate()
    raise AssertionError(f"the server ended before it served: {''.join(told)}")


@pytest.mark.parametrize(
    ("configuration", "environ", "needed"),
    [
        (CONFIG, {}, set()),
        (CONFIG + "store: 'memory:'\n", {}, set()),
        (CONFIG + RELYING_PARTY, {}, {"webauthn"}),
        (CONFIG + ISSUER, {}, {"httpx"}),
        (CONFIG, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, {"opentelemetry"}),
    ],
    ids=["plain", "nothing kept", "security keys", "keys of an issuer", "spans"],
)
def test_a_server_imports_what_it_is_configured_to_use_and_nothing_else(
    folder: Path, configuration: str, environ: dict[str, str], needed: set[str]
) -> None:
    found = imported_until_it_serves(folder, configuration, environ)
    assert {library for library in LIBRARIES if library in found} == needed
    assert "rich.console" not in found or "httpx" in needed, "which has a command that shows its answers in colours"
    assert [name for name in sorted(found) if name.startswith((*NOT_FOR_SERVING, *NOT_CONFIGURED))] == []
    assert ("extauthz.store.sqlite" in found) == ("memory:" not in configuration)


def test_a_server_in_an_envoy_imports_nothing_of_the_other_transport(folder: Path) -> None:
    found = imported_until_it_serves(folder, CONFIG, {}, "pyvoy")
    assert {"extauthz.app.in_envoy", "extauthz.transport.asgi", "uvloop"} <= found
    assert found.isdisjoint({*LIBRARIES, "rich.console", "grpc", "extauthz.transport.grpcio"})


def imported_by(*arguments: str) -> set[str]:
    """Everything that a command imports until its end."""
    command = [sys.executable, "-X", "importtime", "-m", "extauthz", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if line.startswith("import time:")}


def test_the_version_is_told_without_any_other_command() -> None:
    found = imported_by("--version")
    assert "extauthz.cli.serve" in found
    assert found.isdisjoint({*LIBRARIES, *COMMANDS, "grpc", "extauthz.policy.load", "extauthz.app.server"})


@pytest.mark.parametrize(
    ("arguments", "needed", "of_others"),
    [
        (("policy", "schema"), "extauthz.policy.schema", {"extauthz.policy.lint.run", "extauthz.history.replay"}),
        (("audit", "schema"), "extauthz.record.audit_schema", {"extauthz.history.tail", "extauthz.history.verifying"}),
        (("audit", "verify", "--help"), "extauthz.history.verifying", {"extauthz.cel", "extauthz.store.protocol"}),
    ],
    ids=("policy", "audit", "audit of files"),
)
def test_a_command_imports_nothing_of_those_beside_it(
    arguments: tuple[str, ...], needed: str, of_others: set[str]
) -> None:
    found = imported_by(*arguments)
    assert needed in found
    assert found.isdisjoint({*of_others, *LIBRARIES, "extauthz.settings"})
