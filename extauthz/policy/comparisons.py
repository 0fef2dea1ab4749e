"""Which conditions compare one text of a request with texts that they say themselves.

The rule kept here: a comparison reads nothing else, and comes to what its expression does wherever its text is there.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from extauthz.cel import tree
from extauthz.policy.header_reads import is_view
from extauthz.policy.member_reads import member_read
from extauthz.values.request import EMPTY

MOST_DEFINED: Final = 64
"""Texts of a list of definitions: each comparison with it keeps them, and as many rules may use it."""

_PARAMS = "request.params"


class Comparison(NamedTuple):
    """Whether the value of a header (by its name in lower case), or what was captured under a name, is one of `texts`.

    Where `wants` is false it is whether it is none of them.
    """

    of: Literal["header", "capture"]
    name: str
    texts: frozenset[str]
    wants: bool


def comparison_of(root: tree.Expr, constants: Mapping[str, object] = EMPTY) -> Comparison | None:
    """What an expression compares, if it does nothing else; `constants` are the values of definitions by their names,
    which it may compare with, too."""
    match root:
        case tree.Call(function="_==_" | "_!=_" as function, args=(one, other)):
            read, text = one, _text(other, constants)
            if text is None:
                read, text = other, _text(one, constants)
            return None if text is None else _comparison(read, frozenset((text,)), wants=function == "_==_")
        case tree.Call(function="@in", args=(one, many)):
            texts = _texts(many, constants)
            return None if texts is None else _comparison(one, texts, wants=True)
        case _:
            return None


def _text(node: tree.Expr, constants: Mapping[str, object]) -> str | None:
    """The text that a node says; `None` if it is none that is known."""
    match node:
        case tree.Constant(value=str() as text):
            return text
        case tree.Variable(name=name):
            value = constants.get(name)
            return value if isinstance(value, str) else None
        case _:
            return None


def _texts(node: tree.Expr, constants: Mapping[str, object]) -> frozenset[str] | None:
    """The texts of the list that a node says; `None` if not all of them are known."""
    values: Iterable[object]
    match node:
        case tree.ListDisplay(elements=elements):
            values = [_text(element.value, constants) for element in elements]
        case tree.Variable(name=name) if isinstance(value := constants.get(name), list | tuple):
            values = value if len(value) <= MOST_DEFINED else [None]
        case _:
            return None
    texts = frozenset([text for text in values if isinstance(text, str)])
    return texts if all(isinstance(text, str) for text in values) else None


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
