"""Frozen values made at the price of mutable ones, for the path of a request.

A frozen dataclass sets each field through `object.__setattr__`, which costs three times a plain assignment; a Check
has 28 fields. Here the fields are set on a twin with the same slots, which then takes the frozen class.
"""

from dataclasses import fields, make_dataclass
from typing import Any, TypeVar, cast

Value = TypeVar("Value")


def swift(frozen: type[Value]) -> type[Value]:
    """A constructor that takes the arguments of `frozen`, a slotted dataclass, all of them, and returns one of it.

    What it returns is an instance of `frozen` and of nothing else: as equal, hashable and immutable as any other.
    """

    def freeze(twin: object) -> None:
        # CPython allows it between classes of equal slots; others raise TypeError at the first call.
        twin.__class__ = frozen

    names = [(field.name, Any) for field in fields(frozen)]  # type: ignore[arg-type]  # a dataclass, by contract
    twin = make_dataclass(frozen.__name__, names, slots=True, eq=False, namespace={"__post_init__": freeze})
    return cast("type[Value]", twin)
