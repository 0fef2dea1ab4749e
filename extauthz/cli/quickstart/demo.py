"""The running demo: the service, extauthz and Envoy, started together and ready together.

Rule kept here: nothing is guessed with a sleep. Each part says itself that it is ready, and where it listens.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pyotp

from extauthz.cli.quickstart.envoy import Admin, envoy_command, find_envoy, render_bootstrap
from extauthz.cli.quickstart.layout import Layout
from extauthz.cli.quickstart.local_http import answers
from extauthz.cli.quickstart.people import ALICE
from extauthz.cli.quickstart.processes import Processes, ProcessFailed
from extauthz.cli.quickstart.tokens import ISSUER

START_SECONDS = 30.0

# The command itself, with the interpreter that runs this.
EXTAUTHZ = (sys.executable, "-m", "extauthz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What runs: `url` is Envoy's, `authenticator` makes Alice's codes."""

    layout: Layout
    url: str
    authenticator: pyotp.TOTP


def start(layout: Layout, processes: Processes) -> Demo:
    """Start everything in the folder of `layout` and wait until it answers.

    Raises:
        ConfigurationError: there is no Envoy.
        ProcessFailed: a part ended or did not get ready.
    """
    binary = find_envoy()
    layout.bootstrap.write_text(render_bootstrap(layout))
    authenticator = _enroll(layout)
    service = processes.start(
        "the demo service",
        [
            *(sys.executable, "-m", "extauthz.cli.quickstart.upstream"),
            *("--socket", layout.sockets["upstream"], "--issuer-key", layout.issuer_key),
        ],
        log=layout.log("upstream"),
        folder=layout.folder,
    )
    extauthz = processes.start(
        "extauthz",
        [*EXTAUTHZ, "serve", "--config", layout.configuration],
        log=layout.log("extauthz"),
        folder=layout.folder,
        environment=_environment(),
    )
    envoy = processes.start(
        "envoy", envoy_command(binary, layout.bootstrap), log=layout.log("envoy"), folder=layout.folder
    )
    service.wait_until(lambda: answers(layout.sockets["upstream"], "/healthz"), seconds=START_SECONDS)
    extauthz.wait_until(lambda: answers(layout.sockets["probes"], "/ready"), seconds=START_SECONDS)
    admin = Admin(layout.sockets["admin"])
    envoy.wait_until(admin.ready, seconds=START_SECONDS)
    return Demo(layout=layout, url=f"https://localhost:{admin.port('https')}", authenticator=authenticator)


def _enroll(layout: Layout) -> pyotp.TOTP:
    """Alice's second factor, enrolled with the command that an operator would use."""
    command = [
        *(*EXTAUTHZ, "factors", "enroll", ALICE.sub, "--issuer", ISSUER),
        *("--config", str(layout.configuration), "--format", "json"),
    ]
    done = subprocess.run(  # noqa: S603 - the command is ours, no shell reads it
        command, env=_environment(), cwd=layout.folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ProcessFailed("`extauthz factors enroll` failed", done.stderr)
    authenticator = pyotp.parse_uri(json.loads(done.stdout)["uri"])
    if not isinstance(authenticator, pyotp.TOTP):
        raise ProcessFailed("`extauthz factors enroll` did not enroll a time-based factor", done.stdout)
    return authenticator


def _environment() -> dict[str, str]:
    """Ours, without what would override the configuration of the demo."""
    return {name: value for name, value in os.environ.items() if not name.startswith("EXTAUTHZ_")}
