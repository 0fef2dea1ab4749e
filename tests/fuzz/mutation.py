"""Bytes that were a Check once: flipped, cut, spliced, repeated, and with fields that its writer would not send."""

from fuzz.generated import valid_payloads
from fuzz.target import evenly
from hypothesis import strategies as st


def varint(number: int) -> bytes:
    """The base-128 form of a number."""
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes((*written, number))


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def fields_of(payload: bytes) -> list[tuple[int, bytes]]:
    """The fields of a message that has nothing but fields of bytes; empty for every other."""
    found, place = [], 0
    while place < len(payload):
        key, place = _read_varint(payload, place)
        length, place = _read_varint(payload, place)
        if key & 7 != 2 or place + length > len(payload):
            return []
        found.append((key >> 3, payload[place : place + length]))
        place += length
    return found


def _read_varint(payload: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while place < len(payload) and shift < 70:
        number |= (payload[place] & 127) << shift
        place, shift = place + 1, shift + 7
        if payload[place - 1] < 128:
            break
    return number, place


@st.composite
def rewired(draw: st.DrawFn, payload: bytes, depth: int = 0) -> bytes:
    """The message with one of its fields changed, at some depth."""
    fields = fields_of(payload)
    if not fields:
        return draw(st.sampled_from((payload * 2, payload[: len(payload) // 2], b"", b"\xff" + payload)))
    index = draw(evenly(range(len(fields))))
    number, content = fields[index]
    if depth < 5 and draw(st.integers(0, 3)):
        fields[index] = (number, draw(rewired(content, depth + 1)))
        return b"".join(field(*one) for one in fields)
    match draw(evenly(("again", "gone", "other", "unknown", "type", "length", "last", "group"))):
        case "again":
            fields.append(fields[index])
        case "gone":
            del fields[index]
        case "other":
            fields[index] = (draw(st.integers(1, 40)), content)
        case "unknown":
            fields.append((draw(st.integers(50, 2**20)), content))
        case "type":
            return b"".join(field(*one) for one in fields) + varint(number << 3) + varint(draw(st.integers(0, 2**63)))
        case "length":
            wrong = varint(number << 3 | 2) + varint(draw(st.sampled_from((2**31, 2**32, 2**63, len(content) + 1))))
            return b"".join(field(*one) for one in fields) + wrong + content
        case "last":
            fields.append((number, draw(st.binary(max_size=8))))
        case "group":
            return b"".join(field(*one) for one in fields) + varint(number << 3 | 3) * draw(st.integers(1, 200))
        case _:
            raise AssertionError("no such change")
    return b"".join(field(*one) for one in fields)


@st.composite
def damaged(draw: st.DrawFn, payload: bytes, other: bytes) -> bytes:
    """The bytes with some flipped, cut out, repeated or taken from the other ones."""
    changed = bytearray(payload)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(evenly(range(len(changed)))) if changed else 0
        match draw(evenly(("flip", "flip", "flip", "cut", "splice", "repeat", "length"))):
            case "flip" if changed:
                changed[place] ^= 1 << draw(st.integers(0, 7))
            case "length" if changed:
                changed[place] = draw(st.sampled_from((0, 0x7F, 0x80, 0x82, 0xFF)))
            case "cut":
                del changed[place : place + draw(st.integers(1, 40))]
            case "splice":
                changed[place:] = other[place:]
            case "repeat":
                changed[place:place] = changed[place : place + draw(st.integers(1, 60))]
            case _:
                pass
    return bytes(changed)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid Check with bytes flipped, cut out, put in or taken from another one, or with fields changed."""
    payload = draw(valid_payloads)
    for _ in range(draw(st.integers(1, 2))):
        rewire = draw(evenly((True, False)))
        payload = draw(rewired(payload) if rewire else damaged(payload, draw(valid_payloads)))
    return payload
