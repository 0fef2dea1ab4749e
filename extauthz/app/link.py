"""What a server inside of another process and the parent that started it tell each other.

It is the server's standard input, a pair of sockets. The rule: a server whose parent is gone is gone, too, as if the
two were one process. Nobody would stop it, and whoever is started in its place would find the address taken.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

if TYPE_CHECKING:  # it carries settings and reads none: whoever is told of them imports them
    from extauthz.settings import Settings

STANDARD_INPUT: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What to serve: said once, first.

    `admin` is the socket of the admin interface of the Envoy that the server is in, if it is in one; `environ` the
    environment of the parent, and `executable` its Python; `number` tells a server from others of the same parent.
    """

    settings: "Settings"
    admin: Path | None
    environ: Mapping[str, str] = field(repr=False)  # it has secrets
    executable: str
    number: int | None


class Begin(msgspec.Struct, frozen=True):
    """Answer calls as soon as policies of this revision are in force."""

    revision: str


class Stop(msgspec.Struct, frozen=True):
    """Answer what is on its way, and end."""


class Reload(msgspec.Struct, frozen=True):
    """Read the files again."""


class Ask(msgspec.Struct, frozen=True):
    """Say that you are there: the link itself answers, on the server's event loop."""


class Alive(msgspec.Struct, frozen=True):
    """The event loop of the server still turns."""


class Failed(msgspec.Struct, frozen=True):
    """The server can't serve; `message` says why, for a person."""

    message: str


class InForce(msgspec.Struct, frozen=True):
    """Policies of this revision are in force, or will be once the server may begin."""

    revision: str


class Serving(msgspec.Struct, frozen=True):
    """The server answers calls at this address."""

    address: str


class Stopped(msgspec.Struct, frozen=True):
    """All is closed and written."""


Order = Begin | Stop | Reload
Report = Failed | InForce | Serving | Stopped
Said = Assignment | Order | Ask
"""By the parent."""
Heard = Report | Alive
"""From the server."""


class ServerEnd:
    """The server's end: carries out orders, on an event loop."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    def of_this_process(cls) -> tuple[Self, Assignment]:
        """The link, and what is to be served. Blocks until that is said; raises `EOFError` if it never is."""
        connection = Connection(os.dup(STANDARD_INPUT))
        assignment: Assignment = connection.recv()
        return cls(connection), assignment

    def follow(
        self, loop: asyncio.AbstractEventLoop, on_order: Callable[[Order], None], *, clean_up: Callable[[], None]
    ) -> None:
        """From now on, call `on_order` on the loop for each order, and answer there when the parent asks; end this
        process when the parent is gone.

        `clean_up` is called before that, as the parent can't do it any more. In a thread: a loop that hangs must not
        keep a server alive whom nobody watches.
        """

        def listen() -> None:
            while True:
                try:
                    order: Order | Ask = self._connection.recv()
                except (EOFError, OSError):
                    clean_up()
                    os._exit(1)
                with suppress(RuntimeError):  # the loop is closed: this process is about to end
                    if isinstance(order, Ask):
                        loop.call_soon_threadsafe(self.report, Alive())
                    else:
                        loop.call_soon_threadsafe(on_order, order)

        threading.Thread(target=listen, name="link", daemon=True).start()

    def report(self, report: Heard) -> None:
        """Tell the parent; it may be gone."""
        try:
            self._connection.send(report)
        except OSError:
            return
