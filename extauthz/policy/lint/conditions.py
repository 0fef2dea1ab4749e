"""Whether a condition can be true at all, as far as its literals tell.

A condition is taken apart into ways to be true, each a list of comparisons that must hold together. The rule kept
here: "never" is said only where no request makes the condition true; what is not understood may well hold.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from extauthz.cel import Program, tree
from extauthz.cel.fold import fold
from extauthz.policy.index import Place
from extauthz.policy.lint.overlap import methods_of, shown
from extauthz.policy.lint.presence import (
    Budget,
    Key,
    Presence,
    TooLarge,
    field_of,
    key_of,
    member,
    quoted,
    shape,
    spelled,
    with_owners,
)
from extauthz.policy.templates import Template

Way: TypeAlias = tuple[tuple[tree.Expr, bool], ...]
"""Comparisons and the values that they must have together."""

_MOST_WAYS: Final = 256
_SCALARS: Final = (bool, int, float, str, bytes)
_METHOD, _HOST, _PATH = (field_of("request", name) for name in ("method", "host", "path"))
_WORKLOAD, _TRUST_DOMAIN = field_of("workload", "id"), field_of("workload", "trust_domain")
# Each ordering with its sides exchanged, and what it is when it is false.
_EXCHANGED: Final = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}
_DENIED: Final = {"_<_": "_>=_", "_<=_": "_>_", "_>_": "_<=_", "_>=_": "_<_"}


def always_true(program: Program | None) -> bool:
    """Whether a condition is none: not written, or constant."""
    if program is None:
        return True
    folded = fold(program.tree)
    return isinstance(folded, tree.Constant) and folded.value is True


def why_never(program: Program, variables: Mapping[str, Program], place: Place) -> str | None:
    """What makes the condition of a rule at this place impossible, or `None` if it may hold."""
    budget = Budget()
    presence = Presence(variables, budget)
    try:
        ways = _ways(fold(program.tree), True, variables, budget)
        reasons = [_Together(place, presence).contradiction(way) for way in ways]
    except TooLarge:
        return None
    if not ways:
        return "it is constant"
    return reasons[0] if all(reasons) else None


def _ways(node: tree.Expr, truth: bool, variables: Mapping[str, Program], budget: Budget) -> list[Way]:
    """The ways in which a condition comes to `truth`."""
    budget.spend()
    match node:
        case tree.Constant(value=bool() as value):
            return [()] if value is truth else []
        case tree.Call(function="!_", args=(operand,)):
            return _ways(operand, not truth, variables, budget)
        case tree.Logic(operator=operator, terms=terms):
            each = [_ways(term, truth, variables, budget) for term in terms]
            return _product(each) if (operator == "&&") == truth else _sum(each)
        case tree.Conditional(test=test, then=then, otherwise=otherwise):
            met = [_ways(test, True, variables, budget), _ways(then, truth, variables, budget)]
            unmet = [_ways(test, False, variables, budget), _ways(otherwise, truth, variables, budget)]
            return _sum([_product(met), _product(unmet)])
        case tree.Variable(name=name) if name in variables:
            return _ways(variables[name].tree, truth, variables, budget)
        case _:
            return [((node, truth),)]


def _sum(each: Sequence[list[Way]]) -> list[Way]:
    ways = [way for one in each for way in one]
    if len(ways) > _MOST_WAYS:
        raise TooLarge
    return ways


def _product(each: Sequence[list[Way]]) -> list[Way]:
    ways: list[Way] = [()]
    for one in each:
        if len(ways) * len(one) > _MOST_WAYS:
            raise TooLarge
        ways = [(*left, *right) for left in ways for right in one]
    return ways


@dataclass(slots=True)
class _Values:
    """What is known of one value: the only ones that it can have, those that it can't, and its bounds."""

    name: str
    only: dict[object, object] | None = None
    without: dict[object, object] = field(default_factory=dict)
    low: tuple[float, bool] | None = None
    high: tuple[float, bool] | None = None

    def contradiction(self) -> str | None:
        if self.only is not None:
            left = [value for known, value in self.only.items() if known not in self.without and self._within(value)]
            return None if left else f"no value of `{self.name}` meets all that is asked of it"
        if self.low is not None and self.high is not None:
            (low, open_below), (high, open_above) = self.low, self.high
            if low > high or (low == high and (open_below or open_above)):
                return f"`{self.name}` can't be above {low:g} and below {high:g}"
        return None

    def _within(self, value: object) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return True
        above = self.low is None or value > self.low[0] or (value == self.low[0] and not self.low[1])
        below = self.high is None or value < self.high[0] or (value == self.high[0] and not self.high[1])
        return above and below


class _Together:
    """Comparisons that must hold in one request, at one place."""

    def __init__(self, place: Place, presence: Presence) -> None:
        self._place = place
        self._presence = presence
        self._values: dict[Key, _Values] = {}
        self._truths: dict[Key, bool] = {}
        self._there: set[Key] = set()
        self._absent: dict[Key, str] = {}
        self._beginnings: list[str] = []

    def contradiction(self, way: Way) -> str | None:
        """What is impossible about them, or `None`."""
        for node, truth in way:
            if self._differs(node, truth):
                return f"`{spelled_whole(node)}` would have to be both true and false"
        if self._place.workloads:
            self._there |= with_owners([_WORKLOAD])
        for key, name in self._absent.items():
            if key in self._there:
                return f"`{name}` would have to be there and absent"
        for values in self._values.values():
            if (reason := values.contradiction()) is not None:
                return reason
        return self._elsewhere()

    def _differs(self, node: tree.Expr, truth: bool) -> bool:
        """Note one comparison; whether it was noted before with the other value."""
        self._there |= self._presence.when(node, truth)
        match node:
            case tree.Has() if not truth:
                self._absent[key_of(node)] = spelled_whole(node)
            case tree.Call(function="@in", args=(tree.Constant(value=str()) as index, operand)) if not truth:
                self._absent[member(operand, index)] = spelled_whole(node)
            case tree.Call(function="_==_" | "_!=_" as operator, args=args):
                self._equal(args, (operator == "_==_") == truth)
            case tree.Call(function="@in", args=(value, tree.Constant(value=list() as literals))):
                self._one_of(value, literals, truth)
            case tree.Call(function="startsWith", args=(value, tree.Constant(value=str() as prefix))) if truth:
                if shape(value) == _PATH:
                    self._beginnings.append(prefix)
            case tree.Call(function=operator, args=(left, right)) if operator in _EXCHANGED:
                self._ordered(operator if truth else _DENIED[operator], left, right)
        return self._truths.setdefault(shape(node), truth) is not truth

    def _equal(self, args: tuple[tree.Expr, ...], truth: bool) -> None:
        left, right = args
        if isinstance(left, tree.Constant):
            left, right = right, left
        if isinstance(right, tree.Constant) and not isinstance(left, tree.Constant):
            self._one_of(left, [right.value], truth)

    def _one_of(self, node: tree.Expr, literals: Sequence[object], truth: bool) -> None:
        if not all(literal is None or isinstance(literal, _SCALARS) for literal in literals):
            return
        known = {_comparable(literal): literal for literal in literals}
        values = self._of(node)
        if not truth:
            values.without.update(known)
        elif values.only is None:
            values.only = known
        else:
            values.only = {key: value for key, value in values.only.items() if key in known}

    def _ordered(self, operator: str, left: tree.Expr, right: tree.Expr) -> None:
        if isinstance(left, tree.Constant):
            operator, left, right = _EXCHANGED[operator], right, left
        bound = right.value if isinstance(right, tree.Constant) else None
        if not isinstance(bound, int | float) or isinstance(bound, bool) or isinstance(left, tree.Constant):
            return
        values, limit = self._of(left), (bound, operator in ("_<_", "_>_"))
        if operator in ("_<_", "_<=_"):
            values.high = limit if values.high is None else min(values.high, limit, key=lambda x: (x[0], not x[1]))
        else:
            values.low = limit if values.low is None else max(values.low, limit)

    def _of(self, node: tree.Expr) -> _Values:
        return self._values.setdefault(shape(node), _Values(spelled(node)))

    def _elsewhere(self) -> str | None:
        """Whether literals lie outside of the match fields, or are written as no request has them."""
        place = self._place
        methods = methods_of(place)
        checks = (
            (_METHOD, lambda text: not methods or text in methods, "the rule's `methods`"),
            (_HOST, lambda text: text == text.lower(), "the form of a host, which is lower case"),
            (_HOST, lambda text: not place.hosts or any(host.fits(text) for host in place.hosts), "the rule's `hosts`"),
            (_PATH, lambda text: _path_fits(text, place.templates), "the rule's `paths`"),
            (
                _WORKLOAD,
                lambda text: not place.workloads or any(pattern.fits(text) for pattern in place.workloads),
                "the rule's `workloads`",
            ),
            (
                _TRUST_DOMAIN,
                lambda text: not place.workloads or any(pattern.segments[0] == text for pattern in place.workloads),
                "the trust domains of the rule's `workloads`",
            ),
        )
        for key, fits, what in checks:
            values = self._values.get(key)
            texts = [value for value in self._left(values) if isinstance(value, str)]
            if texts and not any(map(fits, texts)):
                return f"{shown(texts)} for `{'.'.join(_names(key))}` does not fit {what}"
        for prefix in self._beginnings:
            if not _prefix_fits(prefix, place.templates):
                return f"no path of the rule's `paths` begins with `{prefix}`"
        return None

    @staticmethod
    def _left(values: _Values | None) -> Iterator[object]:
        if values is not None and values.only is not None:
            yield from (value for known, value in values.only.items() if known not in values.without)


def _comparable(value: object) -> object:
    """Literals that CEL takes for equal are equal as keys: numbers of any type, and no bool among them."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ("number", value)
    return (type(value).__name__, repr(value))


def _names(key: Key) -> tuple[str, str]:
    owner = key[1]
    assert isinstance(owner, tuple)  # noqa: S101 - as `field_of` makes it
    return str(owner[1]), str(key[2])


def _path_fits(text: str, templates: Sequence[Template]) -> bool:
    if not templates or "%" in text:  # a path shows a relaxed `%2F`, which its segments hold as `/`
        return True
    if not text.startswith("/"):
        return False
    inner = text[1:].removesuffix("/")
    segments = inner.split("/") if inner else []
    return any(_segments_fit(segments, template, whole=True) for template in templates)


def _prefix_fits(text: str, templates: Sequence[Template]) -> bool:
    if not templates or "%" in text or not text:
        return True
    *whole, partial = text[1:].split("/")
    return text.startswith("/") and any(
        _segments_fit(whole, template, whole=False) and _begins(partial, template, len(whole)) for template in templates
    )


def _segments_fit(segments: Sequence[str], template: Template, *, whole: bool) -> bool:
    """Whether a path of the template has these segments, or begins with them."""
    pattern = template.segments
    if (len(segments) > len(pattern) and not template.tail) or (whole and len(segments) < len(pattern)):
        return False
    return all(p == s if p is not None else bool(s) for s, p in zip(segments, pattern, strict=False))


def _begins(partial: str, template: Template, position: int) -> bool:
    """Whether the segment at a position can begin so; at the end of the template only a slash may follow."""
    if position >= len(template.segments):
        return template.tail or (position == len(template.segments) and not partial)
    literal = template.segments[position]
    return literal is None or literal.startswith(partial)


def spelled_whole(node: tree.Expr) -> str:
    """A comparison as people know it, shortened to what it is about."""
    match node:
        case tree.Has(operand=operand, field=name):
            return f"{spelled(operand)}.{name}"
        case tree.Call(function="@in", args=(tree.Constant(value=value), operand)):
            return f"{spelled(operand)}[{quoted(value)}]"
        case tree.Call(function=operator, args=(left, tree.Constant(value=value))) if operator.startswith("_"):
            return f"{spelled(left)} {operator.strip('_')} {quoted(value)}"
        case _:
            return spelled(node)
