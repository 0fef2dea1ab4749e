"""Tree to checked tree: names are resolved, types deduced, overloads chosen (langdef, "Gradual Type Checking").

With the check off, everything is `dyn` and what the check would refuse fails when it is evaluated, if it is.
"""

from collections.abc import Callable
from typing import Any, Final

from extauthz.cel.errors import Span
from extauthz.cel.functions import Overload
from extauthz.cel.inference import Inference, is_concrete
from extauthz.cel.limits import Limits
from extauthz.cel.members import Members
from extauthz.cel.names import Names, conversion_hint, qualified
from extauthz.cel.reporter import Reporter
from extauthz.cel.tree import (
    Bind,
    Call,
    Conditional,
    Constant,
    Element,
    Entry,
    Expr,
    Failure,
    Has,
    Ident,
    Index,
    ListDisplay,
    Local,
    Logic,
    Loop,
    MapDisplay,
    Select,
    Variable,
    changed,
    mapped,
)
from extauthz.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    INT,
    NULL,
    STRING,
    TYPE,
    UINT,
    CelType,
    ListType,
    MapType,
    OptionalType,
    StructType,
)
from extauthz.cel.values import Type, UInt

_LITERALS: Final[dict[type, CelType]] = {
    bool: BOOL, int: INT, UInt: UINT, float: DOUBLE, str: STRING, bytes: BYTES, type(None): NULL,
}  # fmt: skip
_KEYS: Final = (BOOL, INT, UINT, STRING)


def check(tree: Expr, names: Names, reporter: Reporter, limits: Limits, *, strict: bool) -> Expr:
    """The checked tree; problems are reported, and what they stand in is `dyn`."""
    checker = _Checker(names, reporter, limits, strict=strict)
    checked = checker.check(tree)
    return checker.settle(checked)


class _Checker:
    def __init__(self, names: Names, reporter: Reporter, limits: Limits, *, strict: bool) -> None:
        self._names = names
        self._reporter = reporter
        self._limits = limits
        self._strict = strict
        self._types = Inference()
        self._members = Members(reporter, self._types)
        self._loops = 0

    def check(self, node: Expr) -> Expr:
        check = _CHECKS.get(type(node))
        return node if check is None else check(self, node)

    def settle(self, node: Expr) -> Expr:
        """The tree with its final types; only sources with `[]` and the like have any left to settle."""
        if not self._types.has_unknowns:
            return node
        return _with_types(node, self._types)

    def _typed(self, node: Expr, kind: CelType) -> Expr:
        return changed(node, type=kind) if self._strict else node

    def _report(self, message: str, span: Span, hint: str | None = None) -> None:
        if self._strict:
            self._reporter.report(message, span, hint)

    def _expect(self, node: Expr, kind: CelType, what: str) -> None:
        if self._strict and not self._types.fits(kind, node.type):
            shown = self._types.final(node.type)
            self._reporter.report(f"{what} must be `{kind}`, not `{shown}`", node.span)

    def _bool(self, node: Expr) -> Expr:
        checked = self.check(node)
        self._expect(checked, BOOL, "a condition")
        return checked

    def _constant(self, node: Constant) -> Expr:
        return self._typed(node, _LITERALS[type(node.value)])

    def _logic(self, node: Logic) -> Expr:
        return self._typed(changed(node, terms=tuple(map(self._bool, node.terms))), BOOL)

    # Names

    def _ident(self, node: Ident) -> Expr:
        resolved = self._resolved(node)
        if resolved is not None:
            return resolved
        if self._strict:
            self._reporter.report(f"undeclared name `{node.name}`", node.span, self._names.variable_hint(node.name))
            return Failure(span=node.span, message=f"undeclared name `{node.name}`")
        return Variable(span=node.span, name=node.name)

    def _resolved(self, node: Ident | Select) -> Expr | None:
        """What a dotted name stands for as a whole."""
        spelled = qualified(node)
        if spelled is None:
            return None
        name, root, absolute = spelled
        local = None if absolute else self._names.local(root)
        if local is not None:
            return self._typed(Local(span=node.span, name=root), local) if name == root else None
        if (variable := self._names.variable(name, absolute)) is not None:
            return self._typed(Variable(span=node.span, name=variable[0]), variable[1])
        if (type_name := self._names.type_name(name, absolute)) is not None:
            return self._typed(Constant(span=node.span, value=Type(type_name)), TYPE)
        return None

    # Members

    def _select(self, node: Select) -> Expr:
        resolved = self._resolved(node)
        if resolved is not None:
            return resolved
        operand = self.check(node.operand)
        if not self._strict:
            return changed(node, operand=operand)
        kind = self._members.field(operand.type, node.field, node.span, optional=node.optional)
        return changed(node, operand=operand, type=kind)

    def _has(self, node: Has) -> Expr:
        operand = self.check(node.operand)
        if self._strict:
            self._members.field(operand.type, node.field, node.span, optional=node.optional)
        return self._typed(changed(node, operand=operand), BOOL)

    def _index(self, node: Index) -> Expr:
        operand, index = self.check(node.operand), self.check(node.index)
        checked = changed(node, operand=operand, index=index)
        if not self._strict:
            return checked
        kind = self._members.item(operand.type, index, node.span, optional=node.optional)
        return changed(checked, type=kind)

    # Calls

    def _call(self, node: Call) -> Expr:
        if node.target is not None:
            return self._method(node, node.target)
        args = tuple(map(self.check, node.args))
        absolute = node.function.startswith(".")
        name = node.function.removeprefix(".")
        found = self._names.function(name, absolute)
        if found is None:
            return self._unknown(node, name, member=False)
        return self._overload(node, found[0], found[1], args)

    def _method(self, node: Call, target: Expr) -> Expr:
        spelled = qualified(target)
        if spelled is not None and (spelled[2] or self._names.local(spelled[1]) is None):
            found = self._names.function(f"{spelled[0]}.{node.function}", spelled[2])
            if found is not None:
                return self._overload(node, found[0], found[1], tuple(map(self.check, node.args)))
        overloads = self._names.method(node.function)
        if not overloads and spelled is not None and self._resolved_root(target) is None:
            return self._unknown(node, f"{spelled[0]}.{node.function}", member=False)
        args = (self.check(target), *map(self.check, node.args))
        if not overloads:
            return self._unknown(node, node.function, member=True)
        return self._overload(node, node.function, overloads, args)

    def _resolved_root(self, target: Expr) -> Expr | None:
        """The variable or type that a chain of selections begins with, if there is one."""
        while isinstance(target, Ident | Select):
            resolved = self._resolved(target)
            if resolved is not None or isinstance(target, Ident):
                return resolved
            target = target.operand
        return None

    def _unknown(self, node: Call, name: str, *, member: bool) -> Expr:
        what = "method" if member else "function"
        hint = self._names.function_hint(name, member=member) if self._strict else None
        self._report(f"unknown {what} `{name}`", node.span, hint)
        return Failure(span=node.span, message=f"unknown {what} `{name}`")

    def _overload(self, node: Call, name: str, overloads: tuple[Overload, ...], args: tuple[Expr, ...]) -> Expr:
        if not self._strict:
            fitting = tuple(overload for overload in overloads if len(overload.args) == len(args))
            if not fitting:
                return Failure(span=node.span, message=f"`{name}` does not take {len(args)} arguments")
            return changed(node, function=name, args=args, target=None, overloads=fitting)
        kinds = [arg.type for arg in args]
        fitting, kind = self._types.matching(overloads, kinds)
        if name in ("_==_", "_!=_") and any(isinstance(self._types.resolve(k), StructType) for k in kinds):
            fitting = ()
        if not fitting:
            self._no_overload(node, name, overloads, kinds)
            kind = DYN
        return changed(node, function=name, args=args, target=None, overloads=fitting, type=kind)

    def _no_overload(self, node: Call, name: str, overloads: tuple[Overload, ...], kinds: list[CelType]) -> None:
        shown = name.strip("_@") if not name[0].isalpha() else name
        final = [self._types.final(kind) for kind in kinds]
        given = ", ".join(map(str, final))
        takes = sorted({"(" + ", ".join(map(str, overload.args)) + ")" for overload in overloads})
        hint = "structures can't be compared; compare their fields"
        if not any(isinstance(kind, StructType) for kind in kinds):
            hint = "it takes " + ", ".join(takes[:4]) + (", …" if len(takes) > 4 else "")
        if name in ("_==_", "_!=_") and not any(isinstance(kind, StructType) for kind in kinds):
            hint = "convert one side, or compare `dyn(…)`"
        self._report(f"`{shown}` does not take ({given})", node.span, conversion_hint(name, final) or hint)

    # Operators and displays

    def _conditional(self, node: Conditional) -> Expr:
        test = self._bool(node.test)
        then, otherwise = self.check(node.then), self.check(node.otherwise)
        checked = changed(node, test=test, then=then, otherwise=otherwise)
        if not self._strict:
            return checked
        if not self._types.fits(then.type, otherwise.type):
            left, right = self._types.final(then.type), self._types.final(otherwise.type)
            hint = "make them one type, or wrap one in `dyn(…)`"
            self._reporter.report(f"`?:` gives `{left}` or `{right}`", node.span, hint)
        return changed(checked, type=self._types.join(then.type, otherwise.type))

    def _value(self, checked: Expr, optional: bool) -> CelType:
        """The type of an element or value, which `?` takes out of an optional."""
        kind = self._types.resolve(checked.type)
        if not optional or not self._strict:
            return kind
        if isinstance(kind, OptionalType):
            return kind.element
        self._expect(checked, OptionalType(DYN), "what follows `?`")
        return DYN

    def _list(self, node: ListDisplay) -> Expr:
        kind: CelType | None = None
        elements: list[Element] = []
        for element in node.elements:
            value = self.check(element.value)
            elements.append(Element(value=value, optional=element.optional))
            found = self._value(value, element.optional)
            kind = found if kind is None else self._types.join(kind, found)
        whole = ListType(self._types.fresh() if kind is None else kind)
        return self._typed(changed(node, elements=tuple(elements)), whole)

    def _map(self, node: MapDisplay) -> Expr:
        keys: CelType | None = None
        values: CelType | None = None
        entries: list[Entry] = []
        for entry in node.entries:
            key, value = self.check(entry.key), self.check(entry.value)
            entries.append(Entry(key=key, value=value, optional=entry.optional))
            if is_concrete(self._types.resolve(key.type)) and key.type not in _KEYS:
                hint = "keys are bool, int, uint or string"
                self._report(f"`{self._types.final(key.type)}` is no type for a key", key.span, hint)
            found = self._value(value, entry.optional)
            keys = key.type if keys is None else self._types.join(keys, key.type)
            values = found if values is None else self._types.join(values, found)
        if keys is None or values is None:
            keys, values = self._types.fresh(), self._types.fresh()
        return self._typed(changed(node, entries=tuple(entries)), MapType(keys, values))

    # Macros

    def _loop(self, node: Loop) -> Expr:
        items = self.check(node.range)
        first, second = self._members.elements(items, two=node.second is not None, strict=self._strict)
        self._loops += 1
        if self._loops > self._limits.comprehension_nesting:
            limit = self._limits.comprehension_nesting
            self._reporter.report(f"macros nested deeper than {limit} levels", node.span, "split the expression")
        self._names.enter(node.variable, first)
        if node.second is not None:
            self._names.enter(node.second, second)
        where = self._bool(node.where) if node.where is not None else None
        result = self.check(node.result) if node.result is not None else None
        self._names.leave()
        if node.second is not None:
            self._names.leave()
        self._loops -= 1
        kind: CelType = BOOL
        if result is not None and node.kind == "list":
            kind = ListType(result.type)
        elif result is not None and node.kind == "map":
            kind = MapType(first, result.type)
        elif result is not None and node.kind == "mapEntry":
            self._expect(result, MapType(DYN, DYN), "what transformMapEntry() collects")
            kind = result.type
        return self._typed(changed(node, range=items, where=where, result=result), kind)

    def _bind(self, node: Bind) -> Expr:
        value = self.check(node.value)
        kind: CelType = self._types.resolve(value.type)
        if node.unwrap and self._strict:
            self._expect(value, OptionalType(DYN), f"what {node.unwrap}() is called on")
            kind = kind.element if isinstance(kind, OptionalType) else DYN
        self._names.enter(node.variable, kind)
        body = self.check(node.body)
        self._names.leave()
        result = body.type
        if node.unwrap == "optMap":
            result = OptionalType(result)
        elif node.unwrap == "optFlatMap":
            self._expect(body, OptionalType(DYN), "the result of optFlatMap()")
        return self._typed(changed(node, value=value, body=body), result)


# The rules of the class by the nodes that they check; what the parser could not read is left as it is.
_CHECKS: Final[dict[type, Callable[[_Checker, Any], Expr]]] = {
    Constant: _Checker._constant,
    Ident: _Checker._ident,
    Select: _Checker._select,
    Has: _Checker._has,
    Index: _Checker._index,
    Call: _Checker._call,
    Logic: _Checker._logic,
    Conditional: _Checker._conditional,
    ListDisplay: _Checker._list,
    MapDisplay: _Checker._map,
    Loop: _Checker._loop,
    Bind: _Checker._bind,
}


def _with_types(node: Expr, types: Inference) -> Expr:
    settled = mapped(node, lambda child: _with_types(child, types))
    kind = types.final(node.type)
    return settled if kind is settled.type else changed(settled, type=kind)
