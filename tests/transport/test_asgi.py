"""The ASGI application, driven by events of ASGI alone: what an Envoy can't be brought to do when it suits a test."""

import asyncio
import weakref
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from checking import Bench, beginning_with, told
from grpc_health.v1 import health_pb2
from kept_records import Records

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.check.checker import Checker
from extauthz.record.brief import Decided
from extauthz.store.protocol import Found
from extauthz.transport import asgi, asgi_health
from extauthz.transport.asgi import AsgiTransport
from extauthz.transport.framing import framed
from extauthz.transport.methods import ARRIVED, CHECK, HEALTH_WATCH

Event = MutableMapping[str, Any]
TRIES = 10
TURNS = 20
"""Turns of an event loop in which whatever waits for nothing else is over."""
PATIENCE = 5.0
RECORDED = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: site}
spec:
  rules:
    - {name: open, paths: ["/open"], effect: allow}
    - {name: recorded, paths: ["/recorded"], effect: allow, audit: required}
"""


class Opened:
    """A listener that is where it is."""

    async def open(self) -> str:
        return "127.0.0.1:9191"

    async def close(self) -> None:
        return None


@dataclass
class Caller:
    """One call: what it sends, and what came for it. Once `gone` is set, sending to it fails as ASGI has it."""

    body: bytes
    path: str = CHECK
    headers: tuple[tuple[bytes, bytes], ...] = ()
    gone: bool = False
    heard: list[Event] = field(default_factory=list)

    async def receive(self) -> Event:
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def send(self, event: Event) -> None:
        if self.gone:
            raise OSError("the stream is closed")
        self.heard.append(event)

    def call(self, transport: AsgiTransport) -> Awaitable[None]:
        scope = {"type": "http", "raw_path": self.path.encode(), "headers": list(self.headers)}
        return transport(scope, self.receive, self.send)

    @property
    def messages(self) -> list[bytes]:
        return [event["body"][5:] for event in self.heard if event["type"].endswith("body") and event["body"]]

    @property
    def status(self) -> int:
        (status,) = [
            int(value) for event in self.heard for name, value in event.get("headers", ()) if name == b"grpc-status"
        ]
        return status

    @property
    def reason(self) -> str:
        (message,) = self.messages
        return told(CheckResponse.FromString(message))["reason"]


@dataclass
class PyvoyCaller(Caller):
    """One as pyvoy has it, whose message comes when the test says so, as what a future comes to be."""

    coming: asyncio.Future[Event] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def receive(self) -> asyncio.Future[Event]:  # type: ignore[override] # to be awaited, as what it stands for
        return self.coming

    def comes(self) -> None:
        self.coming.set_result({"type": "http.request", "body": self.body, "more_body": False})


class Said(dict[str, Any]):
    """A scope of which one can see whether it is still there."""


def scene(checker: Checker, play: Callable[[AsgiTransport], Awaitable[None]]) -> None:
    """Play it on an event loop."""

    async def playing() -> None:
        transport = AsgiTransport(checker, Opened())
        await transport.start()
        await play(transport)

    asyncio.run(playing())


def test_waiting_calls_are_capped_and_the_others_are_served(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "WAITING", 3)

    async def play(transport: AsgiTransport) -> None:
        go_on = asyncio.Event()

        async def slow(*_: object, **__: object) -> Found:
            await go_on.wait()
            return Found()

        monkeypatch.setattr(bench.store, "look_up", slow)
        waiting = [Caller(framed(bench.as_user("/pay?amount=5000"))) for _ in range(3)]
        tasks = [asyncio.ensure_future(one.call(transport)) for one in waiting]
        await asyncio.sleep(0)
        refused, served = Caller(framed(bench.as_user("/pay?amount=5000"))), Caller(framed(bench.request("/health")))
        await refused.call(transport)
        await served.call(transport)
        assert (refused.reason, served.reason) == ("overloaded", "allowed")
        assert transport.refusals.counts == {"turn": 0, "waiting": 1}
        assert not any(task.done() for task in tasks)
        go_on.set()
        await asyncio.gather(*tasks)
        assert {one.reason for one in waiting} == {"proof-required"}
        after = Caller(framed(bench.as_user("/pay?amount=5000")))
        await after.call(transport)
        assert after.reason == "proof-required"

    scene(bench.checker, play)


class HeldTrail(Records):
    """An audit trail whose disk is as slow as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[Future[None]] = []

    def commit(self, record: Decided) -> Future[None]:  # noqa: ARG002 - the signature is a trail's
        """Take one that somebody waits for."""
        self.commits.append(Future())
        return self.commits[-1]


def test_an_answer_that_waits_for_its_record_holds_nobody_up(bench: Bench) -> None:
    trail = HeldTrail()
    checker = Checker(bench.checker.ruling, replace(bench.surroundings, recorder=trail))
    recorded = replace(bench, checker=checker)
    recorded.decide_by(RECORDED)

    async def play(transport: AsgiTransport) -> None:
        waiting = Caller(framed(bench.request("/recorded")))
        task = asyncio.ensure_future(waiting.call(transport))
        await asyncio.sleep(0)
        other = Caller(framed(bench.request("/open")))
        await other.call(transport)
        assert (other.reason, waiting.heard, len(trail.commits)) == ("allowed", [], 1)
        trail.commits[0].set_result(None)
        await task
        assert waiting.reason == "allowed"

    scene(checker, play)


def test_an_answer_without_its_record_is_a_denial_before_the_deadline(bench: Bench) -> None:
    trail = HeldTrail()
    checker = Checker(bench.checker.ruling, replace(bench.surroundings, recorder=trail))
    replace(bench, checker=checker).decide_by(RECORDED)

    async def play(transport: AsgiTransport) -> None:
        for _ in range(TRIES):
            caller = Caller(framed(bench.request("/recorded")), headers=((b"grpc-timeout", b"100m"),))
            await caller.call(transport)
            assert trail.commits[-1].cancelled()
            if caller.reason == "audit-unavailable":
                return
            # On a busy machine both waits end in one turn of the loop, and the transport is first.
            assert caller.reason == "state-unavailable"
        raise AssertionError("never told why")

    scene(checker, play)


@dataclass
class SlowCaller(Caller):
    """One whose message comes in two pieces."""

    async def receive(self) -> Event:
        piece, self.body = self.body[:20], self.body[20:]
        return {"type": "http.request", "body": piece, "more_body": bool(self.body)}


def test_a_call_that_came_long_ago_is_refused_unless_its_message_was_still_to_come(bench: Bench) -> None:
    async def play(transport: AsgiTransport) -> None:
        message, headers = framed(bench.request("/health")), ((ARRIVED.encode(), b"1"),)
        late, whole, slow = (
            Caller(message, headers=headers),
            Caller(message + b"behind", headers=headers),
            SlowCaller(message, headers=headers),
        )
        for one in (late, whole, slow):
            await one.call(transport)
        assert (late.reason, whole.reason, slow.reason) == ("overloaded", "overloaded", "allowed")
        assert transport.refusals.counts == {"turn": 2, "waiting": 0}

    scene(bench.checker, play)


def test_nobody_hears_of_a_caller_that_is_gone(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    async def play(transport: AsgiTransport) -> None:
        await Caller(framed(bench.request("/health")), gone=True).call(transport)
        await transport.stop(1)

    scene(bench.checker, play)
    assert capsys.readouterr().out == ""


def test_an_error_of_ours_is_a_status_and_in_the_log(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(*_: object, **__: object) -> bytes:
        raise RuntimeError("upside down")

    async def play(transport: AsgiTransport) -> None:
        caller = Caller(framed(bench.request("/health")))
        await caller.call(transport)
        assert (caller.status, caller.messages) == (13, [])

    scene(beginning_with(fails, bench.checker), play)
    assert "upside down" in capsys.readouterr().out


def test_the_checker_knows_the_callers_span_and_how_long_it_waits(bench: Bench) -> None:
    known: list[tuple[object, float | None]] = []
    start = bench.checker.start

    def noting(payload: bytes, trace: Any, remaining: Any, may_wait: bool) -> Any:
        known.append((trace, remaining()))
        return start(payload, trace, remaining, may_wait)

    span = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    async def play(transport: AsgiTransport) -> None:
        headers = ((b"grpc-timeout", b"3S"), (b"traceparent", span), (b"x-other", b"\xff"))
        await Caller(framed(bench.request("/health")), headers=headers).call(transport)
        await Caller(framed(bench.request("/health"))).call(transport)

    scene(beginning_with(noting, bench.checker), play)
    (trace, remaining), (none, endless) = known
    assert trace == (("traceparent", span.decode()),)
    assert remaining is not None
    assert 0 < remaining <= 3
    assert (none, endless) == ((), None)


def test_a_watch_tells_the_end_and_ends_and_stopping_waits_for_it(bench: Bench) -> None:
    async def play(transport: AsgiTransport) -> None:
        caller = Caller(framed(b""), path=HEALTH_WATCH)
        watching = asyncio.ensure_future(caller.call(transport))
        await asyncio.sleep(0)
        transport.drain()
        await transport.stop(5)
        assert watching.done()
        said = [health_pb2.HealthCheckResponse.FromString(one).status for one in caller.messages]
        assert said == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]
        assert caller.status == 14

    scene(bench.checker, play)


def test_a_watcher_that_left_is_noticed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi_health, "LOOK_AFTER", 0.01)

    async def play(transport: AsgiTransport) -> None:
        caller = Caller(framed(b""), path=HEALTH_WATCH)
        watching = asyncio.ensure_future(caller.call(transport))
        await asyncio.sleep(0.05)
        assert not watching.done()
        caller.gone = True
        await asyncio.wait_for(watching, 5)
        assert len(caller.messages) == 1

    scene(bench.checker, play)


def test_stopping_waits_for_calls_only_as_long_as_it_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(*_: object, **__: object) -> Found:
        await asyncio.Event().wait()
        return Found()

    monkeypatch.setattr(bench.store, "look_up", hangs)

    async def play(transport: AsgiTransport) -> None:
        waiting = asyncio.ensure_future(Caller(framed(bench.as_user("/pay?amount=5000"))).call(transport))
        await asyncio.sleep(0)
        await transport.stop(0.01)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])

    scene(bench.checker, play)


def test_what_a_call_says_of_itself_is_gone_while_its_message_is_still_to_come(bench: Bench) -> None:
    async def play(transport: AsgiTransport) -> None:
        caller = PyvoyCaller(framed(bench.request("/health")))
        scope = Said(type="http", raw_path=CHECK.encode(), headers=[])
        there = weakref.ref(scope)
        call = transport(scope, caller.receive, caller.send)
        del scope
        assert there() is None
        caller.comes()
        await call
        assert caller.reason == "allowed"

    scene(bench.checker, play)


def test_a_check_that_waits_for_nothing_but_its_message_is_no_task(bench: Bench) -> None:
    tasks: list[object] = []
    start = bench.checker.start

    def noting(payload: bytes, trace: Any, remaining: Any, may_wait: bool) -> Any:
        tasks.append(asyncio.current_task())
        return start(payload, trace, remaining, may_wait)

    async def play(transport: AsgiTransport) -> None:
        caller = PyvoyCaller(framed(bench.request("/health")))
        call = caller.call(transport)
        caller.comes()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert caller.reason == "allowed"
        await asyncio.wait_for(call, PATIENCE)  # which is over

    scene(beginning_with(noting, bench.checker), play)
    assert tasks == [None]


def test_stopping_waits_for_a_check_whose_message_is_still_to_come(bench: Bench) -> None:
    async def play(transport: AsgiTransport) -> None:
        caller = PyvoyCaller(framed(bench.request("/health")))
        caller.call(transport)
        stopping = asyncio.ensure_future(transport.stop(5))
        for _ in range(TURNS):
            await asyncio.sleep(0)
        assert not stopping.done()
        caller.comes()
        await stopping
        assert caller.reason == "allowed"

    scene(bench.checker, play)


def test_a_caller_that_leaves_before_its_message_has_come_is_not_waited_for(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    async def play(transport: AsgiTransport) -> None:
        caller = PyvoyCaller(b"")
        call = caller.call(transport)
        caller.coming.set_result({"type": "http.disconnect"})
        await call
        await asyncio.wait_for(transport.stop(2 * PATIENCE), PATIENCE)
        assert caller.heard == []

    scene(bench.checker, play)
    assert capsys.readouterr().out == ""


def test_a_check_whose_message_is_given_up_is_over(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    async def play(transport: AsgiTransport) -> None:
        caller = PyvoyCaller(b"")
        call = caller.call(transport)
        caller.coming.cancel()
        await asyncio.wait_for(call, PATIENCE)
        await asyncio.wait_for(transport.stop(2 * PATIENCE), PATIENCE)
        assert caller.heard == []

    scene(bench.checker, play)
    assert capsys.readouterr().out == ""


@dataclass
class WaitingCaller(Caller):
    """One to whom nothing can be sent at once."""

    async def send(self, event: Event) -> None:
        await asyncio.sleep(0)
        self.heard.append(event)


def test_an_answer_that_can_not_be_sent_at_once_is_an_error(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    async def play(transport: AsgiTransport) -> None:
        caller = WaitingCaller(framed(bench.request("/health")))
        await caller.call(transport)
        assert (caller.status, caller.messages) == (13, [])

    scene(bench.checker, play)
    assert "to be waited for" in capsys.readouterr().out
