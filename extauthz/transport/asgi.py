"""The `pyvoy` transport: gRPC over ASGI, in an Envoy whose process this Python is in.

Everything is on one event loop. A Check that needs no look-up is answered without giving way (`asgi_checks`); one that
must wait is a coroutine meanwhile, of which thousands fit. One that is held for an approval keeps as little as it can.
The rules: nothing raises, for an exception would be a page of HTML to a caller of gRPC; and nothing blocks, for
everybody would wait.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import structlog

from extauthz.check.checker import Checker
from extauthz.check.holding import Held
from extauthz.check.opened import Opened
from extauthz.transport.asgi_checks import (
    END,
    GRPC,
    MAY_WAIT,
    START,
    Check,
    Checks,
    Event,
    Receive,
    Send,
    UnderWay,
)
from extauthz.transport.asgi_headers import Headers, Said, read
from extauthz.transport.asgi_health import Health
from extauthz.transport.callers import Callers
from extauthz.transport.calls import ANSWER_MARGIN, LONGEST_WAIT, Overload, Refusals, caller_gone, too_late
from extauthz.transport.framing import (
    CallFailed,
    Code,
    framed,
    no_message,
    status_headers,
    unframed,
)
from extauthz.transport.methods import CALLER, CHECK, HEALTH_CHECK, HEALTH_WATCH, SERVICE

WAITING: Final = 4096
"""Calls that may wait at a time. Each takes some 20 kB."""

Scope = MutableMapping[str, Any]

_CHECK: Final = CHECK.encode()
_HEALTH_CHECK: Final = HEALTH_CHECK.encode()
_HEALTH_WATCH: Final = HEALTH_WATCH.encode()
_CALLER: Final = CALLER.encode()

_log = structlog.get_logger(__name__)


class CallerGone(OSError):
    """Nobody waits for the answer any more; an `OSError`, as what `send` raises then (ASGI, "Disconnected Client")."""


class Listener(Protocol):
    """What takes the calls that come by ASGI."""

    async def open(self) -> str:
        """Take calls from now on; returns the address."""

    async def close(self) -> None:
        """Ask callers to go elsewhere, and take no new calls; returns when all have gone."""


class AsgiTransport:
    """Authorization and grpc.health.v1 as an ASGI application. Belongs to one event loop."""

    name: Final = "pyvoy"

    def __init__(self, checker: Checker, listener: Listener, *, callers: Callers | None = None) -> None:
        self.refusals = Refusals()
        """The calls that it has refused under overload."""
        self.callers = callers
        """Who may call, where certificates say that; it counts the others."""
        self._checker = checker
        self._listener = listener
        self._address = ""
        self._health = Health(("", SERVICE))
        self._waiting = 0
        self._under_way = UnderWay()
        self._checks = Checks(checker, self.refusals, self._under_way, self)
        self._tasks: set[asyncio.Future[None]] = set()
        """Of Checks that wait; an event loop keeps none."""

    @property
    def address(self) -> str:
        """Where it listens, once it does."""
        return self._address

    async def start(self) -> None:
        """Take calls, and report SERVING."""
        self._address = await self._listener.open()
        self._health.serving()

    def drain(self) -> None:
        """Report NOT_SERVING, so that the callers' health checks look elsewhere, and hold no calls any more."""
        self._health.drain()
        if self._checker.holding is not None:
            self._checker.holding.close()

    async def stop(self, grace: float) -> None:
        """Take no new calls, and give those on their way `grace` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._listener.close()
                await self._under_way.none_left()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """One call. Never raises.

        What a call says of itself is read at once: it is kilobytes in many objects, which go before the next call comes
        instead of waiting with it for its message.
        """
        try:
            path, headers = scope["raw_path"], scope["headers"]
            if path == _CHECK:
                if self.callers is not None:
                    _let_in(self.callers, headers)
                return self._checks.take(read(headers), receive, send)
            call = self._other(path, headers, receive, send)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a status
            call = _failing(error)
        self._under_way.come()
        return _carried(call, send, self._under_way.leave)

    def gather(self, check: Check, event: Event) -> None:
        """Go on with a Check of whose message no more than this event has come."""
        self._go_on(check, self._gathered(check, event))

    def finish(self, check: Check, opened: Opened) -> None:
        """Go on with a Check that has to know more."""
        self._go_on(check, self._finished(opened, check.said, check.send))

    def fail(self, check: Check, error: Exception) -> None:
        """End a Check with a status."""
        self._go_on(check, _failing(error))

    def _go_on(self, check: Check, call: Awaitable[None]) -> None:
        task = asyncio.ensure_future(_carried(call, check.send, check.end))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _gathered(self, check: Check, event: Event) -> None:
        message, said = await _message(event, check.receive, CHECK), check.said
        begun = self._checker.start(message, said.trace, said.remaining, MAY_WAIT)
        if isinstance(begun, bytes):
            await _answer(begun, check.send)
        else:
            await self._finished(begun, said, check.send)

    async def _finished(self, opened: Opened, said: Said, send: Send) -> None:
        ended = await self._finish(opened, said.remaining())
        if isinstance(ended, Held):
            del opened
            await self._hold(ended, send)
        else:
            await _answer(ended, send)

    def _other(self, path: bytes, headers: Headers, receive: Receive, send: Send) -> Awaitable[None]:
        if path == _HEALTH_CHECK:
            read(headers)
            return self._tell_health(receive, send)
        if path == _HEALTH_WATCH:
            read(headers)
            return self._watch(receive, send)
        raise CallFailed(Code.UNIMPLEMENTED, "Method not found!")

    async def _tell_health(self, receive: Receive, send: Send) -> None:
        await _answer(self._health.check(await _message(await receive(), receive, HEALTH_CHECK)), send)

    async def _hold(self, held: Held, send: Send) -> None:
        """Answer a call that is held, when its wait is over.

        Before it is decided anew its caller hears that an answer comes: if nobody is there any more that raises, and
        nothing was used up for nobody.
        """
        holding = self._checker.holding
        assert holding is not None  # noqa: S101 - it holds the call
        answer: bytes | Held = held
        while isinstance(answer, Held):
            await holding.wait(answer)
            try:
                if answer is held:
                    await send(START)
                await send({"type": "http.response.body", "body": b"", "more_body": True})
            except OSError:
                self._checker.let_go(answer, caller_gone())
                raise
            answer = await self._resume(answer)
        await send({"type": "http.response.body", "body": framed(answer)})
        await send(END)

    async def _resume(self, held: Held) -> bytes | Held:
        started = self._checker.resume(held)
        return started if isinstance(started, bytes) else await self._finish(started, held.asked.remaining())

    async def _finish(self, opened: Opened, remaining: float | None) -> bytes | Held:
        if self._waiting >= WAITING:
            return self._checker.abandon(opened, self.refusals.one_more(Overload.WAITING))
        patience = LONGEST_WAIT if remaining is None else min(remaining, LONGEST_WAIT)
        self._waiting += 1
        try:
            async with asyncio.timeout(max(patience - ANSWER_MARGIN, 0)):
                return await self._checker.finish(opened, deadline=time.monotonic() + patience)
        except TimeoutError:
            return self._checker.abandon(opened, too_late(opened))
        finally:
            self._waiting -= 1

    async def _watch(self, receive: Receive, send: Send) -> None:
        """Tell how a service is and becomes, until it is over."""
        request = await _message(await receive(), receive, HEALTH_WATCH)
        told = self._health.status(request)
        await send(START)
        await send({"type": "http.response.body", "body": framed(told), "more_body": True})
        while not self._health.over:
            # What is sent without a message is nothing to a caller, and tells us whether there is one.
            news = await self._health.other_than(told, request)
            told = told if news is None else news
            await send({"type": "http.response.body", "body": framed(news) if news else b"", "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        await send({"type": "http.response.trailers", "headers": status_headers(Code.UNAVAILABLE, "shutting down")})


def _let_in(callers: Callers, headers: Headers) -> None:
    if not callers.admits(*_names(headers)):
        raise CallFailed(Code.PERMISSION_DENIED, callers.details)


def _names(headers: Headers) -> tuple[Sequence[str], Sequence[str]]:
    """The URI and DNS names in the caller's certificate, as our own Envoy tells them; none where it tells nothing."""
    for name, value in headers:
        if name == _CALLER:
            uris, _, hosts = value.decode("utf-8", "replace").rpartition(";")
            return tuple(_told(uris)), tuple(_told(hosts))
    return (), ()


def _told(names: str) -> Iterator[str]:
    return (name for name in names.split(",") if name not in {"", "-"})


async def _message(event: Event, receive: Receive, path: str) -> bytes:
    """The one message of a call whose first event this is; what may follow it is not waited for."""
    received = _body(event)
    message = unframed(received, path)
    if message is not None:
        return message
    return await _rest(receive, path, bytearray(received), more=event["more_body"])


async def _rest(receive: Receive, path: str, received: bytearray, *, more: bool) -> bytes:
    while more:
        event = await receive()
        received += _body(event)
        more = event["more_body"]
        message = unframed(received, path)
        if message is not None:
            return message
    raise no_message(path)


def _body(event: Event) -> bytes:
    if event["type"] == "http.disconnect":
        raise CallerGone
    body: bytes = event["body"]
    return body


async def _carried(call: Awaitable[None], send: Send, leave: Callable[[], None]) -> None:
    """Answer one call, which may take its time."""
    try:
        await call
    except OSError:
        pass
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a status
        await _fail(send, error)
    finally:
        leave()


async def _failing(error: Exception) -> None:
    raise error


async def _answer(message: bytes, send: Send) -> None:
    await send(START)
    await send({"type": "http.response.body", "body": framed(message)})
    await send(END)


async def _fail(send: Send, error: Exception) -> None:
    """End the call with a status alone."""
    if not isinstance(error, CallFailed):
        _log.error("call-failed", exc_info=error)
        error = CallFailed(Code.INTERNAL, "internal error")
    headers = [GRPC, *status_headers(error.code, error.details)]
    with suppress(OSError):
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
