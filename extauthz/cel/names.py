"""What a name means: the longest declared name in the innermost container (langdef, "Name Resolution")."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from extauthz.cel.functions import Overload
from extauthz.cel.tree import Expr, Ident, Select
from extauthz.cel.types import DOUBLE, DURATION, DYN, INT, STRING, TIMESTAMP, TYPE_NAMES, UINT, CelType, ListType

_ORDERINGS: Final = frozenset({"_<_", "_<=_", "_>_", "_>=_"})
_FROM_TEXT: Final = {
    str(INT): "int",
    str(UINT): "uint",
    str(DOUBLE): "double",
    str(TIMESTAMP): "timestamp",
    str(DURATION): "duration",
}


def qualified(node: Expr) -> tuple[str, str, bool] | None:
    """The dotted name that a chain of selections spells, its first part, and whether it is absolute."""
    parts: list[str] = []
    while isinstance(node, Select):
        if node.optional or not node.field.isidentifier():
            return None
        parts.append(node.field)
        node = node.operand
    if not isinstance(node, Ident):
        return None
    parts.append(node.name)
    return ".".join(reversed(parts)), node.name, node.absolute


class Names:
    """The names that one source may use: variables, types, functions and the variables of macros around."""

    __slots__ = ("_container", "_functions", "_scopes", "_variables")

    def __init__(
        self,
        variables: Mapping[str, CelType] | None,
        container: str,
        functions: Mapping[str, tuple[Overload, ...]],
    ) -> None:
        self._variables = variables
        self._container = container
        self._functions = functions
        self._scopes: list[tuple[str, CelType]] = []

    def enter(self, name: str, kind: CelType) -> None:
        self._scopes.append((name, kind))

    def leave(self) -> None:
        self._scopes.pop()

    def local(self, name: str) -> CelType | None:
        """The type of a macro's variable, or None if there is none of this name."""
        for known, kind in reversed(self._scopes):
            if known == name:
                return kind
        return None

    def _candidates(self, name: str, absolute: bool) -> Iterator[str]:
        """a.b.c.name, a.b.name, a.name, name in the container a.b.c"""
        if not absolute:
            container = self._container
            while container:
                yield f"{container}.{name}"
                container = container.rpartition(".")[0]
        yield name

    def variable(self, name: str, absolute: bool) -> tuple[str, CelType] | None:
        """The full name and the type of a variable, which may be called by a part of its name."""
        if self._variables is None:
            return None if "." in name or name in TYPE_NAMES else (name, DYN)
        for candidate in self._candidates(name, absolute):
            kind = self._variables.get(candidate)
            if kind is not None:
                return candidate, kind
        return None

    def type_name(self, name: str, absolute: bool) -> str | None:
        for candidate in self._candidates(name, absolute):
            if candidate in TYPE_NAMES:
                return candidate
        return None

    def function(self, name: str, absolute: bool) -> tuple[str, tuple[Overload, ...]] | None:
        """The full name and the overloads of a function that is no method."""
        for candidate in self._candidates(name, absolute):
            overloads = tuple(overload for overload in self._functions.get(candidate, ()) if not overload.member)
            if overloads:
                return candidate, overloads
        return None

    def method(self, name: str) -> tuple[Overload, ...]:
        return tuple(overload for overload in self._functions.get(name, ()) if overload.member)

    def variable_hint(self, name: str) -> str | None:
        declared = list(self._variables or ())
        longer = sorted(known for known in declared if known.startswith(f"{name}."))
        if longer:
            return "declared are " + ", ".join(f"`{known}`" for known in longer[:5])
        return did_you_mean(name, [*declared, *(known for known, _ in self._scopes)])

    def function_hint(self, name: str, *, member: bool) -> str | None:
        known = [
            candidate
            for candidate, overloads in self._functions.items()
            if any(overload.member is member for overload in overloads) and candidate[0].isalpha()
        ]
        other = any(overload.member is not member for overload in self._functions.get(name, ()))
        if other:
            return f"call it as `{name}(x)`" if member else f"call it as `x.{name}()`"
        return did_you_mean(name, known)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A hint at the name that was perhaps meant."""
    # Comparing is quadratic in the length of a name.
    close = get_close_matches(name[:100], list(known), n=1)
    return f"did you mean `{close[0]}`?" if close else None


def conversion_hint(function: str, kinds: Sequence[CelType]) -> str | None:
    """What was perhaps meant by a call that takes no such types: a number in a text, something in a list."""
    match function, kinds:
        case ("contains", [ListType(), _]):
            return "write `x in list`"
        case (_, [a, b]) if function in _ORDERINGS and STRING in (a, b):
            conversion = _FROM_TEXT.get(str(b if a == STRING else a))
            return f"convert the text with `{conversion}(…)`" if conversion else None
        case _:
            return None
