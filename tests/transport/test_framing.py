"""gRPC's layer over HTTP/2: what is framed is read, however it is cut, and nothing else is."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.transport.framing import CallFailed, Code, at_once, framed, seconds_of, status_headers, unframed
from extauthz.transport.methods import CHECK, MAX_MESSAGE


@given(st.binary(max_size=300), st.binary(max_size=20))
def test_what_is_framed_is_read_whatever_is_behind_it(message: bytes, behind: bytes) -> None:
    assert unframed(framed(message) + behind, CHECK) == message


@given(st.binary(max_size=300), st.data())
def test_a_message_that_is_not_whole_is_none_yet(message: bytes, data: st.DataObject) -> None:
    whole = framed(message)
    assert unframed(whole[: data.draw(st.integers(0, len(whole) - 1))], CHECK) is None


@given(st.integers(0, 3000))
def test_a_message_is_behind_its_length_however_long(length: int) -> None:
    message = b"x" * length
    assert framed(message) == b"\0" + length.to_bytes(4, "big") + message


@given(st.binary(max_size=10), st.integers(0, 8), st.binary(max_size=10))
def test_what_is_taken_at_once_is_what_is_taken_in_pieces(flag: bytes, length: int, behind: bytes) -> None:
    received = flag + length.to_bytes(4, "big") + behind
    try:
        message = unframed(received, CHECK)
    except CallFailed:
        message = None
    assert at_once(received) == message


@pytest.mark.parametrize("length", [255, 256, 65_535, 65_536, MAX_MESSAGE - 1, MAX_MESSAGE])
def test_a_long_message_is_taken_at_once_too(length: int) -> None:
    received = framed(bytes(length))
    assert at_once(received) == bytes(length)
    assert at_once(received[:-1]) is None
    assert at_once(received + b"behind") == bytes(length)


def test_a_longer_one_is_never_taken_at_once() -> None:
    assert at_once(framed(bytes(MAX_MESSAGE + 1))) is None


@given(st.integers(2, 255), st.binary(max_size=50))
def test_a_flag_that_there_is_not_ends_a_call(flag: int, message: bytes) -> None:
    with pytest.raises(CallFailed, match="exactly one request message") as failed:
        unframed(bytes([flag]) + framed(message)[1:], CHECK)
    assert failed.value.code is Code.UNIMPLEMENTED


@given(st.integers(MAX_MESSAGE + 1, 2**32 - 1))
def test_a_length_above_all_is_refused_before_anything_of_it_is_there(length: int) -> None:
    with pytest.raises(CallFailed) as failed:
        unframed(b"\0" + length.to_bytes(4, "big"), CHECK)
    assert failed.value.code is Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1H", 3600),
        ("2M", 120),
        ("3S", 3),
        ("250m", 0.25),
        ("250000u", 0.25),
        ("250000000n", 0.25),
        ("99999999S", 99999999),
    ],
)
def test_a_timeout_has_a_unit(text: str, seconds: float) -> None:
    assert seconds_of(text.encode()) == pytest.approx(seconds)


def test_each_timeout_is_its_own_also_after_another() -> None:
    said = [b"1S", b"250m", b"250m", b"2S", b"1S"]
    assert [seconds_of(text) for text in said] == [1, 0.25, 0.25, 2, 1]
    with pytest.raises(CallFailed):
        seconds_of(b"1")
    assert seconds_of(b"1S") == 1


@given(st.text(max_size=12).map(lambda text: text.encode()))
def test_any_timeout_is_a_time_ahead_or_ends_the_call(text: bytes) -> None:
    code = None
    try:
        ahead = seconds_of(text)
    except CallFailed as failed:
        ahead, code = 1, failed.code
    assert ahead > 0
    assert code in {None, Code.INTERNAL, Code.DEADLINE_EXCEEDED}


@given(st.text(max_size=40))
def test_details_are_what_they_were_and_can_be_sent(details: str) -> None:
    headers = dict(status_headers(13, details.encode("utf-8", "replace").decode()))
    sent = headers.get(b"grpc-message", b"")
    assert all(0x20 <= byte < 0x7F for byte in sent)
    assert unquote(sent.decode("ascii")) == details.encode("utf-8", "replace").decode()
