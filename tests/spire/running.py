"""SPIRE as an operator runs it: a server, an agent that has joined it, and an entry for the processes of this user."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ports import free_port

from extauthz.cli.quickstart.processes import Child, Processes

VERSION = "v1.13.3"
DOMAIN = "prod.example.org"
AGENT = f"spiffe://{DOMAIN}/agent"
WEB = f"spiffe://{DOMAIN}/ns/shop/sa/web"
START_SECONDS = 60.0

_SERVER = """
server {{
  bind_address = "127.0.0.1"
  bind_port = "{port}"
  socket_path = "{folder}/server.sock"
  trust_domain = "{domain}"
  data_dir = "{folder}/server"
  log_level = "WARN"
  default_jwt_svid_ttl = "5m"
}}
plugins {{
  DataStore "sql" {{ plugin_data {{ database_type = "sqlite3", connection_string = "{folder}/server.sqlite3" }} }}
  KeyManager "memory" {{ plugin_data {{}} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
}}
"""
_AGENT = """
agent {{
  data_dir = "{folder}/agent"
  log_level = "WARN"
  server_address = "127.0.0.1"
  server_port = "{port}"
  socket_path = "{folder}/agent.sock"
  trust_bundle_path = "{folder}/bundle.pem"
  trust_domain = "{domain}"
  experimental {{ sync_interval = "1s" }}
}}
plugins {{
  KeyManager "memory" {{ plugin_data {{}} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
"""


@dataclass(frozen=True)
class Spire:
    """What runs, and hands to drive it."""

    binaries: Path
    folder: Path

    @property
    def agent_address(self) -> str:
        """Where the Workload API is."""
        return f"unix:{self.folder / 'agent.sock'}"

    def server(self, *arguments: str) -> str:
        """What the server says to a command."""
        command: list[str | Path] = [
            self.binaries / "spire-server",
            *arguments,
            "-socketPath",
            self.folder / "server.sock",
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout

    def bundle(self, form: str = "spiffe") -> str:
        """The bundle of the trust domain."""
        return self.server("bundle", "show", "-format", form)

    def rotate_jwt_authority(self) -> None:
        """Let tokens be signed with a new key from now on; the old one still counts."""
        prepared: dict[str, Any] = json.loads(self.server("localauthority", "jwt", "prepare", "-output", "json"))
        name = prepared["prepared_authority"]["authority_id"]
        self.server("localauthority", "jwt", "activate", "-authorityID", name)


def find_spire() -> Path:
    """The folder of the binaries; without them these tests are skipped, also where everything is required: they take
    long to build, and Go."""
    named = os.environ.get("SPIRE_BIN")
    folder = Path(named) if named else Path.home() / ".cache" / "extauthz" / f"spire-{VERSION}"
    if (folder / "spire-server").exists() and (folder / "spire-agent").exists():
        return folder
    message = f"no SPIRE in `{folder}`; run `make spire`, which needs Go, or name its folder in `SPIRE_BIN`"
    pytest.skip(message)


@contextmanager
def running_spire(binaries: Path) -> Iterator[Spire]:
    """Run it; when this begins, the agent hands out SVIDs of `WEB` to this process."""
    folder = Path(tempfile.mkdtemp(prefix="spire-"))  # not pytest's tmp_path: the name of a socket must be short
    spire = Spire(binaries, folder)
    try:
        with Processes() as processes:
            texts = {"folder": folder, "domain": DOMAIN, "port": free_port()}
            (folder / "server.conf").write_text(_SERVER.format(**texts))
            (folder / "agent.conf").write_text(_AGENT.format(**texts))
            server = _start(processes, spire, "spire-server", "run", "-config", "server.conf")
            server.wait_until(lambda: _healthy(spire, "spire-server", "server.sock"), seconds=START_SECONDS)
            (folder / "bundle.pem").write_text(spire.bundle("pem"))
            token = json.loads(spire.server("token", "generate", "-spiffeID", AGENT, "-output", "json"))["value"]
            selector = f"unix:uid:{os.getuid()}"
            spire.server("entry", "create", "-parentID", AGENT, "-spiffeID", WEB, "-selector", selector)
            agent = _start(processes, spire, "spire-agent", "run", "-config", "agent.conf", "-joinToken", token)
            agent.wait_until(lambda: _healthy(spire, "spire-agent", "agent.sock"), seconds=START_SECONDS)
            agent.wait_until(lambda: _knows_us(spire), seconds=START_SECONDS)
            yield spire
    finally:
        shutil.rmtree(folder)


def _start(processes: Processes, spire: Spire, name: str, *arguments: str) -> Child:
    log = spire.folder / f"{name}.log"
    return processes.start(name, [spire.binaries / name, *arguments], log=log, folder=spire.folder)


def _healthy(spire: Spire, name: str, address: str) -> bool:
    command: list[str | Path] = [spire.binaries / name, "healthcheck", "-socketPath", spire.folder / address]
    return subprocess.run(command, check=False, capture_output=True, timeout=30).returncode == 0


def _knows_us(spire: Spire) -> bool:
    command: list[str | Path] = [
        spire.binaries / "spire-agent",
        "api",
        "fetch",
        "x509",
        "-socketPath",
        spire.folder / "agent.sock",
    ]
    known = subprocess.run(command, check=False, capture_output=True, timeout=30).returncode == 0
    if not known:
        time.sleep(0.1)
    return known
