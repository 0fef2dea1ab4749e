"""The values of CEL that Python has no type of its own for, and what makes each one valid.

Map of the others: int is `int`, double `float`, string `str`, bytes `bytes`, bool `bool`, null `None`, list `list`
or `tuple`, map any `collections.abc.Mapping`.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Final, final

from extauthz.cel.errors import EvalError
from extauthz.values.quoting import given

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1
NANOS: Final = 1_000_000_000
"""Nanoseconds of a second."""
TIMESTAMP_MIN: Final = -62_135_596_800 * NANOS
"""0001-01-01T00:00:00Z in nanoseconds since 1970 (google.protobuf.Timestamp)."""
TIMESTAMP_MAX: Final = 253_402_300_800 * NANOS - 1
"""9999-12-31T23:59:59.999999999Z in nanoseconds since 1970."""


@final
class UInt(int):
    """An unsigned integer of 64 bits (langdef, "Numeric Values").

    It is an `int` so that `1u == 1` holds and both name one key of a map, as CEL has it.
    """

    __slots__ = ()

    def __new__(cls, value: int = 0) -> "UInt":
        if not 0 <= value <= UINT_MAX:
            raise EvalError(f"uint out of range: {given(_digits(value))}")
        return super().__new__(cls, value)

    def __repr__(self) -> str:
        return f"UInt({int(self)})"


def _digits(value: int) -> str:
    # A hostile integer may have more digits than Python agrees to print.
    return str(int(value)) if value.bit_length() <= 128 else f"{value.bit_length()} bits"


@final
class Timestamp:
    """A point in time between the years 1 and 9999, in nanoseconds since 1970 (`ns`), without a time zone."""

    __slots__ = ("ns",)
    ns: Final[int]  # type: ignore[misc]  # set through object, so that nobody else sets it

    def __init__(self, seconds: int, nanos: int = 0) -> None:
        ns = seconds * NANOS + nanos
        if not TIMESTAMP_MIN <= ns <= TIMESTAMP_MAX:
            raise EvalError("timestamp out of range: its year must be between 1 and 9999")
        object.__setattr__(self, "ns", ns)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a timestamp does not change: {name}")

    @property
    def seconds(self) -> int:
        return self.ns // NANOS

    @property
    def nanos(self) -> int:
        return self.ns % NANOS

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and self.ns == other.ns

    def __hash__(self) -> int:
        return hash((Timestamp, self.ns))

    def __lt__(self, other: "Timestamp") -> bool:
        return self.ns < other.ns

    def __le__(self, other: "Timestamp") -> bool:
        return self.ns <= other.ns

    def __repr__(self) -> str:
        return f"Timestamp({self.seconds}, {self.nanos})"

    def __reduce__(self) -> tuple[type["Timestamp"], tuple[int, int]]:
        return Timestamp, (self.seconds, self.nanos)


@final
class Duration:
    """A span of time in nanoseconds (`ns`), of 64 bits: some 292 years in both directions.

    `seconds` and `nanos` have the same sign (google.protobuf.Duration).
    """

    __slots__ = ("ns",)
    ns: Final[int]  # type: ignore[misc]  # set through object, so that nobody else sets it

    def __init__(self, seconds: int, nanos: int = 0) -> None:
        ns = seconds * NANOS + nanos
        if not INT_MIN <= ns <= INT_MAX:
            raise EvalError("duration out of range: it must fit 64 bits of nanoseconds, some 292 years")
        object.__setattr__(self, "ns", ns)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a duration does not change: {name}")

    @property
    def seconds(self) -> int:
        return self.ns // NANOS if self.ns >= 0 else -(-self.ns // NANOS)

    @property
    def nanos(self) -> int:
        return self.ns - self.seconds * NANOS

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.ns == other.ns

    def __hash__(self) -> int:
        return hash((Duration, self.ns))

    def __lt__(self, other: "Duration") -> bool:
        return self.ns < other.ns

    def __le__(self, other: "Duration") -> bool:
        return self.ns <= other.ns

    def __repr__(self) -> str:
        return f"Duration({self.seconds}, {self.nanos})"

    def __reduce__(self) -> tuple[type["Duration"], tuple[int, int]]:
        return Duration, (self.seconds, self.nanos)


@final
class Type:
    """A type as a value: what `type(x)` gives and what `int` means as an expression."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Type) and self.name == other.name

    def __hash__(self) -> int:
        return hash((Type, self.name))

    def __repr__(self) -> str:
        return f"Type({self.name!r})"


@final
class Optional:
    """A value that may be absent (the optionals extension); `Optional()` is `optional.none()`."""

    __slots__ = ("content", "present")

    def __init__(self, *value: object) -> None:
        self.present = bool(value)
        self.content = value[0] if value else None

    @property
    def value(self) -> object:
        if not self.present:
            raise EvalError("optional.none() has no value")
        return self.content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Optional) and self.present == other.present and self.content == other.content

    def __hash__(self) -> int:
        return hash((Optional, self.present, self.content))

    def __repr__(self) -> str:
        return f"Optional({self.content!r})" if self.present else "Optional()"


NONE: Final = Optional()


@final
class Unset:
    """The class of `UNSET`, which an optional field of a structure holds while it is not set."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        raise EvalError("a field that is not set is no value")

    def __reduce__(self) -> str:
        return "UNSET"  # there is one, also in the process that a copy of it goes to


UNSET: Final = Unset()


@final
class MixedMap(Mapping[Hashable, object]):
    """A map that has bool and number keys at once, which a `dict` takes for the same: `{true: "a", 1: "b"}`."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[tuple[Hashable, object]]) -> None:
        self._entries = {(isinstance(key, bool), key): (key, value) for key, value in entries}

    def __getitem__(self, key: Hashable) -> object:
        return self._entries[isinstance(key, bool), key][1]

    def __contains__(self, key: object) -> bool:
        return (isinstance(key, bool), key) in self._entries

    def __iter__(self) -> Iterator[Hashable]:
        return (key for key, _ in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"MixedMap({list(self._entries.values())!r})"
