"""Fields that come more than once: what protobuf makes of them, or nothing.

Protobuf joins what is there of a message twice, and takes the last of every other field. The oracle is the same bytes
read as Envoy's own message and written again, which says each field once.
"""

import contextlib
from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz._pb.extauthz.check_pb2 import Pieces
from extauthz.errors import MalformedRequest
from extauthz.values.request import Peer, RequestView
from extauthz.wire import decode as decoding
from extauthz.wire.compose import check_request, tcp_check_request
from extauthz.wire.decode import decode
from extauthz.wire.fragments import field

Path = tuple[str, ...]


def check(name: str, *, raw_headers: bool) -> bytes:
    """A check with something in every field that is read, everything of it another thing for each name."""
    return check_request(
        id=name,
        method="POST",
        host=f"{name}.example",
        path=f"/{name}?q={name}",
        scheme=f"s{name}",
        protocol=f"HTTP/{len(name)}",
        headers={"content-type": f"text/{name}", f"x-{name}": name, "x-all": name},
        body=name.encode(),
        source_ip=f"192.0.2.{len(name)}",
        source_port=len(name),
        principal=f"spiffe://prod.example.org/{name}",
        certificate=name,
        destination=Peer(
            ip=f"192.0.2.{100 + len(name)}", port=1000 + len(name), principal=f"spiffe://d.example/{name}"
        ),
        context={name: name, "all": name},
        metadata={name: {"k": name}, "all": {name: name, "all": [name, {"a": name}]}},
        route_metadata={name: {"k": name}, "all": {name: name}},
        sni=f"{name}.sni.example",
        time=(1_790_000_000 + len(name), len(name)),
        raw_headers=raw_headers,
    )


BOTH = {
    "map": (check("one", raw_headers=False), check("second", raw_headers=False)),
    "raw": (check("one", raw_headers=True), check("second", raw_headers=True)),
    "each": (check("one", raw_headers=True), check("second", raw_headers=False)),
    "tcp": (check("one", raw_headers=True), tcp_check_request(source_ip="192.0.2.77", sni="tcp.example")),
}


def of_message(message: Descriptor, path: Path) -> Iterator[Path]:
    """Where in a Check there are fields that hold one message."""
    for one in message.fields:
        if one.message_type is not None and not one.is_repeated:
            yield (*path, one.name)
            yield from of_message(one.message_type, (*path, one.name))


MESSAGE: Descriptor = CheckRequest.DESCRIPTOR  # type: ignore[assignment]  # the library has two classes for it
SINGULAR = list(of_message(MESSAGE, ()))


def apart(message: Message, path: Path, other: Message | None, *, where: str) -> bytes:
    """`message` as bytes in which the field at `path` comes again, as `other` has it, or empty."""
    name, *more = path
    number = message.DESCRIPTOR.fields_by_name[name].number
    theirs = None if other is None else getattr(other, name)
    if more:
        own = field(number, apart(getattr(message, name), tuple(more), theirs, where=where))
        again = b""
    else:
        own = field(number, getattr(message, name).SerializeToString()) if message.HasField(name) else b""
        again = field(number, b"" if theirs is None else theirs.SerializeToString())
    # In the order of the numbers, as every writer has it: but for what comes twice nothing is out of the ordinary.
    before, after = type(message)(), type(message)()
    for one, value in message.ListFields():
        into = before if one.number < number else after
        if one.name == name:
            continue
        if one.is_repeated:
            getattr(into, one.name).MergeFrom(value)
        elif one.type == FieldDescriptor.TYPE_MESSAGE:
            getattr(into, one.name).CopyFrom(value)
        else:
            setattr(into, one.name, value)
    pieces = [before.SerializeToString(), own, after.SerializeToString()]
    pieces.insert({"first": 0, "beside": 2, "last": 3}[where], again)
    return b"".join(pieces)


def read(payload: bytes) -> RequestView | None:
    """What is read of a Check; `None` if it is refused."""
    try:
        return decode(payload)
    except MalformedRequest:
        return None


def once(payload: bytes) -> bytes:
    """The same Check as protobuf understands it, each field once."""
    return CheckRequest.FromString(payload).SerializeToString(deterministic=True)


def agree(payload: bytes) -> bool:
    view = read(payload)
    return view is None or view == read(once(payload))


def test_the_paths_are_those_of_a_check() -> None:
    assert len(SINGULAR) == 18
    for path in (
        ("attributes", "source"),
        ("attributes", "source", "address", "socket_address"),
        ("attributes", "request", "http", "header_map"),
        ("attributes", "route_metadata_context"),
    ):
        assert path in SINGULAR


@pytest.mark.parametrize("where", ["first", "beside", "last"])
@pytest.mark.parametrize("forms", BOTH)
@pytest.mark.parametrize("path", SINGULAR, ids=".".join)
def test_a_message_that_comes_twice_is_what_protobuf_makes_of_it_or_refused(path: Path, forms: str, where: str) -> None:
    full, second = (CheckRequest.FromString(payload) for payload in BOTH[forms])
    for one, other in ((full, second), (second, full), (full, full), (full, None)):
        payload = apart(one, path, other, where=where)
        assert agree(payload)
        if one is full:
            assert payload != once(payload), "the field must come twice"


@st.composite
def shuffled(draw: st.DrawFn, message: Message) -> bytes:
    """`message` cut into pieces, of which some come again, some not at all, in any order; so do those within them."""
    pieces: list[bytes] = []
    for one, value in message.ListFields():
        if one.type == FieldDescriptor.TYPE_MESSAGE and not one.is_repeated:
            times = draw(st.integers(0, 2), label=one.name)
            pieces += [field(one.number, draw(shuffled(value))) for _ in range(times)]
        else:
            alone = type(message)()
            if one.is_repeated:
                getattr(alone, one.name).MergeFrom(value)
            else:
                setattr(alone, one.name, value)
            pieces += [alone.SerializeToString()] * draw(st.integers(0, 2), label=one.name)
    return b"".join(draw(st.permutations(pieces)))


@given(st.data(), st.sampled_from(["map", "raw"]))
def test_whatever_comes_again_in_whatever_order_is_read_as_protobuf_does_or_refused(
    data: st.DataObject, form: str
) -> None:
    message = CheckRequest.FromString(BOTH[form][data.draw(st.integers(0, 1))])
    assert agree(data.draw(shuffled(message)))


WITHOUT_CONTEXT = check_request(
    host="a.example",
    principal=f"spiffe://prod.example.org/{'long/' * 20}",
    time=(1_790_000_000, 5),
    metadata={"a": {"b": "c"}, "d": {"e": "f"}},
    route_metadata={"a": {"b": "c"}, "d": {"e": "f"}},
)


@pytest.mark.parametrize("payload", [*BOTH["map"], *BOTH["raw"], WITHOUT_CONTEXT])
def test_what_is_cut_off_anywhere_is_read_as_protobuf_does_or_refused(payload: bytes) -> None:
    (attributes,) = Pieces.FromString(payload).attributes
    assert field(1, attributes) == payload
    for length in range(len(attributes)):
        cut = field(1, attributes[:length])
        with contextlib.suppress(DecodeError):
            assert agree(cut)
            continue
        assert read(cut) is None


@pytest.mark.parametrize("payload", [*BOTH["map"], *BOTH["raw"], WITHOUT_CONTEXT])
def test_fields_in_the_place_of_others_are_read_as_protobuf_does_or_refused(payload: bytes) -> None:
    (attributes,) = Pieces.FromString(payload).attributes
    start, places = len(payload) - len(attributes), []
    for name in ("source", "destination", "request"):
        places.append(start)
        (content,) = getattr(Pieces.Attributes.FromString(attributes), name)
        start += len(field(1, content))
    for at in places:
        for number in range(1, 15):
            changed = payload[:at] + bytes([number << 3 | 2]) + payload[at + 1 :]
            with contextlib.suppress(DecodeError):
                assert agree(changed)
                continue
            assert read(changed) is None


def test_what_is_behind_the_requests_of_a_connection_is_looked_at_in_each() -> None:
    for value in "aabbacca":
        view = decode(check_request(host="a.example", context={"k": value}, source_ip="192.0.2.200"))
        assert view.context == {"k": value}
    for value in "xxyz":
        noted = check_request(host="a.example", metadata={"n": {"secret": value}}, source_ip="192.0.2.200")
        assert decode(noted).metadata == {"n": {"secret": value}}
        head = noted[3 : decoding._in_front(noted)[0]]
        assert decoding._kept_ends(head).route.metadata == {}


def test_what_is_kept_of_routes_is_bounded_and_none_of_it_is_of_a_single_request() -> None:
    for number in range(600):
        decode(check_request(host="a.example", sni=f"{number}.example"))
        assert len(decoding._routes) <= 256
    decoding._routes.clear()
    decode(check_request(host="a.example", context={"a": "b"}))
    assert [route.context for route in decoding._routes.values()] == [{"a": "b"}]
    decode(check_request(host="a.example", context={"a": "c"}, metadata={"n": {"secret": "s"}}))
    decode(check_request(host="a.example", context={"a": "c" * 3_000}))
    assert len(decoding._routes) == 1
