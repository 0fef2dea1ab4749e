"""The CEL type of a Python value: for `type(x)` and for choosing an overload by values."""

from collections.abc import Mapping
from typing import Final

from extauthz.cel.errors import EvalError
from extauthz.cel.network import IPAddress, Network
from extauthz.cel.types import BOOL, BYTES, CIDR, DOUBLE, DURATION, INT, IP, NULL, STRING, TIMESTAMP, TYPE, UINT
from extauthz.cel.values import Duration, MixedMap, Optional, Timestamp, Type, UInt

KIND_OF: Final[dict[type, str]] = {
    bool: BOOL.name,
    int: INT.name,
    UInt: UINT.name,
    float: DOUBLE.name,
    str: STRING.name,
    bytes: BYTES.name,
    type(None): NULL.name,
    list: "list",
    tuple: "list",
    dict: "map",
    MixedMap: "map",
    Timestamp: TIMESTAMP.name,
    Duration: DURATION.name,
    Type: TYPE.name,
    Optional: "optional_type",
    IPAddress: IP.name,
    Network: CIDR.name,
}


def kind_of(cls: type) -> str | None:
    """The name of the CEL type whose values are instances of a class; None for a structure or a stranger."""
    known = KIND_OF.get(cls)
    if known is None and issubclass(cls, Mapping):
        return "map"
    return known


def type_of(value: object) -> Type:
    """`type(x)` (langdef, "Abstract Types")."""
    kind = kind_of(type(value))
    if kind is None:
        raise EvalError("a value of this kind has no type")
    return Type(kind)
