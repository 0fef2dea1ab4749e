"""The command, run in this process, and what it writes."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from extauthz.cli.commands import app

TLS = "/etc/envoy/tls"
Tree = dict[str, Any]


@cache
def written(*arguments: str) -> str:
    """What `extauthz envoy config` writes."""
    ran = CliRunner().invoke(app, ["envoy", "config", *arguments], env={"EXTAUTHZ_CONFIG": None})
    assert ran.exit_code == 0, (ran.output, ran.exception)
    return ran.stdout


def tree(*arguments: str) -> Tree:
    """The same, as Envoy reads it."""
    read: Tree = yaml.safe_load(written(*arguments))
    return read


def validated(binary: Path, text: str, *, certificates: Path, folder: Path) -> str:
    """What Envoy says of a configuration: nothing, or why it would not run it. Warnings count."""
    file = folder / "envoy.yaml"
    file.write_text(text.replace(TLS, str(certificates)))
    ran = subprocess.run(
        [binary, "--mode", "validate", "-c", file, "--log-level", "warning"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return ran.stderr if ran.returncode == 0 else ran.stderr or f"exit code {ran.returncode}"


def cluster(written_tree: Tree, name: str) -> Tree:
    """The cluster of this name."""
    found: Tree = next(one for one in written_tree["static_resources"]["clusters"] if one["name"] == name)
    return found


def endpoints(written_tree: Tree, name: str) -> list[str]:
    """Where a cluster leads, as people write addresses."""
    (locality,) = cluster(written_tree, name)["load_assignment"]["endpoints"]
    return [spelled(one["endpoint"]["address"]) for one in locality["lb_endpoints"]]


def spelled(address: Tree) -> str:
    """An address as people write it."""
    if "pipe" in address:
        return f"unix:{address['pipe']['path']}"
    socket = address["socket_address"]
    return f"{socket['address']}:{socket['port_value']}"


def names(written_tree: Tree, part: str) -> list[str]:
    """The names of its listeners or clusters."""
    return [one["name"] for one in written_tree["static_resources"].get(part, [])]
