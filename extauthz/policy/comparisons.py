"""Which conditions compare one text of a request with texts that they say themselves.

The rule kept here: a comparison reads nothing else, and comes to what its expression does wherever its text is there.
"""

from typing import Literal, NamedTuple

from extauthz.cel import tree
from extauthz.policy.header_reads import is_view
from extauthz.policy.member_reads import member_read

_PARAMS = "request.params"


class Comparison(NamedTuple):
    """Whether the value of a header (by its name in lower case), or what was captured under a name, is one of `texts`.

    Where `wants` is false it is whether it is none of them.
    """

    of: Literal["header", "capture"]
    name: str
    texts: frozenset[str]
    wants: bool


def comparison_of(root: tree.Expr) -> Comparison | None:
    """What an expression compares, if it does nothing else."""
    match root:
        case tree.Call(function="_==_" | "_!=_" as function, args=(one, tree.Constant(value=str() as text))):
            return _comparison(one, frozenset((text,)), wants=function == "_==_")
        case tree.Call(function="_==_" | "_!=_" as function, args=(tree.Constant(value=str() as text), one)):
            return _comparison(one, frozenset((text,)), wants=function == "_==_")
        case tree.Call(function="@in", args=(one, tree.ListDisplay(elements=elements))):
            texts = [_text(element) for element in elements]
            given = frozenset([text for text in texts if text is not None])
            return _comparison(one, given, wants=True) if None not in texts else None
        case _:
            return None


def _text(element: tree.Element) -> str | None:
    value = element.value
    return value.value if isinstance(value, tree.Constant) and isinstance(value.value, str) else None


def _comparison(read: tree.Expr, texts: frozenset[str], *, wants: bool) -> Comparison | None:
    """The comparison with what `read` reads, where that is one header or one capture."""
    if not isinstance(read, tree.Select | tree.Index) or read.optional:
        return None
    whole, name = member_read(read)
    if whole is None or name is None:
        return None
    if isinstance(whole, tree.Variable) and whole.name == _PARAMS:
        return Comparison("capture", name, texts, wants)
    if isinstance(whole, tree.Select) and is_view(whole) and whole.field == "headers" and not whole.optional:
        return Comparison("header", name.lower(), texts, wants)
    return None
