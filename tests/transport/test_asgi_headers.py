"""What a call by ASGI says in its headers: how long it has waited, how long its caller waits, and its span."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.record.decision import TRACE_HEADERS
from extauthz.transport.asgi_headers import read
from extauthz.transport.framing import CallFailed
from extauthz.transport.methods import ARRIVED

SPAN = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
A_WHILE = 0.2
"""Seconds that a machine may take between two looks at its clocks."""

texts = st.binary(max_size=20)
names = st.sampled_from([b"te", b"x-request-id", b"traceparentx", *(name.encode() for name in TRACE_HEADERS)])


def arrived(ago: float) -> tuple[bytes, bytes]:
    return ARRIVED.encode(), b"%d" % ((time.time() - ago) * 1e6)


@pytest.mark.parametrize(
    ("timeout", "ago", "late"),
    [
        (b"1S", 0.7, True),
        (b"1S", 0.2, False),
        (b"1H", 1.5, True),
        (None, 1.5, True),
        (None, 0.5, False),
        (b"2S", -3600, False),
    ],
)
def test_a_call_is_late_that_waited_half_of_what_its_caller_does_or_a_second(
    timeout: bytes | None, ago: float, late: bool
) -> None:
    headers = [arrived(ago)] if timeout is None else [(b"grpc-timeout", timeout), arrived(ago)]
    assert read(headers).begin() == late


def test_where_nobody_tells_when_a_call_came_it_came_now() -> None:
    said = read([(b"grpc-timeout", b"3S")])
    assert not said.begin()
    remaining = said.remaining()
    assert remaining is not None
    assert 3 - A_WHILE < remaining <= 3


@pytest.mark.parametrize(("ago", "left"), [(1, 2), (5, -2), (-3600, 3)])
def test_what_a_call_waited_is_gone_of_its_time(ago: float, left: float) -> None:
    said = read([arrived(ago), (b"grpc-timeout", b"3S")])
    said.begin()
    remaining = said.remaining()
    assert remaining is not None
    assert left - A_WHILE < remaining <= left + 1e-3


def test_who_says_no_time_waits_without_end() -> None:
    said = read([arrived(1)])
    said.begin()
    assert said.remaining() is None


@given(st.lists(st.tuples(names, texts)))
def test_the_trace_is_what_came_of_it_in_that_order(headers: list[tuple[bytes, bytes]]) -> None:
    known = [(name.decode(), value.decode("ascii", "replace")) for name, value in headers]
    assert read(headers).trace == tuple(one for one in known if one[0] in TRACE_HEADERS)


@pytest.mark.parametrize("wrong", [(b"grpc-timeout", b"soon"), (b"grpc-timeout", b"0S"), (b"grpc-encoding", b"gzip")])
def test_what_a_call_may_not_say_ends_it(wrong: tuple[bytes, bytes]) -> None:
    with pytest.raises(CallFailed):
        read([(b"traceparent", SPAN), wrong])


@pytest.mark.parametrize("text", [b"", b"soon", b"-1", b"1.5", b" 1", b"1_0", b"12x"])
def test_a_time_that_is_no_number_of_ours_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"no(t a)? whole number"):
        read([(ARRIVED.encode(), text)])
