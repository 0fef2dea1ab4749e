"""The standard library as one table of signatures, read by the checker and by the compiler."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from extauthz.cel.functions import Overload, table_of
from extauthz.cel.library import conversions, encoders, maths, networks, operators, optionals, strings, times
from extauthz.cel.limits import Limits


@lru_cache(maxsize=16)
def standard(limits: Limits, *, nan_ordering_is_error: bool) -> Mapping[str, tuple[Overload, ...]]:
    """The overloads of all functions by name: langdef's standard definitions and the extensions."""
    return MappingProxyType(
        table_of(
            [
                *operators.functions(limits, nan_ordering_is_error=nan_ordering_is_error),
                *conversions.functions(),
                *strings.functions(limits),
                *maths.functions(),
                *times.functions(),
                *encoders.functions(limits),
                *optionals.functions(),
                *networks.functions(),
            ]
        )
    )
