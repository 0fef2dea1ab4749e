"""The types of parameters and results as a document writes them.

    type = "bool" / "int" / "uint" / "double" / "string" / "bytes" / "timestamp" / "duration" / "dyn"
         / "list(" type ")" / "map(" type ", " type ")"
         / a structure of design section 3 but `request`: "user", "workload", "session", ...

`request` is none of them: which headers are read must be known, so a function is given the parts that it needs.
"""

from collections.abc import Mapping
from typing import Final

from extauthz import cel
from extauthz.policy.context import NAMES
from extauthz.policy.problems import did_you_mean

_MAX_LENGTH: Final = 200
_PLAIN: Final[Mapping[str, cel.CelType]] = {
    "bool": cel.BOOL,
    "int": cel.INT,
    "uint": cel.UINT,
    "double": cel.DOUBLE,
    "string": cel.STRING,
    "bytes": cel.BYTES,
    "timestamp": cel.TIMESTAMP,
    "duration": cel.DURATION,
    "dyn": cel.DYN,
}
_STRUCTURES: Final = {
    kind.name: kind for kind in NAMES.values() if isinstance(kind, cel.StructType) and kind.name != "request"
}
_NAMED: Final[Mapping[str, cel.CelType]] = {**_PLAIN, **_STRUCTURES}


def parse(text: str) -> cel.CelType:
    """The type that `text` names. Raises `ValueError` with what is wrong and how to mend it."""
    if len(text) > _MAX_LENGTH:
        raise ValueError("not a type; write `string`, `list(string)` or `map(string, dyn)`")
    return _parse(text.strip(), text)


def _parse(part: str, text: str) -> cel.CelType:
    outer, bracket, inner = part.partition("(")
    if bracket and inner.endswith(")"):
        inner = inner[:-1]
        if outer == "list":
            return cel.list_of(_parse(inner.strip(), text))
        key, comma, value = inner.partition(",")
        if outer == "map" and comma:
            try:
                return cel.map_of(_parse(key.strip(), text), _parse(value.strip(), text))
            except ValueError as error:
                raise ValueError(f"`{text}` is no type; {error}") from None
    if (kind := _NAMED.get(part)) is not None:
        return kind
    hint = did_you_mean(part, _NAMED) or "write `string`, `list(string)` or `map(string, dyn)`"
    raise ValueError(f"`{part}` is no type; {hint}")
