"""Starts of a server in the process of the tests, which end as soon as it would serve."""

import asyncio
import encodings.idna  # noqa: F401 - looked for by any thread; once it was not found it is never there
import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from extauthz.app.exposed import refuse_exposed
from extauthz.app.server import run
from extauthz.errors import ExtauthzError
from extauthz.settings import load_settings
from extauthz.transport.grpcio import GrpcioTransport

NOBODY = 65_534


@dataclass
class Orders:
    """Those of a test: `ready` when it serves; with `at_once` it ends before that."""

    at_once: bool = False
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    stop: Callable[[], None] = lambda: None

    def obey(self, *, stop: Callable[[], None], reload: Callable[[], None]) -> None:  # noqa: ARG002 - as Orders has it
        self.stop = stop

    def in_force(self, revision: str) -> None:
        """Nobody asks."""

    async def begin(self) -> None:
        if self.at_once:
            self.stop()

    def serving(self, address: str) -> None:  # noqa: ARG002 - as Orders has it
        self.ready.set()


def refusal(config: Path, environ: Mapping[str, str], *, serve: bool = False) -> str | None:
    """What a start says that is refused, as the command does it; `None` if it would serve. With `serve` it does, for a
    moment."""

    async def starting() -> None:
        settings, loop = load_settings(config), asyncio.get_running_loop()
        refuse_exposed(settings, config)
        orders = Orders(at_once=not serve)

        def carry(checker: object) -> GrpcioTransport:
            listen = settings.listen
            return GrpcioTransport(
                checker,  # type: ignore[arg-type] # as `run` has it
                loop,
                address=listen.grpc,
                tls=settings.tls,
                sockets=listen.made_sockets,
            )

        running = asyncio.create_task(run(settings, environ, carry=carry, orders=orders))
        if serve:
            ready = asyncio.create_task(orders.ready.wait())
            await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
            orders.stop()
        await running

    try:
        asyncio.run(starting())
    except ExtauthzError as error:
        return str(error)
    return None


def refused_start(folder: Path, environ: Mapping[str, str], *, serve: bool = False) -> str:
    """What a start with this environment says that must be refused. As a process it ends with 1 and this line, which
    `test_starts` shows: here whatever is no refusal is raised."""
    with patch.dict(os.environ, environ, clear=True):
        said = refusal(folder / "extauthz.yaml", os.environ, serve=serve)
    assert said is not None, "it would serve"
    return said


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user without rights, where the tests are run by root."""
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
        importlib.invalidate_caches()  # folders that could not be read would count as empty
