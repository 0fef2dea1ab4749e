"""Calls that begin and don't go on, on both transports: however many, all others are answered meanwhile."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from checking import Bench, told
from patience import GENEROUS, comes
from serving import Served
from transport.calling import OPEN, decided
from transport.raw_calls import Line, connected, framed

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.transport import grpcio
from extauthz.transport.grpcio import GrpcioTransport
from extauthz.transport.methods import CHECK, HEALTH_CHECK, HEALTH_WATCH
from extauthz.transport.workers import CALLERS, KEPT, Workers

CROWD = 90
"""Calls on a connection; Envoy takes a hundred."""
FEW = 5


class Halves:
    """A connection with calls that have begun, all of one method."""

    def __init__(self, connection: socket.socket, *, window: int | None) -> None:
        self._connection = connection
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        if window is not None:
            self._h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.ended: set[int] = set()
        """The streams that are over."""
        self.told: dict[int, list[Line]] = {}
        """The headers and trailers that came on each stream."""
        self.answered: dict[int, bytes] = {}
        """What else came on each stream."""

    def begin(self, calls: int, path: str, timeout: str | None) -> Sequence[int]:
        """Begin so many calls; returns their streams."""
        lines = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x")]
        more = [("content-type", "application/grpc"), ("te", "trailers")]
        if timeout is not None:
            more.append(("grpc-timeout", timeout))
        streams = [1 + 2 * number for number in range(calls)]
        for stream in streams:
            self._h2.send_headers(stream, [*lines, *more])
        self._connection.sendall(self._h2.data_to_send())
        return streams

    def go_on(self, streams: Sequence[int], message: bytes) -> None:
        """Send the message of these calls."""
        for stream in streams:
            self._h2.send_data(stream, framed(message), end_stream=True)
        self._connection.sendall(self._h2.data_to_send())

    def hear(self) -> None:
        """Take in what comes, for a second at most."""
        try:
            received = self._connection.recv(65_536)
        except TimeoutError:
            return
        assert received, "the connection is over"
        for event in self._h2.receive_data(received):
            match event:
                case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                    lines = [(str(name), str(value)) for name, value in event.headers]
                    self.told.setdefault(event.stream_id, []).extend(lines)
                case h2.events.DataReceived():
                    self.answered[event.stream_id] = self.answered.get(event.stream_id, b"") + (event.data or b"")
                case h2.events.StreamEnded() | h2.events.StreamReset():
                    assert event.stream_id
                    self.ended.add(event.stream_id)
                case _:
                    pass
        self._connection.sendall(self._h2.data_to_send())

    def heard(self, ended: int) -> bool:
        """Hear more; whether so many calls are over."""
        self.hear()
        return len(self.ended) == ended


@contextmanager
def halves(address: str, *, window: int | None = None) -> Iterator[Halves]:
    with connected(address) as connection:
        yield Halves(connection, window=window)


def is_decided(served: Served, *crowds: Halves) -> bool:
    """Whether another's call is decided as ever; one may be refused at first, but none goes without an answer. The
    connections of the others last: they answer when they are asked whether they are alive."""
    for crowd in crowds:
        crowd.hear()
    return decided(served, OPEN) == "allowed"


@pytest.mark.parametrize("timeout", [None, "1M"])
@pytest.mark.parametrize("path", [CHECK, HEALTH_CHECK, HEALTH_WATCH])
def test_calls_without_a_message_keep_nobody_waiting(served: Served, path: str, timeout: str | None) -> None:
    with halves(served.said["grpc"]) as crowd, halves(served.said["grpc"]) as another:
        crowd.begin(CROWD, path, timeout)
        another.begin(CROWD, path, timeout)
        # The first may be decided before all of the crowd has come.
        assert comes(lambda: all(is_decided(served, crowd, another) for _ in range(FEW)))


def test_a_message_that_comes_late_is_decided(served: Served) -> None:
    assert comes(partial(is_decided, served))  # crowds that are gone may still be ahead
    with halves(served.said["grpc"]) as few:
        streams = few.begin(FEW, CHECK, None)
        assert comes(partial(is_decided, served, few))
        few.go_on(streams, OPEN)
        assert comes(lambda: few.heard(ended=FEW))
        assert [dict(few.told[stream])["grpc-status"] for stream in streams] == ["0"] * FEW


def test_those_who_watch_and_take_nothing_in_keep_nobody_waiting(served: Served) -> None:
    with halves(served.said["grpc"], window=0) as crowd:
        crowd.go_on(crowd.begin(CROWD, HEALTH_WATCH, None), b"")
        assert comes(partial(is_decided, served, crowd))


def test_a_call_whose_message_never_comes_is_ended(served: Served) -> None:
    """After 20 seconds, on both transports."""
    assert comes(partial(is_decided, served))  # crowds that are gone may still be ahead
    assert comes(partial(is_waited_for_in_vain, served))


def is_waited_for_in_vain(served: Served) -> bool:
    """Whether a call without a message is ended unanswered. While others are ahead it may be refused at once."""
    with halves(served.said["grpc"]) as one:
        (stream,) = one.begin(1, CHECK, None)
        assert comes(lambda: one.heard(ended=1))
        answer = one.answered.get(stream, b"")
        if answer:
            assert told(CheckResponse.FromString(answer[len(framed(b"")) :]))["reason"] == "overloaded"
            return False
        assert dict(one.told.get(stream, [])).get("grpc-status") != "0"
        return True


def test_for_each_caller_too_many_the_first_one_is_sent_away() -> None:
    workers, cancelled, done = Workers(1), [], threading.Event()
    over = [threading.Event() for _ in range(CALLERS + FEW)]

    def cancel(number: int) -> None:
        cancelled.append(number)
        over[number].set()

    for number, event in enumerate(over):
        workers.submit(partial(workers.with_caller, event.wait, partial(cancel, number)))
    workers.submit(done.set)
    try:
        assert done.wait(GENEROUS)
        assert comes(lambda: len(cancelled) == FEW)
        assert 0 in cancelled
    finally:
        for event in over:
            event.set()
        workers.shutdown()


class Told(Workers):
    """Counts how often whoever looks at waits is told of one, and how many began unseen."""

    told = 0
    began = 0

    def _begun(self) -> None:
        super()._begun()
        self.began += 1

    def _watch_them(self) -> None:
        self.told += 1
        super()._watch_them()


def test_nobody_looks_at_waits_while_no_call_waits_for_its_turn() -> None:
    workers = Told(2)
    for _ in range(FEW):
        done = threading.Event()
        workers.submit(partial(workers.with_caller, done.set, bool))
        assert done.wait(GENEROUS)
        assert comes(lambda: not workers.waits.under_way)
    assert workers.told == 0
    workers.shutdown()


def test_a_call_that_comes_while_another_waits_for_its_caller_has_that_looked_at() -> None:
    workers, over, done = Told(1), threading.Event(), threading.Event()
    workers.submit(partial(workers.with_caller, over.wait, bool))
    assert comes(lambda: bool(workers.waits.under_way))
    workers.submit(done.set)
    assert workers.told or workers.waits.watched
    assert done.wait(GENEROUS)
    over.set()
    workers.shutdown()


def test_a_wait_that_begins_while_a_call_waits_for_its_turn_is_looked_at() -> None:
    workers, begin, over, done = Told(1), threading.Event(), threading.Event(), threading.Event()

    def late() -> None:
        begin.wait()
        workers.with_caller(over.wait, bool)

    workers.submit(late)
    workers.submit(done.set)
    begin.set()
    assert comes(lambda: bool(workers.began or workers.waits.watched))
    assert workers.told or workers.waits.watched
    assert done.wait(GENEROUS)
    over.set()
    workers.shutdown()


def test_the_threads_of_a_crowd_are_given_back_when_it_is_over() -> None:
    deciding, before, over = 2, set(threading.enumerate()), threading.Event()
    workers = Workers(deciding)

    def threads() -> int:
        return sum(one.name.startswith("check_") for one in set(threading.enumerate()) - before)

    beside = 1  # who watches callers
    for _ in range(2):  # and the next crowd finds as many as the first
        for _ in range(CALLERS):
            workers.submit(partial(workers.with_caller, over.wait, bool))
        assert comes(lambda: threads() >= CALLERS + deciding)
        over.set()
        assert comes(lambda: threads() <= deciding + KEPT + beside)
        done = threading.Event()
        workers.submit(done.set)
        assert done.wait(GENEROUS)
        over.clear()
    workers.shutdown()
    assert comes(lambda: threads() == 0)


def test_as_many_decide_at_a_time_after_a_wait_that_ended_while_another_came_to_stand_in() -> None:
    deciding, under_way, most, over = 2, list[None](), 0, threading.Event()

    class InThatVeryMoment(Workers):
        def _stand_in(self) -> None:
            over.set()
            assert comes(lambda: not self.waits.under_way)
            super()._stand_in()

    def decide() -> None:
        nonlocal most
        under_way.append(None)
        most = max(most, len(under_way))
        time.sleep(0.005)
        under_way.pop()

    workers = InThatVeryMoment(deciding)
    workers.submit(partial(workers.with_caller, over.wait, bool))
    assert over.wait(GENEROUS)
    time.sleep(0.1)  # until the other one is there
    for round_ in range(FEW):
        most = 0
        done = threading.Event()
        for _ in range(4 * deciding):
            workers.submit(decide)
        workers.submit(done.set)
        assert done.wait(GENEROUS)
        assert comes(lambda: not under_way)
        assert round_ == 0 or most <= deciding  # whoever is too many gives way after the next call
    workers.shutdown()


def test_a_caller_has_so_long_and_then_hears_that_its_call_is_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.new_event_loop()
    monkeypatch.setattr(grpcio, "Workers", partial(Workers, patience=0.1))
    transport = GrpcioTransport(bench.checker, loop, address="127.0.0.1:0")
    asyncio.run(transport.start())
    with halves(transport.address) as few:
        few.begin(FEW, CHECK, None)
        assert comes(lambda: few.heard(ended=FEW))
        assert {dict(few.told[stream])["grpc-status"] for stream in few.ended} == {"1"}
    asyncio.run(transport.stop(0))
    loop.close()
