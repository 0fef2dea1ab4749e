"""Where the fields of a message of Protocol Buffers are in its bytes, with lengths of up to two bytes."""

from extauthz.values.native import i64


class OutOfOrder(Exception):
    """A message is laid out in another way than most are. That is no error: protobuf reads it."""


def span(payload: bytes, at: i64) -> tuple[i64, i64]:
    """Where the content of the field of wire type 2 begins and ends that begins at `at` with a tag of one byte.

    If its length takes more than two bytes that is an end behind the payload. Raises `IndexError` if it is cut off.
    """
    length: i64 = payload[at + 1]
    start = at + 2
    if length > 127:
        high: i64 = payload[start]
        if high > 127:
            return start, len(payload) + 1
        length += high * 128 - 128
        start += 1
    return start, start + length
