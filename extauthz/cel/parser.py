"""Tokens to tree (langdef, "Syntax"); each function quotes the production that it reads.

A syntax error within brackets is reported and skipped up to the next comma or the end of the brackets, so that the
mistakes behind it are found too.
"""

from typing import Final, Literal

from extauthz.cel.errors import Span
from extauthz.cel.lexer import RESERVED, Kind, Token
from extauthz.cel.limits import Limits
from extauthz.cel.literals import Unsigned
from extauthz.cel.macros import expand
from extauthz.cel.reporter import Reporter
from extauthz.cel.tree import (
    Call,
    Conditional,
    Constant,
    Element,
    Entry,
    Expr,
    Failure,
    Ident,
    Index,
    ListDisplay,
    Logic,
    MapDisplay,
    Select,
    children,
)
from extauthz.cel.values import INT_MAX, INT_MIN, UINT_MAX, UInt

_PRECEDENCE: Final = {
    "||": 1, "&&": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "in": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5,
}  # fmt: skip
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}
_OPERATORS_OF_OTHERS: Final = {"and": "&&", "or": "||"}
_KEYWORD_VALUES: Final = {"true": True, "false": False, "null": None}


class _Unexpected(Exception):
    """The token at hand fits nowhere; already reported."""


class Parser:
    """Reads one source; `macros=False` leaves calls of macros as calls."""

    __slots__ = ("_depth", "_limits", "_macros", "_nodes", "_position", "_reporter", "_token", "_tokens")

    def __init__(self, tokens: list[Token], reporter: Reporter, limits: Limits, *, macros: bool) -> None:
        self._tokens = tokens
        self._reporter = reporter
        self._limits = limits
        self._macros = macros
        self._position = 0
        self._token = tokens[0]
        self._depth = 0
        self._nodes = 0

    def parse(self) -> Expr:
        """Source = Expr END"""
        try:
            tree = self._expression()
            if self._token.kind is not Kind.END:
                self._unexpected("an operator")
        except _Unexpected:
            tree = self._failure(0)
        self._check_depth(tree)
        return tree

    def _check_depth(self, tree: Expr) -> None:
        # A chain of operators is deep without any recursion here; the passes that follow do recurse.
        level = [tree]
        for _ in range(self._limits.nesting):
            level = [child for node in level for child in children(node)]
            if not level:
                return
        self._too_deep(level[0].span)

    def _too_deep(self, span: Span) -> None:
        self._reporter.fail(f"nested deeper than {self._limits.nesting} levels", span, "split the expression")

    # Tokens

    def _advance(self) -> Token:
        token = self._token
        if token.kind is not Kind.END:
            self._position += 1
            self._token = self._tokens[self._position]
        return token

    def _accept(self, text: str) -> bool:
        if self._token.kind is Kind.OPERATOR and self._token.value == text:
            self._advance()
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            self._unexpected(f"`{text}`")

    def _unexpected(self, expected: str) -> None:
        token = self._token
        span = self._reporter.source.span(token.start, token.end)
        shown = self._reporter.source.text[token.start : token.end]
        what = f"`{shown}`" if shown else str(token.value)
        meant = _OPERATORS_OF_OTHERS.get(shown)
        self._reporter.report(f"unexpected {what}, expected {expected}", span, meant and f"write `{meant}`")
        raise _Unexpected

    def span_from(self, start: int) -> Span:
        """From an offset to the end of the last token read; every node is counted here."""
        self._nodes += 1
        end = self._tokens[self._position - 1].end if self._position else start
        span = self._reporter.source.span(start, max(start, end))
        if self._nodes > self._limits.nodes:
            self._reporter.fail(f"more than {self._limits.nodes} subexpressions", span, "split the expression")
        return span

    def report(self, message: str, span: Span, hint: str | None = None) -> None:
        self._reporter.report(message, span, hint)

    def _failure(self, start: int) -> Failure:
        return Failure(span=self.span_from(start), message="syntax error")

    def _skip(self) -> None:
        """Moves to the comma or the closing bracket that ends the item at hand."""
        open_brackets: list[str] = []
        while self._token.kind is not Kind.END:
            if self._token.kind is Kind.OPERATOR:
                text = str(self._token.value)
                if text in _CLOSING:
                    open_brackets.append(_CLOSING[text])
                elif open_brackets and text == open_brackets[-1]:
                    open_brackets.pop()
                elif not open_brackets and text in (",", ")", "]", "}"):
                    return
            self._advance()

    # Operators

    def _expression(self) -> Expr:
        """Expr = ConditionalOr ["?" ConditionalOr ":" Expr]"""
        start = self._token.start
        self._depth += 1
        if self._depth > self._limits.nesting:
            self._too_deep(self._reporter.source.span(start, self._token.end))
        test = self._binary(1)
        if self._accept("?"):
            then = self._binary(1)
            self._expect(":")
            otherwise = self._expression()
            test = Conditional(span=self.span_from(start), test=test, then=then, otherwise=otherwise)
        self._depth -= 1
        return test

    def _binary(self, minimum: int) -> Expr:
        """ConditionalOr, ConditionalAnd, Relation, Addition, Multiplication: left-associative, by precedence"""
        start = self._token.start
        left = self._unary()
        while True:
            operator = str(self._token.value) if self._token.kind in (Kind.OPERATOR, Kind.KEYWORD) else ""
            precedence = _PRECEDENCE.get(operator, 0)
            if precedence < minimum:
                return left
            if operator in ("&&", "||"):
                left = self._logic("&&" if operator == "&&" else "||", left, start, precedence)
                continue
            self._advance()
            right = self._binary(precedence + 1)
            function = "@in" if operator == "in" else f"_{operator}_"
            left = Call(span=self.span_from(start), function=function, args=(left, right))

    def _logic(self, operator: Literal["&&", "||"], first: Expr, start: int, precedence: int) -> Expr:
        terms = [first]
        while self._accept(operator):
            terms.append(self._binary(precedence + 1))
        return Logic(span=self.span_from(start), operator=operator, terms=tuple(terms))

    def _unary(self) -> Expr:
        """Unary = Member | "!" {"!"} Member | "-" {"-"} Member"""
        start = self._token.start
        operator = self._token.value if self._token.is_operator("!", "-") else None
        if operator is None:
            return self._member()
        count = 0
        while self._token.is_operator(str(operator)):
            count += 1
            if operator == "-" and self._tokens[self._position + 1].kind is Kind.NUMBER:
                count -= 1  # the sign of the literal, read with it
                break
            self._advance()
        operand = self._member()
        # An even number of them undo each other (the same operator twice is no error for any value).
        if operator == "!" and count % 2 == 0:
            operand = Call(span=self.span_from(start), function="!_", args=(operand,))
            return Call(span=self.span_from(start), function="!_", args=(operand,))
        if count % 2 == 0:
            return operand
        return Call(span=self.span_from(start), function=f"{operator}_", args=(operand,))

    # Members

    def _member(self) -> Expr:
        """Member = Primary | Member "." ["?"] SELECTOR ["(" [ExprList] ")"] | Member "[" ["?"] Expr "]\""""
        start = self._token.start
        left = self._primary()
        while True:
            if self._accept("."):
                left = self._selection(left, start)
            elif self._accept("["):
                optional = self._accept("?")
                index = self._item("]")
                self._expect("]")
                left = Index(span=self.span_from(start), operand=left, index=index, optional=optional)
            elif self._token.is_operator("{") and isinstance(left, Ident | Select):
                span = self._reporter.source.span(self._token.start, self._token.end)
                self.report("messages can't be constructed", span, "write a map without a name before it")
                raise _Unexpected
            else:
                return left

    def _selection(self, operand: Expr, start: int) -> Expr:
        optional = self._accept("?")
        token = self._token
        if token.kind not in (Kind.NAME, Kind.QUOTED_NAME):
            self._unexpected("the name of a field")
        self._advance()
        name = str(token.value)
        if optional or token.kind is Kind.QUOTED_NAME or not self._token.is_operator("("):
            return Select(span=self.span_from(start), operand=operand, field=name, optional=optional)
        args = self._arguments()
        return self._call(name, operand, args, start, token)

    def _arguments(self) -> tuple[Expr, ...]:
        """ "(" [ExprList] ")" """
        self._expect("(")
        args: list[Expr] = []
        while not self._token.is_operator(")"):
            args.append(self._item(")"))
            if not self._accept(","):
                break
            if self._token.is_operator(")"):
                self._unexpected("an expression")
        self._expect(")")
        return tuple(args)

    def _call(self, name: str, target: Expr | None, args: tuple[Expr, ...], start: int, token: Token) -> Expr:
        span = self.span_from(start)
        if self._macros:
            expanded = expand(self, name, target, args, span)
            if expanded is not None:
                return expanded
        if target is None and name in RESERVED:
            self._reserved(token)
        return Call(span=span, function=name, args=args, target=target)

    def _item(self, closing: str) -> Expr:
        """An Expr within brackets; a mistake in it ends at the next comma or bracket."""
        start, depth = self._token.start, self._depth
        try:
            item = self._expression()
            if not self._token.is_operator(",", ":", closing):
                self._unexpected(f"`{closing}`")
        except _Unexpected:
            self._depth = depth
            self._skip()
            return self._failure(start)
        return item

    # Primaries

    def _primary(self) -> Expr:
        """Primary = ["."] IDENT ["(" [ExprList] ")"] | "(" Expr ")" | List | Map | LITERAL"""
        token = self._token
        match token.kind:
            case Kind.NAME:
                return self._name(absolute=False)
            case Kind.STRING | Kind.BYTES:
                self._advance()
                return Constant(span=self.span_from(token.start), value=token.value)
            case Kind.NUMBER:
                return self._number(token.start, 1)
            case Kind.KEYWORD if token.value in _KEYWORD_VALUES:
                self._advance()
                return Constant(span=self.span_from(token.start), value=_KEYWORD_VALUES[str(token.value)])
            case Kind.OPERATOR:
                return self._bracketed(token)
            case _:
                self._unexpected("an expression")
                raise AssertionError

    def _bracketed(self, token: Token) -> Expr:
        if self._accept("("):
            inner = self._item(")")
            self._expect(")")
            return inner
        if self._accept("["):
            return self._list(token.start)
        if self._accept("{"):
            return self._map(token.start)
        if self._accept("."):
            return self._name(absolute=True)
        if token.value == "-" and self._tokens[self._position + 1].kind is Kind.NUMBER:
            self._advance()
            return self._number(token.start, -1)
        self._unexpected("an expression")
        raise AssertionError

    def _name(self, *, absolute: bool) -> Expr:
        token = self._token
        start = token.start - (1 if absolute else 0)
        if token.kind is not Kind.NAME:
            self._unexpected("a name")
        self._advance()
        name = str(token.value)
        if self._token.is_operator("("):
            args = self._arguments()
            return self._call(f".{name}" if absolute else name, None, args, start, token)
        if name in RESERVED:
            self._reserved(token)
        return Ident(span=self.span_from(start), name=name, absolute=absolute)

    def _reserved(self, token: Token) -> None:
        span = self._reporter.source.span(token.start, token.end)
        self.report(f"`{token.value}` is a reserved word", span, "choose another name")

    def _number(self, start: int, sign: int) -> Expr:
        value = self._advance().value
        span = self.span_from(start)
        match value:
            case float():
                if value == float("inf"):
                    self.report("double out of range", span, "write double('inf') for infinity")
                return Constant(span=span, value=sign * value)
            case Unsigned():
                if value > UINT_MAX or sign < 0:
                    self.report("uint out of range", span, "the largest is 18446744073709551615u, the least 0u")
                    value = Unsigned(0)
                return Constant(span=span, value=UInt(value))
            case int():
                if not INT_MIN <= sign * value <= INT_MAX:
                    self.report("int out of range", span, "it is between -9223372036854775808 and 9223372036854775807")
                    value = 0
                return Constant(span=span, value=sign * value)
            case _:
                raise AssertionError(value)

    def _list(self, start: int) -> Expr:
        """List = "[" [["?"] Expr {"," ["?"] Expr}] [","] "]\""""
        elements: list[Element] = []
        while not self._token.is_operator("]"):
            optional = self._accept("?")
            elements.append(Element(value=self._item("]"), optional=optional))
            if not self._accept(","):
                break
        self._expect("]")
        return ListDisplay(span=self.span_from(start), elements=tuple(elements))

    def _map(self, start: int) -> Expr:
        """Map = "{" [["?"] Expr ":" Expr {"," ["?"] Expr ":" Expr}] [","] "}\""""
        entries: list[Entry] = []
        while not self._token.is_operator("}"):
            optional = self._accept("?")
            key = self._item(":")
            if self._accept(":"):
                entries.append(Entry(key=key, value=self._item("}"), optional=optional))
            elif not isinstance(key, Failure):
                self._unexpected("`:`")
            if not self._accept(","):
                break
        self._expect("}")
        return MapDisplay(span=self.span_from(start), entries=tuple(entries))
