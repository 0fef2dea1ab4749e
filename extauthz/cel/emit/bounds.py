"""Between which bounds an int expression lies, as far as its form tells: what can't overflow needs no check."""

from typing import Final, TypeAlias

from extauthz.cel.tree import Call, Constant, Expr
from extauthz.cel.types import INT
from extauthz.cel.values import INT_MAX, INT_MIN, UInt

Bounds: TypeAlias = tuple[int, int]

ANY: Final[Bounds] = (INT_MIN, INT_MAX)
_SIZE: Final[Bounds] = (0, 2**48)
_OPERATORS: Final = frozenset({"_+_", "_-_", "_*_", "_/_", "_%_", "-_"})
_BY_OVERLOAD: Final[dict[str, Bounds]] = {
    **{f"size{member}_{kind}": _SIZE for member in ("", "_member") for kind in ("string", "bytes", "list", "map")},
    "index_of": (-1, 2**48),
    "last_index_of": (-1, 2**48),
    "cidr_prefix_length": (0, 128),
    "ip_family": (4, 6),
    "timestamp_getFullYear": (1, 9999),
    "timestamp_getHours": (0, 23),
    "timestamp_getMinutes": (0, 59),
    "timestamp_getSeconds": (0, 59),
    "timestamp_getDayOfWeek": (0, 6),
}


def bounds(node: Expr) -> Bounds:
    """The least and the greatest value of an int expression; all of int where nothing is known."""
    if isinstance(node, Constant):
        value = node.value
        return (value, value) if type(value) is int or type(value) is UInt else ANY
    if not isinstance(node, Call) or node.type != INT or len(node.overloads) != 1:
        return ANY
    known = _BY_OVERLOAD.get(node.overloads[0].id)
    if known is not None:
        return known
    if node.function in _OPERATORS and all(arg.type == INT for arg in node.args):
        low, high = raw_bounds(node)
        return max(low, INT_MIN), min(high, INT_MAX)
    return ANY


def raw_bounds(node: Call) -> Bounds:
    """The bounds of an int operation's result before it is checked to fit 64 bits."""
    parts = [bounds(arg) for arg in node.args]
    match node.function, parts:
        case "_+_", [left, right]:
            return left[0] + right[0], left[1] + right[1]
        case "_-_", [left, right]:
            return left[0] - right[1], left[1] - right[0]
        case "_*_", [left, right]:
            corners = [a * b for a in left for b in right]
            return min(corners), max(corners)
        case "-_", [operand]:
            return -operand[1], -operand[0]
        case "_%_", [left, right]:
            reach = max(abs(right[0]), abs(right[1]), 1) - 1
            return (0 if left[0] >= 0 else -reach), (reach if left[1] > 0 else 0)
        case "_/_", [left, _]:
            reach = max(abs(left[0]), abs(left[1]))
            return (0 if left[0] >= 0 and parts[1][0] >= 0 else -reach), reach
        case _:
            return ANY
