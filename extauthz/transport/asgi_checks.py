"""Checks that come by ASGI, from their headers to their answer, as long as they wait for nothing but their message.

None is a coroutine or a task meanwhile: it is called when its message is there, and most have their answer then. What
waits for more goes on elsewhere, as a task. The rule: nothing raises.
"""

import asyncio
from asyncio import CancelledError, Future
from asyncio import Event as Signal
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from typing import Any, Final, Protocol, final

from extauthz.check.opened import Opened
from extauthz.errors import Refused
from extauthz.record.decision import Trace
from extauthz.transport.asgi_headers import Said
from extauthz.transport.calls import Overload, Refusals
from extauthz.transport.framing import at_once, framed

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

GRPC: Final = (b"content-type", b"application/grpc")
START: Final[Event] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [GRPC, (b"grpc-accept-encoding", b"identity")],
    "trailers": True,
}
END: Final[Event] = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}
MAY_WAIT: Final = False
"""This thread is that of the event loop."""


class Decides(Protocol):
    """What of a `Checker` is needed here."""

    def start(
        self, payload: bytes, trace: Trace, remaining: Callable[[], float | None], may_wait: bool
    ) -> bytes | Opened:
        """The answer, or what waits for more."""

    def turn_away(self, refused: Refused, *, trace: Trace, remaining: Callable[[], float | None]) -> bytes:
        """The answer to a Check that is not read."""


class Later(Protocol):
    """Goes on with what is not over at once, and answers it."""

    def gather(self, check: "Check", event: Event) -> None:
        """Wait for the rest of a message that begins with this event."""

    def finish(self, check: "Check", opened: Opened) -> None:
        """Wait for what it has to know."""

    def fail(self, check: "Check", error: Exception) -> None:
        """End it with a status."""


@final
class UnderWay:
    """Counts calls under way."""

    def __init__(self) -> None:
        self._calls = 0
        self._last_left: Signal | None = None  # made when somebody waits for it

    def come(self) -> None:
        """One more."""
        self._calls += 1

    def leave(self) -> None:
        """One less."""
        self._calls -= 1
        if not self._calls and self._last_left is not None:
            self._last_left.set()

    async def none_left(self) -> None:
        """Wait until the last has left."""
        if self._calls:
            self._last_left = Signal()
            await self._last_left.wait()


@final
class Checks:
    """What all Checks of a transport have in common."""

    def __init__(self, checker: Decides, refusals: Refusals, under_way: UnderWay, later: Later) -> None:
        self.checker = checker
        self.refusals = refusals
        self.under_way = under_way
        self.later = later

    def take(self, said: Said, receive: Receive, send: Send) -> "Check":
        """Ask for the message of a call that has said this of itself, and answer it when that is there."""
        first = receive()
        if not isinstance(first, Future):  # as pyvoy's are
            first = asyncio.ensure_future(first)
        check = Check(self, said, receive, send)
        first.add_done_callback(check)
        self.under_way.come()
        return check


@final
class Check:
    """One Check; to be awaited until it is over, by whoever wants to know. It is in place of a task of its own."""

    def __init__(self, checks: Checks, said: Said, receive: Receive, send: Send) -> None:
        self.said = said
        self.receive = receive
        self.send = send
        self._checks = checks
        self._over = False
        self._awaited: Future[None] | None = None

    def __call__(self, first: "Future[Event]") -> None:
        """Go on: the message is there, or as much of it as has come at once."""
        checks = self._checks
        try:
            event = first.result()
            late, message = self.said.begin(), at_once(event.get("body", b""))
            if message is None:  # what comes in pieces waits for its caller too
                checks.later.gather(self, event)
                return
            if late:
                overload = checks.refusals.one_more(Overload.TURN)
                begun: bytes | Opened = checks.checker.turn_away(
                    overload, trace=self.said.trace, remaining=self.said.remaining
                )
            else:
                begun = checks.checker.start(message, self.said.trace, self.said.remaining, MAY_WAIT)
            if not isinstance(begun, bytes):
                checks.later.finish(self, begun)
                return
            _now(self.send(START))
            _now(self.send({"type": "http.response.body", "body": framed(begun)}))
            _now(self.send(END))
        except (OSError, CancelledError):  # nobody waits for it any more
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a status
            checks.later.fail(self, error)
            return
        self.end()

    def end(self) -> None:
        """It is over."""
        self._over = True
        self._checks.under_way.leave()
        if self._awaited is not None:
            self._awaited.set_result(None)

    def add_done_callback(self, _: Callable[..., object], **__: object) -> None:
        """What pyvoy wants to be told is how a call failed; none does."""

    def __await__(self) -> Generator[Any, None, None]:
        if self._awaited is None:
            self._awaited = asyncio.get_running_loop().create_future()
            if self._over:
                self._awaited.set_result(None)
        yield from self._awaited


def _now(sent: Awaitable[None]) -> None:
    """Await what is over at once: all that is sent of an answer that comes whole."""
    for _ in sent.__await__():
        raise RuntimeError("what was sent at once is to be waited for")
