"""Messages of Envoy's as plain values, each field with what was said of it.

The rule kept here: what is said of a field stands in the code beside the field, and is written beside it, once: what is
the same elsewhere is not said again. A field of which something is said, or that is named, is written also where it has
Envoy's default: a reader sees what is decided.
"""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar, cast

import betterproto2
from envoy_data_plane.google.protobuf import Any, Struct

from extauthz.envoy.marks import MARK

Scalar = bool | int | float | str
if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SCALARS: Final = (bool, int, float, str)
Plain = Scalar | list["Plain"] | dict[str, "Plain"]
M = TypeVar("M", bound=betterproto2.Message)


@dataclass(frozen=True, slots=True)
class Note:
    """What is said of a field: over it, or at the end of its line (`beside`) where there is room. A `mark` is
    there each time."""

    text: str
    beside: bool = False

    @property
    def mark(self) -> bool:
        """Whether it says that something is the reader's to change."""
        return MARK in self.text


@dataclass(frozen=True, slots=True)
class Noted:
    """A mapping with notes of its keys."""

    fields: Mapping[str, "Value"]
    notes: Mapping[str, Note]

    @property
    def is_marked(self) -> bool:
        """Whether anything in it is the reader's to change."""
        return any(note.mark for note in self.notes.values()) or any(map(_is_marked, self.fields.values()))


def _is_marked(value: "Value") -> bool:
    if isinstance(value, SCALARS):
        return False
    return value.is_marked if isinstance(value, Noted) else any(map(_is_marked, value))


Value = Scalar | Sequence["Value"] | Noted


class Notes:
    """What is said of the fields of messages, which are known by their identity, and what stands in their `Any`."""

    def __init__(self) -> None:
        self._of: Final[dict[int, tuple[betterproto2.Message, dict[str, Note | None]]]] = {}
        self._packed: Final[dict[int, tuple[Any, betterproto2.Message]]] = {}

    def tree(self, message: betterproto2.Message) -> Noted:
        """The whole message with its notes; fields that are named come first, in their order, then the others that are
        set, in that of Envoy's own definition."""
        return self._noted(message, set())

    def on(self, message: M, **said: str | Note | None) -> M:
        """The message, after these fields of it are named, with what is said of them, if anything is.

        Raises:
            KeyError: it has no such field.
        """
        notes = {name: Note(text) if isinstance(text, str) else text for name, text in said.items()}
        for name in notes:
            if name not in _fields(message):
                raise KeyError(f"{type(message).__name__} has no field {name}")
        self._of.setdefault(id(message), (message, {}))[1].update(notes)
        return message

    def pack(self, message: betterproto2.Message) -> Any:
        """The message as an `Any`; its notes stay with it."""
        packed = Any.pack(message)
        self._packed[id(packed)] = (packed, message)
        return packed

    def _noted(self, message: betterproto2.Message, told: set[str]) -> Noted:
        said = self._of.get(id(message), (message, {}))[1]
        fields = _fields(message)
        others = (name for name, field in fields.items() if getattr(message, name) != _default(field))
        written = {name: getattr(message, name) for name in dict.fromkeys((*said, *others))}
        fields_written: dict[str, Value] = {}
        notes: dict[str, Note] = {}
        for name, value in written.items():
            if value in (None, [], {}):
                continue
            note = said.get(name)
            if note is not None and (note.mark or note.text not in told):
                notes[_key(name)] = note
                told.add(note.text)
            fields_written[_key(name)] = self._value(value, told)
        return Noted(fields_written, notes)

    def _value(self, value: object, told: set[str]) -> Value:
        match value:
            case Any():
                content = self._noted(self._packed[id(value)][1], told)
                return Noted({"@type": value.type_url, **content.fields}, content.notes)
            case Struct():
                return _unnoted(value.to_dict())
            case betterproto2.Message():
                return self._noted(value, told)
            case betterproto2.Enum():
                return value.proto_name or str(value.name)
            case timedelta():
                return f"{value.total_seconds():g}s"
            case bytes():
                return base64.b64encode(value).decode()
            case list():
                return [self._value(item, told) for item in value]
            case dict():
                return Noted({str(key): self._value(item, told) for key, item in value.items()}, {})
            case bool() | int() | str():
                return value
            case float():
                return int(value) if value.is_integer() else value
            case _:
                raise TypeError(f"no value of a message: {value!r}")


def plain(value: Value) -> Plain:
    """The value without notes."""
    if isinstance(value, Noted):
        return {key: plain(item) for key, item in value.fields.items()}
    if isinstance(value, SCALARS):
        return value
    return [plain(item) for item in value]


def _unnoted(value: object) -> Value:
    if isinstance(value, dict):
        return Noted({key: _unnoted(item) for key, item in value.items()}, {})
    return str(value)


def _fields(message: betterproto2.Message) -> Mapping[str, "dataclasses.Field[object]"]:
    return {field.name: field for field in dataclasses.fields(cast("DataclassInstance", message))}


def _default(field: "dataclasses.Field[object]") -> object:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _key(name: str) -> str:
    return name.rstrip("_")
