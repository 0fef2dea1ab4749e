"""What messages quote: names stay, what a request gave can be left out; every message that is made is looked at."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

import extauthz
from extauthz.errors import ConfigurationError
from extauthz.values.quoting import LONGEST, detail_of, given, masked, owned

ROOT = Path(extauthz.__file__).parent


@given_any(st.text(max_size=3 * LONGEST), st.text("ab`: “”", max_size=5).map(lambda text: text.replace("“", "")))
def test_whatever_is_given_is_masked_whole_and_nothing_else_is(value: str, around: str) -> None:
    around = around.replace("”", "")
    message = f"{around}{given(value)}{around}"
    assert masked(message) == f"{around}“…”{around}"
    assert masked(masked(message)) == masked(message)
    assert len(message) <= LONGEST + 3 + 2 * len(around)


@given_any(st.text(max_size=LONGEST).filter(lambda text: not set(text) & set("“”")))
def test_what_is_given_and_then_owned_is_a_name(value: str) -> None:
    assert owned(f"no such key: {given(value)}") == f"no such key: `{value}`"


def test_of_an_error_that_is_not_ours_the_type_alone_is_a_name() -> None:
    assert masked(detail_of(ValueError("invalid literal: 's3cr3t'"))) == "ValueError: “…”"
    assert masked(detail_of(RuntimeError())) == "RuntimeError"
    assert masked(detail_of(OSError(28, "No space left on device", "s3cr3t"))) == "No space left on device"
    assert masked(detail_of(ConfigurationError("keys: `kid` comes twice"))) == "keys: `kid` comes twice"


COMMANDS = ("cli/", "history/")
"""What reads records and writes none."""
ERRORS = frozenset({"Refused", "EvalError", "Unreadable", "Unreachable"})
"""Whose messages may get into a record, as they are or in another one; their subclasses too."""
NAMES = frozenset(
    {"field", "function", "header", "key", "kind", "name", "other", "place", "source", "trust_domain", "verb", "what"}
)
"""What variables are called that hold names: of fields, claims, headers, sources and the like; values are not."""
MESSAGES = frozenset({"detail", "error", "failure", "failures", "fault", "message", "outcome", "trouble"})
"""What variables are called that hold messages, which are looked at where they are made."""
OURS = frozenset({"__name__", "id", "path", "types", "url", "verified_by"})
"""Of our own: classes, factors in the store, files, types of CEL, addresses that are configured."""
NUMBERS = frozenset({"colno", "lineno", "longest", "patience", "regex_length", "regex_program", "status", "used"})
WORDS = NAMES | MESSAGES | OURS | NUMBERS
LOOKED_AT = {("identity/tokens.py", "parts")}  # why a token can't be taken apart
CALLS = frozenset({"_told", "given", "kind_of", "len", "owned"})


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(("_pb/", *COMMANDS)):
            yield name, ast.parse(path.read_text())


def last(node: ast.expr) -> str:
    return ast.unparse(node).rpartition(".")[2]


def error_classes() -> frozenset[str]:
    classes = [node for _, module in modules() for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
    found = ERRORS
    while more := {one.name for one in classes if found & set(map(last, one.bases))} - found:
        found |= more
    return found


def doubtful(said: ast.expr) -> Iterator[str]:
    """The parts of a message that may come from a request: no words, no constants, not given, not called a name."""
    match said:
        case ast.JoinedStr(values=parts) | ast.BoolOp(values=parts):
            for part in parts:
                yield from doubtful(part)
        case ast.FormattedValue(value=part) | ast.Subscript(value=part):
            yield from doubtful(part)
        case ast.BinOp(left=one, right=other) | ast.IfExp(body=one, orelse=other):
            yield from doubtful(one)
            yield from doubtful(other)
        case ast.Name(id=name) | ast.Attribute(attr=name) if name.isupper() or name.strip("_") in WORDS:
            pass
        case ast.Attribute(attr="__name__") | ast.Constant():
            pass
        case ast.Call(func=function) if last(function) in CALLS:
            pass
        case ast.Call(func=ast.Name(id="str" | "map") | ast.Attribute(attr="join"), args=[*_, part]):
            yield from doubtful(part)
        case _:
            yield ast.unparse(said)


def messages(module: ast.Module, classes: frozenset[str]) -> Iterator[ast.expr]:
    """What the errors of a module say: what they are made with, and f-strings for the functions that make them."""
    makers = {
        node.name
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef) and node.returns is not None and last(node.returns) in classes
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and last(node.func) in classes | makers:
            said = [*node.args[:1], *(one.value for one in node.keywords if one.arg in ("message", "detail"))]
            yield from (one for one in said if last(node.func) in classes or isinstance(one, ast.JoinedStr))


def test_every_message_that_may_be_recorded_quotes_by_given_or_says_what_is_called_a_name() -> None:
    classes = error_classes()
    assert {"InvalidCredential", "NotBindable"} <= classes
    found = [(name, message) for name, module in modules() for message in messages(module, classes)]
    assert len(found) > 150
    doubts = {(name, one) for name, message in found for one in doubtful(message)}
    assert doubts - LOOKED_AT == set(), "quote it by `extauthz.values.quoting.given`; if it is a name, call it one"


@pytest.mark.parametrize(
    ("message", "doubts"),
    [
        ("f'{HEADER}: `{name}` came {len(values)} times'", []),
        ("f'{place}: {given(text[:9])}: {error}'", []),
        ("f'`{text}` is no int'", ["text"]),
        ("f'{name}: {value.lower()}' + value", ["value.lower()", "value"]),
        ("f'asked for {lookups[0]}'", ["lookups"]),
        ("message", []),
        ("repr(error)", ["repr(error)"]),
        ("', '.join(map(str, types)) + str(value)", ["value"]),
    ],
)
def test_what_is_not_called_a_name_is_doubted(message: str, doubts: list[str]) -> None:
    assert list(doubtful(ast.parse(message, mode="eval").body)) == doubts
