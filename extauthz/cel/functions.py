"""The table of functions: signatures that the checker resolves and implementations that the compiler calls.

The standard library and an application's own functions are entries of one kind.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from extauthz.cel.types import CelType


class Overload(msgspec.Struct, frozen=True):
    """One signature of a function.

    `implementation` takes the values of `args` in order, for a `member` the receiver first. Values of the
    activation's variables named in `bindings` are passed in front of them. It fails by raising `EvalError`; any
    other exception becomes an `EvalError` too. It must be pure: its result may depend on its arguments only,
    because a call with constant arguments is evaluated once, when the source is compiled (never one with
    `bindings`). `total` says that it can't fail, which spares the code that would absorb its errors.
    """

    id: str
    args: tuple[CelType, ...]
    result: CelType
    implementation: Callable[..., Any]
    member: bool = False
    bindings: tuple[str, ...] = ()
    total: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function and its overloads; `name` may be qualified (`math.abs`), operators are named like `_+_`."""

    name: str
    overloads: tuple[Overload, ...]

    def __init__(self, name: str, overloads: Iterable[Overload]) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "overloads", tuple(overloads))
        if not self.overloads:
            raise ValueError(f"function `{name}` needs an overload")


def table_of(functions: Iterable[Function]) -> dict[str, tuple[Overload, ...]]:
    """Functions by name; overloads of functions with one name are joined."""
    table: dict[str, tuple[Overload, ...]] = {}
    for function in functions:
        table[function.name] = table.get(function.name, ()) + function.overloads
    return table
