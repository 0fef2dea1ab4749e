"""Which type fits which: unification of types with unknowns, and the overloads that fit arguments."""

from typing import Final

from extauthz.cel.functions import Overload
from extauthz.cel.types import (
    DYN,
    CelType,
    ListType,
    MapType,
    OptionalType,
    SimpleType,
    StructType,
    TypeParam,
    TypeVar,
)

_ANY: Final = (TypeParam, TypeVar)


def is_concrete(kind: CelType) -> bool:
    """Whether a value of this type is known to be of one kind (what a list holds may still be unknown)."""
    return kind is not DYN and not isinstance(kind, _ANY)


def general(left: CelType, right: CelType) -> CelType:
    """Of two types that fit each other, the one that promises less: `dyn` wherever either says so."""
    match left, right:
        case (ListType(), ListType()):
            return ListType(general(left.element, right.element))
        case (MapType(), MapType()):
            return MapType(general(left.key, right.key), general(left.value, right.value))
        case (OptionalType(), OptionalType()):
            return OptionalType(general(left.element, right.element))
        case (TypeVar(), _):
            return right
        case (_, TypeVar()):
            return left
        case _:
            return left if left == right else DYN


class Inference:
    """What is known so far of the unknown types of one source."""

    __slots__ = ("_bound", "_count")

    def __init__(self) -> None:
        self._bound: dict[TypeVar, CelType] = {}
        self._count = 0

    @property
    def has_unknowns(self) -> bool:
        return self._count > 0

    def fresh(self) -> TypeVar:
        self._count += 1
        return TypeVar(self._count)

    def resolve(self, kind: CelType) -> CelType:
        """The type with everything put in that is known of its unknowns."""
        match kind:
            case SimpleType() | StructType() | TypeParam():
                return kind
            case TypeVar():
                bound = self._bound.get(kind)
                return kind if bound is None else self.resolve(bound)
            case ListType(element=element):
                return ListType(self.resolve(element))
            case MapType(key=key, value=value):
                return MapType(self.resolve(key), self.resolve(value))
            case OptionalType(element=element):
                return OptionalType(self.resolve(element))

    def final(self, kind: CelType) -> CelType:
        """The type as the program shows it: what stayed unknown is `dyn`."""
        match self.resolve(kind):
            case TypeVar() | TypeParam():
                return DYN
            case ListType(element=element):
                return ListType(self.final(element))
            case MapType(key=key, value=value):
                return MapType(self.final(key), self.final(value))
            case OptionalType(element=element):
                return OptionalType(self.final(element))
            case resolved:
                return resolved

    def fits(self, left: CelType, right: CelType) -> bool:
        """Whether the types can be the same, with `dyn` fitting all; unknowns are bound if so."""
        before = dict(self._bound)
        if self._unify(left, right):
            return True
        self._bound = before
        return False

    def _unify(self, left: CelType, right: CelType) -> bool:
        left, right = self.resolve(left), self.resolve(right)
        if left == right or left is DYN or right is DYN:
            return True
        match left, right:
            case (TypeVar(), _):
                return self._bind(left, right)
            case (_, TypeVar()):
                return self._bind(right, left)
            case (ListType(), ListType()):
                return self._unify(left.element, right.element)
            case (OptionalType(), OptionalType()):
                return self._unify(left.element, right.element)
            case (MapType(), MapType()):
                return self._unify(left.key, right.key) and self._unify(left.value, right.value)
            case _:
                return False

    def _bind(self, variable: TypeVar, kind: CelType) -> bool:
        if _occurs(variable, kind):
            return False
        self._bound[variable] = kind
        return True

    def join(self, left: CelType, right: CelType) -> CelType:
        """The type of elements of two types in one list: their common one, or `dyn`."""
        if self.fits(left, right):
            return general(self.resolve(left), self.resolve(right))
        return DYN

    def matching(self, overloads: tuple[Overload, ...], args: list[CelType]) -> tuple[tuple[Overload, ...], CelType]:
        """The overloads that fit arguments of these types, and the type of the result."""
        found: list[Overload] = []
        result: CelType = DYN
        bound_by_first = self._bound
        for overload in overloads:
            if len(overload.args) != len(args):
                continue
            before = dict(self._bound)
            matched = self._result(overload, args)
            bound, self._bound = self._bound, before
            if matched is None:
                continue
            if not found:
                result, bound_by_first = matched, bound
            elif result != matched:
                result = DYN
            found.append(overload)
        if len(found) == 1:
            self._bound = bound_by_first
        return tuple(found), result

    def _result(self, overload: Overload, args: list[CelType]) -> CelType | None:
        if not any(map(_has_params, (overload.result, *overload.args))):
            # A plain signature: no parameters to find.
            return overload.result if all(map(self._unify, overload.args, args)) else None
        names: dict[str, CelType] = {}
        instances = [self._instance(arg, names) for arg in overload.args]
        self._instance(overload.result, names)  # a parameter of the result only: optional.none()
        if not all(map(self._unify, instances, args)):
            return None
        # An argument that is dyn in the place of a parameter makes the result dyn there, whatever the others say:
        # what the compiler is told of a type must hold for every value.
        gathered: dict[str, CelType] = {}
        for declared, arg in zip(overload.args, args, strict=True):
            _gather(declared, self.resolve(arg), gathered)
        return _substituted(overload.result, {**names, **gathered})

    def _instance(self, kind: CelType, names: dict[str, CelType]) -> CelType:
        match kind:
            case TypeParam(name=name):
                if name not in names:
                    names[name] = self.fresh()
                return names[name]
            case ListType(element=element):
                return ListType(self._instance(element, names))
            case MapType(key=key, value=value):
                return MapType(self._instance(key, names), self._instance(value, names))
            case OptionalType(element=element):
                return OptionalType(self._instance(element, names))
            case SimpleType() | StructType() | TypeVar():
                return kind


def _has_params(kind: CelType) -> bool:
    match kind:
        case TypeParam():
            return True
        case ListType(element=element) | OptionalType(element=element):
            return _has_params(element)
        case MapType(key=key, value=value):
            return _has_params(key) or _has_params(value)
        case _:
            return False


def _occurs(variable: TypeVar, kind: CelType) -> bool:
    match kind:
        case TypeVar():
            return kind == variable
        case ListType(element=element) | OptionalType(element=element):
            return _occurs(variable, element)
        case MapType(key=key, value=value):
            return _occurs(variable, key) or _occurs(variable, value)
        case _:
            return False


def _gather(declared: CelType, arg: CelType, gathered: dict[str, CelType]) -> None:
    match declared:
        case TypeParam(name=name):
            gathered[name] = general(gathered[name], arg) if name in gathered else arg
        case ListType(element=element):
            _gather(element, arg.element if isinstance(arg, ListType) else DYN, gathered)
        case OptionalType(element=element):
            _gather(element, arg.element if isinstance(arg, OptionalType) else DYN, gathered)
        case MapType(key=key, value=value):
            _gather(key, arg.key if isinstance(arg, MapType) else DYN, gathered)
            _gather(value, arg.value if isinstance(arg, MapType) else DYN, gathered)
        case _:
            pass


def _substituted(kind: CelType, names: dict[str, CelType]) -> CelType:
    match kind:
        case TypeParam(name=name):
            return names.get(name, DYN)
        case ListType(element=element):
            return ListType(_substituted(element, names))
        case MapType(key=key, value=value):
            return MapType(_substituted(key, names), _substituted(value, names))
        case OptionalType(element=element):
            return OptionalType(_substituted(element, names))
        case _:
            return kind
