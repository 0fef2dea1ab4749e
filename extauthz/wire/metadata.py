"""What filters of Envoy, and its routes, noted (`envoy.config.core.v3.Metadata`), as plain Python."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from google.protobuf.struct_pb2 import ListValue, Struct, Value

from extauthz._pb.envoy.config.core.v3.base_pb2 import Metadata
from extauthz.errors import MalformedRequest

_LARGEST_METADATA: Final = 65_536


def metadata_of(payload: bytes) -> Mapping[str, Any]:
    """What filters noted, by the filter's name.

    Raises:
        MalformedRequest: there is more than is read.
        DecodeError: the bytes are no `Metadata`.
    """
    if len(payload) > _LARGEST_METADATA:
        raise MalformedRequest(f"the metadata are larger than {_LARGEST_METADATA} bytes", reason="malformed-check")
    noted = Metadata.FromString(payload).filter_metadata
    return {name: _struct(noted[name]) for name in noted}  # so does `items()`


metadata_of_route = lru_cache(maxsize=128)(metadata_of)  # a route's is the operator's, and always the same


def _struct(struct: Struct) -> dict[str, object]:
    fields = struct.fields
    return {name: _value(fields[name]) for name in fields}


def _value(value: Value) -> object:
    """A Struct's value as plain Python; numbers are floats. Nesting is bounded by protobuf's parser."""
    match value.WhichOneof("kind"):
        case "struct_value":
            return _struct(value.struct_value)
        case "list_value":
            return _list(value.list_value)
        case "string_value":
            return value.string_value
        case "number_value":
            return value.number_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def _list(values: ListValue) -> list[object]:
    return [_value(value) for value in values.values]
