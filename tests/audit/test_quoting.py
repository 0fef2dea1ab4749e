"""What messages quote: names stay, what a request gave can be left out; every message that is made is looked at."""

import ast
from collections.abc import Iterator
from pathlib import Path

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
NAMES = {
    "cel/access.py": {"name"},  # of a field, as it stands in the source
    "cel/dispatch.py": {"shown"},  # the function's name
    "cel/emit/basics.py": {"message"},  # of the checker
    "cel/library/conversions.py": {"kind"},
    "cel/library/formats.py": {"used", "verb", "kind_of(type(value)) or 'unknown'"},  # one of seven letters
    "cel/library/regexes.py": {"fault", "colon", "given(piece) if piece else ''", "limits.regex_length"}
    | {"limits.regex_program"},
    "cel/network.py": {"_BITS[address.family]"},
    "cel/program.py": {"message"},  # made of another one
    "check/proof.py": {"factor.id", "error"},  # of the store
    "identity/actors.py": {"name"},  # `sub` or `iss`
    "identity/claims.py": {"name"},  # registered claims, and the configured one of groups
    "identity/compact.py": {"name"},  # `header`, `claims`, `signature`
    "identity/cookies.py": {"name"},  # configured
    "identity/signed.py": {"name"},
    "identity/tokens.py": {"place", "error", "answer.detail"},
    "identity/users.py": {"first.user.verified_by", "other.user.verified_by"},  # names of sources
    "identity/xfcc.py": {"key", "len(text) - len(rest)"},  # one of the header's four
    "lookup/key_sets.py": {"error"},  # of a fetch
    "policy/body_views.py": {"what", "error.lineno", "error.colno"},
    "policy/context.py": {"self._failures[name]"},
    "policy/definitions.py": {"name", "error", "', '.join(map(str, types))"},
    "policy/index.py": {"name"},  # of a capture
    "policy/views.py": {"self._what"},
    "store/sqlite.py": {"self._path", "error"},
    "wire/headers.py": {"name"},  # one of those that must be single
    "wire/host.py": {"message"},
    "wire/path.py": {"message"},
}
"""What messages say beside their own words and what is `given`: looked at one by one, and not a request's."""


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


def is_harmless(value: ast.expr) -> bool:
    """A literal, a constant, a number of things, a type's name, a source's name, and what is given."""
    match value:
        case ast.Constant() | ast.Name(id="source") | ast.Attribute(attr="source" | "__name__"):
            return True
        case ast.Call(func=function):
            return last(function) in ("given", "len", "owned")
        case ast.Attribute(value=ast.Name(id="source"), attr="name"):
            return True
        case _:
            return last(value).isupper()


def said(message: ast.expr) -> Iterator[str]:
    """What a message says beside its own words and what is harmless."""
    parts = message.values if isinstance(message, ast.JoinedStr) else [message]
    for part in parts:
        value = part.value if isinstance(part, ast.FormattedValue) else part
        if not is_harmless(value):
            yield ast.unparse(value)


def test_every_message_that_may_be_recorded_quotes_by_given_or_says_names_alone() -> None:
    classes = error_classes()
    assert {"InvalidCredential", "NotBindable"} <= classes
    found = set()
    for name, module in modules():
        makers = {
            node.name
            for node in ast.walk(module)
            if isinstance(node, ast.FunctionDef) and node.returns is not None and last(node.returns) in classes
        }
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and last(node.func) in classes | makers:
                messages = [*node.args[:1], *(one.value for one in node.keywords if one.arg in ("message", "detail"))]
                texts = [one for one in messages if last(node.func) in classes or isinstance(one, ast.JoinedStr)]
                found |= {(name, one) for text in texts for one in said(text)}
    known = {(name, one) for name, ones in NAMES.items() for one in ones}
    assert found - known == set(), "quote it by `extauthz.values.quoting.given`, or add it to NAMES if it is a name"
