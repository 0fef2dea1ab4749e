"""Chooses an overload by the values of the arguments, where their types did not tell."""

from collections.abc import Callable
from typing import Any

from extauthz.cel.errors import EvalError
from extauthz.cel.functions import Overload
from extauthz.cel.kinds import kind_of
from extauthz.cel.types import DYN, CelType, TypeParam, TypeVar, name_of


class Dispatcher:
    """A function whose overload depends on the classes of its arguments; remembers what it found for them.

    `bindings` are the variables whose values come before the arguments: those of all overloads together.
    """

    __slots__ = ("_bindings", "_known", "_name", "_overloads")

    def __init__(self, name: str, overloads: tuple[Overload, ...]) -> None:
        self._name = name
        self._overloads = overloads
        self._bindings = bindings_of(overloads)
        self._known: dict[tuple[type, ...], Callable[..., Any]] = {}

    def __call__(self, *args: object) -> object:
        classes = tuple(map(type, args))
        implementation = self._known.get(classes)
        if implementation is None:
            implementation = self._resolve(classes)
        return implementation(*args)

    def _resolve(self, classes: tuple[type, ...]) -> Callable[..., Any]:
        given = classes[len(self._bindings) :]
        for overload in self._overloads:
            if len(given) == len(overload.args) and all(map(_accepts, overload.args, given)):
                implementation = self._implementation(overload)
                if len(self._known) < 256:  # classes are an application's own, and it might make them in a loop
                    self._known[classes] = implementation
                return implementation
        shown = self._name if self._name[0].isalpha() else self._name.strip("_@")
        raise EvalError(f"no such overload: `{shown}` does not take these types")

    def _implementation(self, overload: Overload) -> Callable[..., Any]:
        if overload.bindings == self._bindings:
            return overload.implementation
        positions = [self._bindings.index(name) for name in overload.bindings]
        count = len(self._bindings)
        return lambda *args: overload.implementation(*(args[position] for position in positions), *args[count:])


def bindings_of(overloads: tuple[Overload, ...]) -> tuple[str, ...]:
    """The variables that any of the overloads reads."""
    return tuple(dict.fromkeys(name for overload in overloads for name in overload.bindings))


def _accepts(declared: CelType, given: type) -> bool:
    if declared is DYN or isinstance(declared, TypeParam | TypeVar):
        return True
    return kind_of(given) == name_of(declared)
