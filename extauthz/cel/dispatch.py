"""Chooses an overload by the values of the arguments, where their types did not tell."""

from collections.abc import Callable
from typing import Any

from extauthz.cel.errors import EvalError
from extauthz.cel.functions import Overload
from extauthz.cel.kinds import kind_of
from extauthz.cel.types import DYN, CelType, TypeParam, TypeVar, name_of


class Dispatcher:
    """A function whose overload depends on the classes of its arguments; remembers what it found for them.

    The arguments come behind the values of `bindings_of` the overloads.
    """

    __slots__ = ("_bindings", "_known", "_name", "_overloads")

    def __init__(self, name: str, overloads: tuple[Overload, ...]) -> None:
        self._name = name
        self._overloads = overloads
        self._bindings = bindings_of(overloads)
        self._known: dict[tuple[type, ...], Callable[..., Any]] = {}

    def function(self) -> Callable[..., Any]:
        """What to call: a plain function, as these are called fastest."""
        known, resolve = self._known, self._resolve
        if not self._bindings and all(len(overload.args) == 2 for overload in self._overloads):

            def dispatch_two(left: object, right: object) -> Any:  # noqa: ANN401  # a value of any CEL type
                classes = type(left), type(right)
                return (known.get(classes) or resolve(classes))(left, right)

            return dispatch_two

        def dispatch(*args: object) -> Any:  # noqa: ANN401  # a value of any CEL type
            classes = tuple(map(type, args))
            return (known.get(classes) or resolve(classes))(*args)

        return dispatch

    def _resolve(self, classes: tuple[type, ...]) -> Callable[..., Any]:
        given = classes[len(self._bindings) :]
        for overload in self._overloads:
            if len(given) == len(overload.args) and all(map(_accepts, overload.args, given)):
                implementation = self._implementation(overload)
                if len(self._known) < 256:  # classes are an application's own, and it might make them in a loop
                    self._known[classes] = implementation
                return implementation
        name = self._name if self._name[0].isalpha() else self._name.strip("_@")
        raise EvalError(f"no such overload: `{name}` does not take these types")

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
