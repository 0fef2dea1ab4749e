"""`extauthz envoy validate`: what it prints, its exit codes, and Envoy's own word beside it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from commanding import command
from e2e.conftest import missing

from extauthz.cli.quickstart.envoy import find_envoy
from extauthz.errors import ConfigurationError

HERE = Path(__file__).parent
SAMPLES = HERE / "samples"
SHIPPED = Path(__file__).parents[2] / "envoy"


def test_a_good_configuration_is_said_to_be_one(tmp_path: Path) -> None:
    ended = command("envoy", "validate", str(SAMPLES / "good.yaml"), folder=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "1 file: nothing found; Envoy itself was not asked (--envoy)\n"


def test_a_finding_says_where_what_it_means_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "envoy.yaml").write_text((SAMPLES / "failure-mode-allow.yaml").read_text())
    ended = command("envoy", "validate", "envoy.yaml", folder=tmp_path)
    assert ended.returncode == 1
    line = 1 + (tmp_path / "envoy.yaml").read_text().splitlines().index(
        "                      failure_mode_allow: true"
    )
    guard = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[0].typed_config"
    means = "whenever extauthz is down, late or overloaded, every request is let through"
    assert ended.stderr.splitlines() == [
        f"envoy.yaml:{line}: error: {means} [failure-mode-allow]",
        f"    at {guard}.failure_mode_allow",
        "    write `failure_mode_allow: false`",
    ]
    assert ended.stdout.startswith("1 file: 1 error, 0 warnings; ")


def test_warnings_alone_do_not_fail_unless_that_is_wished(tmp_path: Path) -> None:
    sample = str(SAMPLES / "raw-headers.yaml")
    assert command("envoy", "validate", sample, folder=tmp_path).returncode == 0
    assert command("envoy", "validate", sample, "--strict", folder=tmp_path).returncode == 1


def test_programs_get_the_same(tmp_path: Path) -> None:
    sample = str(SAMPLES / "admin-exposed.yaml")
    ended = command("envoy", "validate", sample, "--format", "json", folder=tmp_path)
    assert (ended.returncode, ended.stderr) == (1, "")
    told = json.loads(ended.stdout)
    assert (told["ok"], told["errors"], told["warnings"]) == (False, 1, 0)
    (finding,) = told["findings"]
    assert (finding["rule"], finding["severity"], finding["file"]) == ("admin-exposed", "error", sample)
    assert (finding["line"], finding["path"]) == (3, "admin.address")
    assert finding["means"]
    assert finding["do"]


def test_standard_input_is_a_file(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "extauthz", "envoy", "validate", "-"],
        input=(SAMPLES / "stat-prefix.yaml").read_bytes(),
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    assert ended.returncode == 0
    assert ended.stderr.startswith(b"standard input:")
    assert b"[stat-prefix]" in ended.stderr


def test_the_configuration_of_the_server_is_compared(tmp_path: Path) -> None:
    (tmp_path / "extauthz.yaml").write_text("policies: [policies/]\nclient: {trusted_hops: 2}\n")
    good = str(SAMPLES / "good.yaml")
    ended = command("envoy", "validate", good, "--config", "extauthz.yaml", folder=tmp_path)
    assert ended.returncode == 1
    assert "0 here, 2 there" in ended.stderr
    assert "[configured-hops]" in ended.stderr


HOLDING = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: holding}
spec:
  rules:
    - {name: anybody, effect: allow}
    - {name: four-eyes, effect: approve, approve: {approvers: {groups: [ops]}, hold: 20s}}
"""


def test_holds_of_the_policies_are_compared(tmp_path: Path) -> None:
    (tmp_path / "extauthz.yaml").write_text("policies: [policies/]")
    arguments = ("envoy", "validate", str(SAMPLES / "good.yaml"), "--config", "extauthz.yaml")
    assert "holds were not compared: the policies have errors" in command(*arguments, folder=tmp_path).stdout
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "holding.yaml").write_text(HOLDING)
    ended = command(*arguments, folder=tmp_path)
    assert ended.returncode == 0
    assert "0.25 s here, 20 s there" in ended.stderr
    assert "[configured-hold]" in ended.stderr
    (tmp_path / "policies" / "holding.yaml").write_text(HOLDING.replace("20s", "0s"))
    ended = command(*arguments, folder=tmp_path)
    assert (ended.stderr, ended.stdout.partition(";")[0]) == ("", "1 file: nothing found")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["missing.yaml"], "missing.yaml: can't be read: no such file or directory"),
        (["."], ".: can't be read: is a directory"),
        (["latin.yaml"], "latin.yaml: not UTF-8; save it as UTF-8"),
        (["good.yaml", "--config", "missing.yaml"], "missing.yaml: can't read the configuration"),
        (["good.yaml", "--listener", "http"], "good.yaml: has no listener `http`"),
        (["good.yaml", "--envoy", "/nowhere/envoy"], "/nowhere/envoy: no Envoy that can be run"),
        (["good.yaml", "--envoy", "./no-envoy"], "no-envoy: can't be asked: exec format error"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe4")
    (tmp_path / "good.yaml").write_bytes((SAMPLES / "good.yaml").read_bytes())
    (tmp_path / "no-envoy").write_bytes(b"\x00")
    (tmp_path / "no-envoy").chmod(0o755)
    ended = command("envoy", "validate", *arguments, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("extauthz: ")
    assert told in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_what_a_file_says_steers_no_terminal(tmp_path: Path) -> None:
    text = (SAMPLES / "listener-unguarded.yaml").read_text().replace("name: metrics", 'name: "\\e[2Jmetrics"')
    (tmp_path / "envoy.yaml").write_text(text)
    ended = command("envoy", "validate", "envoy.yaml", folder=tmp_path)
    assert "metrics" in ended.stderr
    assert "\x1b" not in ended.stderr


@pytest.mark.parametrize("shipped", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_configurations_have_no_errors(shipped: Path, tmp_path: Path) -> None:
    ended = command("envoy", "validate", str(shipped), "--format", "json", folder=tmp_path)
    told = json.loads(ended.stdout)
    assert ended.returncode == 0, told
    # Between machines TLS is the reader's own: certificates are not in the files.
    assert {one["rule"] for one in told["findings"]} <= {"cluster-plaintext"}


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    """A folder with the certificates that samples name."""
    from datetime import UTC, datetime

    from extauthz.cli.quickstart.certificates import create_authority

    create_authority(tmp_path / "ca.pem", common_name="test", now=datetime.now(UTC)).issue_server(tmp_path / "server")
    return tmp_path


@pytest.mark.parametrize(("sample", "refused"), [("good", False), ("filter-after-router", True)])
def test_envoy_itself_is_asked_where_that_is_wished(sample: str, refused: bool, tls: Path) -> None:
    try:
        binary = find_envoy()
    except ConfigurationError as error:
        missing(str(error))
    (tls / "envoy.yaml").write_text((SAMPLES / f"{sample}.yaml").read_text().replace("/etc/envoy/tls", str(tls)))
    ended = command("envoy", "validate", "envoy.yaml", "--envoy", str(binary), "--format", "json", folder=tls)
    told = json.loads(ended.stdout)
    assert told["note"] == "Envoy itself was asked: 1 file"
    assert ("envoy-refuses" in [one["rule"] for one in told["findings"]]) == refused
    assert ended.returncode == refused
    if refused:
        finding = next(one for one in told["findings"] if one["rule"] == "envoy-refuses")
        assert finding["means"].startswith("Envoy refuses it: error initializing configuration 'envoy.yaml': ")
        assert "must be the last filter" in finding["means"]


def test_envoy_is_not_asked_about_what_is_no_bootstrap(tmp_path: Path) -> None:
    (tmp_path / "no-envoy").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "no-envoy").chmod(0o755)
    clusters = yaml.safe_load((SAMPLES / "good.yaml").read_text())["static_resources"]["clusters"]
    (tmp_path / "clusters.yaml").write_text(yaml.safe_dump(clusters))
    ended = command("envoy", "validate", "clusters.yaml", "--envoy", "./no-envoy", folder=tmp_path)
    assert ended.returncode == 0
    assert "no file is a bootstrap that Envoy could read" in ended.stdout
