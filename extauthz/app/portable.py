"""A policy set as bytes, so that one process compiles it and another decides by it.

For two processes of one installation and nothing else: what is not known by a name in a module (the functions that
CEL compiles to, closures of its library) travels as code. Never read this from a file or a network.

The rule kept here: reading rests often. `breathe` is called between the parts of a set, so that the thread that reads
never keeps the interpreter from the threads that decide.
"""

import io
import marshal
import pickle
import re
import sys
from collections.abc import Callable, Mapping
from types import CellType, CodeType, FunctionType, MappingProxyType
from typing import IO, Any


def write(stream: IO[bytes], value: object) -> None:
    """Write a value, flushed.

    Raises:
        pickle.PicklingError, TypeError, ValueError: a part of it can't travel.
    """
    _Pickler(stream, pickle.HIGHEST_PROTOCOL).dump(value)
    stream.flush()


def read(stream: io.BufferedReader, breathe: Callable[[], None]) -> Any:  # noqa: ANN401 - whatever was written
    """The next of the values that `write` wrote.

    Raises:
        EOFError, pickle.UnpicklingError: the stream ends before it does.
    """
    return _Unpickler(stream, breathe).load()


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: object) -> Any:  # noqa: ANN401 - the signature is pickle's
        """How the kinds of values travel that pickle does not know."""
        match value:
            case FunctionType() if not _is_found_by_name(value):
                return _function, _parts(value)
            case CodeType():
                return marshal.loads, (marshal.dumps(value),)
            case re.Pattern():
                return _pattern, (value.pattern, value.flags)
            case MappingProxyType():
                return _read_only, (dict(value),)
            case _:
                return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BufferedReader, breathe: Callable[[], None]) -> None:
        super().__init__(stream)
        self._breathe = breathe

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - the signature is pickle's
        """The functions that take a while rest before it."""
        found = super().find_class(module, name)
        return _resting(found, self._breathe) if found in (_function, _pattern) else found


def _resting(function: Callable[..., object], breathe: Callable[[], None]) -> Callable[..., object]:
    # It must not know the unpickler, which keeps all that it read and would be kept by it.
    def rested(*args: object) -> object:
        breathe()
        return function(*args)

    return rested


def _is_found_by_name(function: FunctionType) -> bool:
    found: Any = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function


def _parts(function: FunctionType) -> tuple[object, ...]:
    # A function of a module sees the module of the other process; one that CEL compiled, the few names that it has.
    scope: object = function.__globals__
    module = function.__globals__.get("__name__")
    return (
        function.__code__,  # an object of its own: a function may look for its own frames by it
        scope if module is None else module,
        function.__name__,
        function.__defaults__,
        function.__kwdefaults__,
        tuple(cell.cell_contents for cell in function.__closure__ or ()),
    )


def _function(
    code: CodeType,
    scope: str | dict[str, object],
    name: str,
    defaults: tuple[object, ...] | None,
    named_defaults: dict[str, object] | None,
    closed_over: tuple[object, ...],
) -> FunctionType:
    names = vars(sys.modules[scope]) if isinstance(scope, str) else scope
    function = FunctionType(code, names, name, defaults, tuple(map(CellType, closed_over)))
    function.__kwdefaults__ = named_defaults
    return function


def _pattern(pattern: str, flags: int) -> re.Pattern[str]:
    return re.compile(pattern, flags)


def _read_only(mapping: Mapping[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(mapping)
