"""Both ends of a connection are read as protobuf reads them, however they are laid out."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from extauthz._pb.envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from extauthz.values.request import Peer
from extauthz.wire import peers
from extauthz.wire.fragments import field
from extauthz.wire.peers import both_peers

TEXTS = st.sampled_from(["", "10.1.2.3", "2001:db8::1", "é", "spiffe://a/b"])
PORTS = st.one_of(
    st.integers(0, 70_000), st.sampled_from([127, 128, 16_383, 16_384, 65_535, 2**21 - 1, 2**21, 2**32 - 1])
)


def by_protobuf(head: bytes) -> tuple[Peer, Peer] | None:
    try:
        attributes = AttributeContext.FromString(head)
    except DecodeError:
        return None
    return peers._peer(attributes.source), peers._peer(attributes.destination)


def read(head: bytes) -> tuple[Peer, Peer] | None:
    try:
        return both_peers(head)
    except DecodeError:
        return None


@st.composite
def contexts(draw: st.DrawFn) -> AttributeContext:
    attributes = AttributeContext()
    for peer in (attributes.source, attributes.destination):
        if not draw(st.booleans()):
            peer.SetInParent()
        socket = peer.address.socket_address
        socket.address, socket.port_value = draw(TEXTS), draw(PORTS)
        peer.principal, peer.certificate = draw(TEXTS), draw(st.sampled_from(["", "", "", "pem"]))
        if draw(st.integers(0, 5)) == 0:
            peer.service = "web"
        if draw(st.integers(0, 5)) == 0:
            socket.protocol = socket.UDP
    return attributes


@given(contexts())
def test_what_is_written_is_read_as_protobuf_reads_it(attributes: AttributeContext) -> None:
    head = attributes.SerializeToString()
    assert read(head) == by_protobuf(head)


@given(contexts(), st.data())
@example(AttributeContext(), None)
def test_any_bytes_are_read_as_protobuf_reads_them(attributes: AttributeContext, data: st.DataObject | None) -> None:
    head = bytearray(attributes.SerializeToString())
    if data is not None and head:
        for _ in range(data.draw(st.integers(1, 3))):
            head[data.draw(st.integers(0, len(head) - 1))] = data.draw(st.integers(0, 255))
        head = head[: data.draw(st.integers(0, len(head)))] if data.draw(st.booleans()) else head
    assert read(bytes(head)) == by_protobuf(bytes(head))


def test_an_address_that_is_there_twice_is_read_as_protobuf_reads_it() -> None:
    sockets = [field(1, field(2, ip) + b"\x18\x07") for ip in (b"10.0.0.1", b"10.0.0.2")]
    for source in (field(1, b"".join(sockets)), b"".join(field(1, one) for one in sockets)):
        head = field(1, source) + field(2, b"")
        assert read(head) == by_protobuf(head) == (Peer(ip="10.0.0.2", port=7), Peer())


def test_usual_ends_are_read_without_protobuf(monkeypatch: pytest.MonkeyPatch) -> None:
    attributes = AttributeContext()
    attributes.source.address.socket_address.address = "10.1.2.3"
    attributes.source.address.socket_address.port_value = 41_812
    attributes.source.principal = "spiffe://a/b"
    attributes.destination.SetInParent()
    monkeypatch.setattr(peers, "AttributeContext", None)
    assert both_peers(attributes.SerializeToString()) == (
        Peer(ip="10.1.2.3", port=41_812, principal="spiffe://a/b"),
        Peer(),
    )
