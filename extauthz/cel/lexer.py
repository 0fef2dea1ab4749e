"""Text to tokens (langdef, "Syntax")."""

import re
from enum import Enum, auto
from typing import Final, NamedTuple

from extauthz.cel.errors import Span
from extauthz.cel.literals import BadLiteral, bytes_value, number_value, string_value
from extauthz.cel.reporter import Reporter


class Kind(Enum):
    NUMBER = auto()
    STRING = auto()
    BYTES = auto()
    NAME = auto()
    QUOTED_NAME = auto()
    KEYWORD = auto()
    OPERATOR = auto()
    END = auto()


class Token(NamedTuple):
    """A token; `value` is that of a literal or the text of anything else."""

    kind: Kind
    value: object
    start: int
    end: int

    def is_operator(self, *texts: str) -> bool:
        return self.kind is Kind.OPERATOR and self.value in texts


KEYWORDS: Final = frozenset({"true", "false", "null", "in"})
RESERVED: Final = frozenset(
    {
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop"),
        *("package", "namespace", "return", "var", "void", "while"),
    }
)
"""Names that an expression must not use as identifiers, though as fields and methods (langdef, "Syntax")."""

# Quantifiers are possessive: a literal without an end is found out in one pass.
_TOKEN: Final = re.compile(
    r"""
    (?P<space> [\t\n\f\r\ ]++ | //[^\n]*+ )
  | (?P<string> (?P<prefix> [bB][rR]? | [rR][bB]? | )
        (?P<quoted> (?P<quote> \"{3} | '{3} | \" | ' ) )
    )
  | (?P<number>
        0[xX][0-9a-fA-F]++[uU]?
      | (?: [0-9]*+\.[0-9]++(?:[eE][+-]?[0-9]++)? | [0-9]++[eE][+-]?[0-9]++ )
      | [0-9]++[uU]?
    )
  | (?P<name> [_a-zA-Z][_a-zA-Z0-9]*+ )
  | (?P<escaped> `[a-zA-Z0-9_.\-/\ ]++` )
  | (?P<operator> && | \|\| | [<>=!]= | [-+*/%<>!?:.,()\[\]{}] )
    """,
    re.VERBOSE,
)
_ENDS: Final = {
    ('"', False): re.compile(r'(?:[^"\\\r\n]|\\[^\r\n])*+"'),
    ("'", False): re.compile(r"(?:[^'\\\r\n]|\\[^\r\n])*+'"),
    ('"""', False): re.compile(r'(?:[^"\\]|\\.|"(?!""))*+"""', re.DOTALL),
    ("'''", False): re.compile(r"(?:[^'\\]|\\.|'(?!''))*+'''", re.DOTALL),
    ('"', True): re.compile(r'[^"\r\n]*+"'),
    ("'", True): re.compile(r"[^'\r\n]*+'"),
    ('"""', True): re.compile(r'(?:[^"]|"(?!""))*+"""'),
    ("'''", True): re.compile(r"(?:[^']|'(?!''))*+'''"),
}
"""What ends a literal, by its quotes and whether it is raw."""


def tokens_of(text: str, reporter: Reporter) -> list[Token]:
    """The tokens of a source, the last of kind `END`; what is no token is reported and left out."""
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            end = _skip(text, position)
            reporter.report(_unknown(text[position]), reporter.source.span(position, end))
            position = end
            continue
        kind = match.lastgroup
        end = match.end()
        if kind == "string":
            end = _string(match, tokens, reporter)
        elif kind != "space":
            tokens.append(_plain(kind, match))
        position = end
    tokens.append(Token(Kind.END, "end of the expression", len(text), len(text)))
    return tokens


def _skip(text: str, position: int) -> int:
    """The end of a run of one and the same stray character: one problem, not a hundred."""
    end = position + 1
    while end < len(text) and text[end] == text[position]:
        end += 1
    return end


def _unknown(char: str) -> str:
    hints = {"&": "; write `&&`", "|": "; write `||`", "=": "; write `==`"}
    shown = char if char.isprintable() else f"U+{ord(char):04X}"
    return f"unexpected character `{shown}`{hints.get(char, '')}"


def _plain(kind: str | None, match: re.Match[str]) -> Token:
    text, start, end = match[0], match.start(), match.end()
    if kind == "name":
        return Token(Kind.KEYWORD if text in KEYWORDS else Kind.NAME, text, start, end)
    if kind == "operator":
        return Token(Kind.OPERATOR, text, start, end)
    if kind == "escaped":
        return Token(Kind.QUOTED_NAME, text[1:-1], start, end)
    return Token(Kind.NUMBER, number_value(text), start, end)


def _string(match: re.Match[str], tokens: list[Token], reporter: Reporter) -> int:
    """Reads the rest of a string or bytes literal; returns where it ends."""
    prefix, quote = match["prefix"].lower(), match["quote"]
    raw = "r" in prefix
    start, inner = match.start(), match.end()
    rest = _ENDS[quote, raw].match(match.string, inner)
    if rest is None:
        newline = match.string.find("\n", inner)
        end = len(match.string) if newline < 0 or len(quote) == 3 else newline
        reporter.report("string without an end", reporter.source.span(start, end), f"close it with `{quote}`")
        tokens.append(Token(Kind.STRING, "", start, end))
        return end
    body = match.string[inner : rest.end() - len(quote)]
    is_bytes = "b" in prefix
    value: object = b"" if is_bytes else ""
    try:
        value = bytes_value(body, raw) if is_bytes else string_value(body, raw)
    except BadLiteral as bad:
        place: Span = reporter.source.span(inner + bad.start, inner + bad.end)
        reporter.report(str(bad), place, bad.hint)
    tokens.append(Token(Kind.BYTES if is_bytes else Kind.STRING, value, start, rest.end()))
    return rest.end()
