"""Receivers of spans that are away, that hang or say little: memory is bounded, and nobody waits for them."""

import socket
import threading
import time
from contextlib import suppress

import pytest
from otlp_receivers import Receiver, Say, over_http
from ports import free_port
from record.exporting import RECEIVERS, decisions, tracing

from extauthz.record.otlp import Envelope
from extauthz.record.otlp_http import HttpCarrier
from extauthz.record.otlp_settings import read_otlp
from extauthz.record.outlet import CLOSING, Batching, NotNow, Outcome, Outlet, Parcel, Taken


def test_while_nobody_receives_memory_is_bounded_and_losses_are_counted(
    protocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    with tracing(endpoint, protocol, OTEL_BSP_MAX_QUEUE_SIZE="128") as spans:
        for start in range(0, 6_400, 64):
            spans.keep(decisions(64, first=start))
        counts = spans.counts
        assert counts.waiting <= 128
        assert counts.waiting + counts.dropped == 6_400
        assert counts.bytes < 128 * 2_000
        began = time.monotonic()
    assert time.monotonic() - began < 3 * CLOSING, "it gives up in the end"
    assert (spans.counts.exported, spans.counts.dropped, spans.counts.waiting) == (0, 6_400, 0)
    assert "spans-dropped" in capsys.readouterr().out


def test_whoever_comes_back_gets_what_waits(protocol: str) -> None:
    port = free_port()
    with tracing(f"http://127.0.0.1:{port}", protocol) as spans:
        spans.keep(decisions(10))
        time.sleep(0.1)  # for a first try
        with RECEIVERS[protocol](port=port) as receiver:
            receiver.wait_for(lambda found: len(found.spans) == 10)
            receiver.wait_for(lambda _: spans.counts.waiting == 0)
    assert (spans.counts.exported, spans.counts.dropped) == (10, 0)


def test_a_receiver_that_hangs_holds_nobody_up(receiver: Receiver, protocol: str) -> None:
    hanging = threading.Event()
    receiver.answers += [Say(wait=hanging)] * 5
    with tracing(receiver.endpoint, protocol, OTEL_BSP_MAX_QUEUE_SIZE="64") as spans:
        spans.keep(decisions(64))
        receiver.wait_for(lambda found: found.calls == 1)
        spans.keep(decisions(64, first=64))
        assert spans.counts.dropped == 64
    assert spans.counts.dropped == 128
    hanging.set()


def test_a_try_ends_after_its_time(receiver: Receiver, protocol: str) -> None:
    hanging = threading.Event()
    receiver.answers.append(Say(wait=hanging))
    with tracing(receiver.endpoint, protocol, OTEL_EXPORTER_OTLP_TIMEOUT="100") as spans:
        spans.keep(decisions(3))
        receiver.wait_for(lambda found: found.calls == 2)
        receiver.wait_for(lambda _: spans.counts.exported == 3)
        hanging.set()


@pytest.mark.parametrize(
    "said", ["HTTP/1.1 200 OK\r\nx: ", "HTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"]
)
def test_a_receiver_that_says_a_little_now_and_then_has_no_more_time(said: str) -> None:
    """Each of its bytes comes in time, and the end of its answer never."""
    over, seconds = threading.Event(), 0.5
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            with server.accept()[0] as connection, suppress(OSError):
                connection.recv(65_536)
                connection.sendall(said.encode())
                while not over.wait(0.05):
                    connection.sendall(said.encode() if "102" in said else b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        carrier = HttpCarrier(
            read_otlp({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}), Envelope(b"", b"", schema=""), agent="test"
        )
        outcome = carrier.carry([b""], seconds)
        over.set()
        thread.join()
        carrier.close()
    assert isinstance(outcome, Taken if said.endswith("OK\r\n\r\n") else NotNow)


class Gate:
    """A receiver that takes nothing before it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.tries = 0
        self.parcels: list[bytes] = []

    def carry(self, parcels: list[bytes], seconds: float) -> Outcome:
        self.tries += 1
        if not self.open.wait(seconds):
            return NotNow("closed")
        self.parcels += parcels
        return Taken()

    def close(self) -> None:
        self.open.set()


def test_what_waits_is_bounded_in_bytes() -> None:
    gate = Gate()
    batching = Batching(queue=10_000, most=512, delay=0.01, patience=30, size=1_000)
    outlet: Outlet[bytes] = Outlet(gate, batching, name="gate")  # type: ignore[arg-type]  # it takes lists alone
    for _ in range(50):
        outlet.put(Parcel(1, 100, b"x"))
    assert outlet.counts.bytes <= 1_000
    assert outlet.counts.dropped == 40
    gate.open.set()
    outlet.close()
    assert len(gate.parcels) == outlet.counts.exported == 10


@pytest.mark.parametrize(("most", "sizes"), [(1, {1}), (100, {64}), (512, {512, 448})])
def test_no_batch_is_larger_than_it_may_be(most: int, sizes: set[int]) -> None:
    with over_http() as receiver:
        with tracing(
            receiver.endpoint,
            "http/protobuf",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE=str(most),
            OTEL_BSP_SCHEDULE_DELAY="60000",
        ) as spans:
            for start in range(0, 960, 64):
                spans.keep(decisions(64, first=start))
            receiver.wait_for(lambda found: len(found.spans) >= 960 - most)
        found = {len(request.resource_spans[0].scope_spans[0].spans) for request in receiver.requests}
        assert found <= sizes
        assert len(receiver.spans) == 960
