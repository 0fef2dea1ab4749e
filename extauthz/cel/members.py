"""The types of what a value holds: its fields, its items, the elements that a macro visits."""

from extauthz.cel.errors import Span
from extauthz.cel.inference import Inference
from extauthz.cel.names import did_you_mean
from extauthz.cel.reporter import Reporter
from extauthz.cel.tree import Expr
from extauthz.cel.types import (
    DYN,
    INT,
    STRING,
    CelType,
    ListType,
    MapType,
    OptionalType,
    StructType,
    TypeVar,
)


class Members:
    """Answers for one source, and reports what has no such member."""

    __slots__ = ("_reporter", "_types")

    def __init__(self, reporter: Reporter, types: Inference) -> None:
        self._reporter = reporter
        self._types = types

    def field(self, operand: CelType, name: str, span: Span, *, optional: bool) -> CelType:
        """The type of `operand.name`, or of `operand.?name`."""
        kind = self._types.resolve(operand)
        if isinstance(kind, OptionalType):
            return OptionalType(self._plain_field(self._types.resolve(kind.element), name, span))
        found = self._plain_field(kind, name, span)
        return OptionalType(found) if optional else found

    def _plain_field(self, kind: CelType, name: str, span: Span) -> CelType:
        match kind:
            case StructType(fields=fields):
                if name not in fields:
                    hint = did_you_mean(name, fields) or f"its fields are {', '.join(fields)}"
                    self._reporter.report(f"`{kind}` has no field `{name}`", span, hint)
                    return DYN
                return fields[name].type
            case MapType(key=key, value=value):
                if not self._types.fits(key, STRING):
                    self._reporter.report(f"`{kind}` has no field `{name}`", span, "write the key in brackets")
                return value
            case TypeVar():
                return DYN
            case _ if kind is DYN:
                return DYN
            case _:
                self._reporter.report(f"`{self._types.final(kind)}` has no field `{name}`", span)
                return DYN

    def item(self, operand: CelType, index: Expr, span: Span, *, optional: bool) -> CelType:
        """The type of `operand[index]`, or of `operand[?index]`."""
        kind = self._types.resolve(operand)
        if isinstance(kind, OptionalType):
            return OptionalType(self._plain_item(self._types.resolve(kind.element), index, span))
        found = self._plain_item(kind, index, span)
        return OptionalType(found) if optional else found

    def _plain_item(self, kind: CelType, index: Expr, span: Span) -> CelType:
        match kind:
            case ListType(element=element):
                self._expect_index(INT, index, "the index of a list")
                return element
            case MapType(key=key, value=value):
                self._expect_index(key, index, "the key")
                return value
            case TypeVar():
                return DYN
            case _ if kind is DYN:
                return DYN
            case _:
                hint = "write `.` and the name of the field" if isinstance(kind, StructType) else None
                self._reporter.report(f"`{self._types.final(kind)}` has no items", span, hint)
                return DYN

    def _expect_index(self, kind: CelType, index: Expr, what: str) -> None:
        if not self._types.fits(kind, index.type):
            expected, shown = self._types.final(kind), self._types.final(index.type)
            self._reporter.report(f"{what} must be `{expected}`, not `{shown}`", index.span)

    def elements(self, items: Expr, *, two: bool, strict: bool) -> tuple[CelType, CelType]:
        """The types of a macro's variables: element or key; with two, index or key, and element or value."""
        kind = self._types.resolve(items.type)
        match kind:
            case ListType(element=element):
                return (INT, element) if two else (element, DYN)
            case MapType(key=key, value=value):
                return key, value
            case _:
                if strict and kind is not DYN and not isinstance(kind, TypeVar):
                    message = f"`{self._types.final(kind)}` has no elements to visit"
                    self._reporter.report(message, items.span, "macros visit lists and maps")
                return DYN, DYN
