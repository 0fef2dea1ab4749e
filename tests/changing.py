"""Values with some of their fields changed: structs, and the views of a request, which are compiled classes."""

from typing import Any, TypeVar

import msgspec

from extauthz.values.request import HttpRequest, Peer, RequestView

Value = TypeVar("Value")


def fields_of(value: object) -> dict[str, Any]:
    """What a value of a class that is compiled was made of, by names."""
    names = getattr(type(value), "__mypyc_attrs__", None) or vars(value)
    return {name: getattr(value, name) for name in names if name != "__dict__"}


def replace(value: Value, /, **changes: Any) -> Value:
    """The same with what is given."""
    if isinstance(value, RequestView | HttpRequest | Peer):
        return type(value)(**fields_of(value) | changes)
    assert isinstance(value, msgspec.Struct)
    return msgspec.structs.replace(value, **changes)
