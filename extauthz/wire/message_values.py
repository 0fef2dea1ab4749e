"""A protobuf message as the values that conditions see.

    message   a map by the names of fields as the .proto file writes them
    scalar    its CEL value; the number of an enumeration is an int, an unsigned number a uint
    repeated  a list, a map field a map
    google.protobuf.Timestamp, Duration, Struct, Value, ListValue and the wrappers are what they stand for

A field that can tell whether it is set is in the map only if it is; every other one always is, with its default value
if need be. The rule: what only another reader would see, a field or an extension that the descriptors don't know, makes
the whole message an error, and so does more than can be looked at.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from extauthz import cel

MOST_VALUES: Final = 10_000
"""Values of one message, those that are not set included: what is looked at takes some 15 ms at the most."""

_UNSIGNED: Final = frozenset(
    {
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_FIXED32,
        FieldDescriptor.TYPE_FIXED64,
    }
)
_MESSAGES: Final = frozenset({FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_GROUP})
_BILLION: Final = 1_000_000_000


def values_of(message: Message) -> Mapping[str, Any]:
    """The fields of a message, by name.

    Raises:
        EvalError: it holds what its descriptor does not know, no valid time, or more than `MOST_VALUES` values.
    """
    return _Walk().fields(message)


class _Walk:
    """One walk over a message, on which no more than so many values are met."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def fields(self, message: Message) -> dict[str, Any]:
        descriptor, kind = message.DESCRIPTOR, message.DESCRIPTOR.full_name
        if len(UnknownFieldSet(message)):
            raise cel.EvalError(f"the message has a field that the descriptor of `{kind}` lacks")
        if descriptor.is_extendable and any(field.is_extension for field, _ in message.ListFields()):
            raise cel.EvalError(f"the message has an extension of `{kind}`, which is not read")
        fields: Sequence[FieldDescriptor] = descriptor.fields  # type: ignore[assignment]  # upb's own, at run time
        self._meet(len(fields))
        return {
            field.name: self._field(field, getattr(message, field.name))
            for field in fields
            if not field.has_presence or message.HasField(field.name)
        }

    def _field(self, field: FieldDescriptor, value: Any) -> object:  # noqa: ANN401 - of any field
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            key, content = entry.fields_by_name["key"], entry.fields_by_name["value"]
            self._meet(len(value))
            return {self._one(key, name): self._one(content, value[name]) for name in value}
        if field.is_repeated:
            self._meet(len(value))
            return [self._one(field, one) for one in value]
        return self._one(field, value)

    def _one(self, field: FieldDescriptor, value: Any) -> Any:  # noqa: ANN401 - of any field
        if field.type in _MESSAGES:
            known = _WELL_KNOWN.get(value.DESCRIPTOR.full_name)
            return self.fields(value) if known is None else known(self.fields(value))
        return cel.UInt(value) if field.type in _UNSIGNED else value

    def _meet(self, more: int) -> None:
        self._left -= more
        if self._left < 0:
            raise cel.EvalError(f"the message has more than {MOST_VALUES} values")


def _timestamp(fields: Mapping[str, Any]) -> cel.Timestamp:
    if not 0 <= fields["nanos"] < _BILLION:
        raise cel.EvalError("the message has no valid `google.protobuf.Timestamp`")
    return cel.Timestamp(fields["seconds"], fields["nanos"])


def _duration(fields: Mapping[str, Any]) -> cel.Duration:
    seconds, nanos = fields["seconds"], fields["nanos"]
    if not -_BILLION < nanos < _BILLION or seconds * nanos < 0:
        raise cel.EvalError("the message has no valid `google.protobuf.Duration`")
    return cel.Duration(seconds, nanos)


def _json(fields: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON is dynamic
    if len(fields) != 1:
        raise cel.EvalError("the message has a `google.protobuf.Value` of no kind")
    ((kind, value),) = fields.items()
    return None if kind == "null_value" else value


_WELL_KNOWN: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Value": _json,
    "google.protobuf.Struct": lambda fields: fields["fields"],
    "google.protobuf.ListValue": lambda fields: fields["values"],
    **{
        f"google.protobuf.{kind}Value": lambda fields: fields["value"]
        for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
    },
}
