"""What does not fit ends in a sentence, with nothing written."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from extauthz.cli.commands import app

CONFIGURATION = """
policies: [policies/]
"""
REFUSED = {
    ("gateway", "--listen", "nowhere"): (2, "`nowhere` is no address; write `host:port` or `unix:/path/of.sock`"),
    ("gateway", "--service", "a:99999"): (2, "`a:99999` is no address"),
    ("gateway", "--service-grpc", "no"): (2, "`no` is no address"),
    ("gateway", "--extauthz", "a b"): (2, "`a b:0` is no address"),
    ("gateway", "--timeout", "5"): (2, "a duration without a unit; write `5s`"),
    ("gateway", "--hold", "0s"): (2, "must be longer than nothing"),
    ("gateway", "--hold-path", "orders"): (2, "`orders` is no path; write `/orders`"),
    ("gateway", "--unchecked", "/a/*"): (2, "`/a/*` is no path"),
    ("gateway", "--context", "tenant"): (2, "`tenant` is no name and value; write `tenant=t1`"),
    ("gateway", "--context", "extauthz.buffered=true"): (2, "`extauthz.` is for what this writes by itself"),
    ("gateway", "--context", "a=b\nadmin: {}"): (2, "`a=b\\nadmin: {}` has a character that can't be printed"),
    ("gateway", "--name", "a\udcff"): (2, "`a\\udcff` has a character that can't be printed"),
    ("sidecar", "--extauthz", "unix:/a\u2028b"): (2, "`unix:/a\\u2028b` has a character that can't be printed"),
    ("gateway", "--client-key", "k"): (2, "a certificate and its key go together"),
    ("gateway", "--service-tcp", "a:1"): (2, "say where such connections come in: `--listen-tcp`"),
    ("gateway", "--trust-domain", "a"): (2, "`gateway` has no use for it; it is for `sidecar`"),
    ("workers", "--service", "a:1"): (2, "`workers` has no use for it; it is for `gateway`, `sidecar`"),
    ("approvals", "--hold", "1m"): (2, "`approvals` has no use for it"),
    ("router",): (2, "'router' is not one of 'gateway', 'sidecar', 'workers', 'approvals'"),
    ("gateway", "--extauthz", "unix:/a", "--extauthz", "b:1"): (
        1,
        "`b` has to be looked up and can't be beside a socket",
    ),
    ("gateway", "--extauthz", "a:1", "--extauthz", "b:1", "--workers", "2"): (
        2,
        "--workers: beside several addresses",
    ),
    ("gateway", "--config", "nowhere.yaml"): (
        1,
        "nowhere.yaml: can't read the configuration: no such file or directory",
    ),
}
CONFLICTS = {
    "listen: {grpc: '127.0.0.1:0'}": (
        ("gateway",),
        "listen.grpc: takes any free port; write one that Envoy can be told",
    ),
    "request: {buffered: true}": (
        ("gateway", "--body", "0"),
        "request.buffered: extauthz takes for granted that bodies",
    ),
    "logs: {level: error}": (
        ("gateway", "--extauthz-ca", "ca.pem"),
        "listen.tls: there is none, so extauthz speaks no TLS",
    ),
    "store: 'memory:'": (("approvals",), "approvals: nobody listens on `listen.approvals` without `approvals.url`"),
    "lisen: {}": (("gateway",), "unknown field `lisen`; did you mean `listen`?"),
}


@pytest.mark.parametrize(
    ("arguments", "said"), REFUSED.items(), ids=lambda one: " ".join(one) if isinstance(one[0], str) else ""
)
def test_a_bad_option_is_refused_with_what_to_write(arguments: tuple[str, ...], said: tuple[int, str]) -> None:
    _refused(arguments, *said)


@pytest.mark.parametrize(("configured", "refused"), CONFLICTS.items(), ids=CONFLICTS)
def test_what_the_server_is_configured_for_is_not_contradicted(
    configured: str, refused: tuple[tuple[str, ...], str], tmp_path: Path
) -> None:
    file = tmp_path / "extauthz.yaml"
    file.write_text(f"{CONFIGURATION}{configured}\n")
    arguments, message = refused
    _refused((*arguments, "--config", str(file)), 1, message)


def _refused(arguments: tuple[str, ...], code: int, message: str) -> None:
    ran = CliRunner().invoke(app, ["envoy", "config", *arguments], env={"EXTAUTHZ_CONFIG": None})
    said = ran.stderr if code == 2 else str(ran.exception)
    assert ran.stdout == ""
    assert (ran.exit_code, message in said) == (code, True), said
