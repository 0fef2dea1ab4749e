"""A walk through a page as a new user takes it: an empty folder, its files, its commands, and what they print.

What differs from the page: ports are free ones, the installed environment's commands come first in PATH, and Envoy is
told that other Envoys run on this machine.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from consoles import Shell, steps, write
from e2e.conftest import missing
from ports import free_port

from extauthz.cli.quickstart.envoy import find_envoy
from extauthz.errors import ConfigurationError

DOCS = Path(__file__).parents[2] / "docs"
LISTENED = {"GRPC": "9191", "WEB": "9192", "ADMIN": "9193", "APPROVALS": "9194"}
"""The default ports of extauthz, by the settings that name them."""


class Walk:
    """A folder, a shell in it, and the free ports that stand for those of the page."""

    def __init__(self, folder: Path, shell: Shell, ports: Mapping[str, str]) -> None:
        self.folder, self.shell, self.ports = folder, shell, ports
        self.ran = 0

    def moved(self, text: str) -> str:
        """The text with the free ports."""
        for port, free in self.ports.items():
            text = re.sub(rf"((?:localhost|127\.0\.0\.1)(?:\"?, |:|, port_value: )){port}\b", rf"\g<1>{free}", text)
        return text

    def take(self, page: str) -> None:
        """Write the files of the page and run its commands, in their order; each prints what the page shows."""
        for step in steps(page):
            if step.file:
                write(self.folder, step._replace(text=self.moved(step.text)))
            else:
                self.shell.show(step, re.sub(r"^envoy ", "envoy --use-dynamic-base-id ", self.moved(step.text)))
                self.ran += 1


@contextmanager
def walking(folder: Path, *, others: tuple[str, ...] = ()) -> Iterator[Walk]:
    """A walk in `folder`; `others` are the ports of the page beside those of extauthz."""
    for name in ("bash", "curl", "openssl"):
        if shutil.which(name) is None:
            missing(f"the walk needs `{name}`")
    try:
        find_envoy()
    except ConfigurationError as error:
        missing(str(error))
    ports = {port: str(free_port()) for port in (*LISTENED.values(), *others)}
    shell = Shell(folder, {f"EXTAUTHZ_LISTEN__{name}": f"127.0.0.1:{ports[port]}" for name, port in LISTENED.items()})
    try:
        yield Walk(folder, shell, ports)
    finally:
        shell.close()
