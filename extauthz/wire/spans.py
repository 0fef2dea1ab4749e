"""Where the fields of a message of Protocol Buffers are in its bytes, with lengths of up to two bytes."""


class OutOfOrder(Exception):
    """A message is laid out in another way than most are. That is no error: protobuf reads it."""


def span(payload: bytes, at: int) -> tuple[int, int]:
    """Where the content of the field of wire type 2 begins and ends that begins at `at` with a tag of one byte.

    If its length takes more than two bytes that is an end behind the payload. Raises `IndexError` if it is cut off.
    """
    length, start = payload[at + 1], at + 2
    if length > 127:
        high = payload[start]
        if high > 127:
            return start, len(payload) + 1
        length += high * 128 - 128
        start += 1
    return start, start + length
