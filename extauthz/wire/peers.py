"""Both ends of a connection, from the bytes in which Envoy names them.

The rule: what is read here is what protobuf makes of the same bytes (held by tests). Ends that are laid out as most are
are read in one pass; protobuf reads all others, and says what is none.
"""

from typing import Final

from extauthz._pb.envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from extauthz.values.native import i64
from extauthz.values.request import Peer
from extauthz.wire.spans import OutOfOrder, span

_NOBODY: Final = Peer()

# Tags of fields (Protocol Buffers, "Encoding"): the number, and wire type 2, or 0 of the port.
_SOURCE: Final = 0x0A
_DESTINATION: Final = 0x12
_ADDRESS: Final = 0x0A
_SOCKET_ADDRESS: Final = 0x0A
_IP: Final = 0x12
_PORT: Final = 0x18
_PRINCIPAL: Final = 0x22


def both_peers(head: bytes) -> tuple[Peer, Peer]:
    """The source and the destination of `AttributeContext`.

    Raises:
        DecodeError: the bytes are none.
    """
    try:
        source, at = _peer_in(head, 0, _SOURCE)
        destination, at = _peer_in(head, at, _DESTINATION)
        if at == len(head):
            return source, destination
    except (OutOfOrder, IndexError, UnicodeDecodeError):  # laid out in another way; or cut off, or no text
        pass
    attributes = AttributeContext.FromString(head)
    return _peer(attributes.source), _peer(attributes.destination)


def _peer_in(head: bytes, at: i64, tag: int) -> tuple[Peer, i64]:
    """The peer in the field that begins there, and where that ends; if nothing is said of it, or an address, a port
    and no more than a name beside."""
    begin, end = _within(head, at, tag)
    if begin == end:
        return _NOBODY, end
    address, address_end = _within(head, begin, _ADDRESS)
    socket, socket_end = _within(head, address, _SOCKET_ADDRESS)
    ip, ip_end = _within(head, socket, _IP)
    port, port_end = _port(head, ip_end)
    if not port_end == socket_end == address_end:
        raise OutOfOrder
    principal = ""
    if address_end != end:
        name, name_end = _within(head, address_end, _PRINCIPAL)
        if name_end != end:
            raise OutOfOrder
        principal = head[name:name_end].decode()
    return Peer(ip=head[ip:ip_end].decode(), port=port, principal=principal), end


def _within(head: bytes, at: i64, tag: int) -> tuple[i64, i64]:
    """Where the content of the field begins and ends that is there."""
    if head[at] != tag:
        raise OutOfOrder
    return span(head, at)


def _port(head: bytes, at: i64) -> tuple[int, i64]:
    """A port of the size that ports have, and where its field ends."""
    if head[at] != _PORT:
        raise OutOfOrder
    port, shift = 0, 0
    for place in range(at + 1, at + 4):
        byte = head[place]
        port |= (byte & 127) << shift
        if byte < 128:
            return port, place + 1
        shift += 7
    raise OutOfOrder


def _peer(peer: AttributeContext.Peer) -> Peer:
    address = peer.address.socket_address
    return Peer(ip=address.address, port=address.port_value, principal=peer.principal, certificate=peer.certificate)
