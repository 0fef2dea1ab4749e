"""Headers as each of Envoy's forms has them, and what is read of them."""

from collections.abc import Callable, Mapping

from hypothesis import strategies as st

from extauthz._pb.envoy.config.core.v3.base_pb2 import HeaderValue
from extauthz._pb.envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from extauthz._pb.extauthz.check_pb2 import Check
from extauthz.errors import MalformedRequest
from extauthz.values.headers import Headers
from extauthz.wire.header_entries import Form, Usual, read


def entries_of(headers: Mapping[str, str]) -> list[bytes]:
    """As Envoy's map has them, in an order of their own."""
    sent = AttributeContext.HttpRequest(headers=headers).SerializeToString()
    return sorted(Check.HttpRequest.FromString(sent).headers)


def from_message(headers: Mapping[str, str], usual: Usual | None = None) -> Headers:
    return read(entries_of(headers), Form.JOINED, usual or Usual())


def raw(*lines: tuple[str, bytes], usual: Usual | None = None) -> Headers:
    entries = [HeaderValue(key=name, raw_value=value).SerializeToString() for name, value in lines]
    return read(entries, Form.RAW, usual or Usual())


NAMES = st.sampled_from(["a", "A", "x_y", "host", "authorization", "Content-Type", ":path", "", "b c"]) | st.text(
    max_size=4
)


VALUES = st.text(alphabet="a,\r\n\0 =\u00e9", max_size=6)


def outcome(read: Callable[[], Headers]) -> object:
    try:
        return dict(read())
    except MalformedRequest as refused:
        return refused.reason


def same(one: object, other: object) -> bool:
    """Names that differ by case come in any order from a map."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: sorted(values) for name, values in one.items()} == {
            name: sorted(values) for name, values in other.items()
        }
    return one == other
