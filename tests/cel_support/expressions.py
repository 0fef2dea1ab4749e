"""Random expressions and inputs: well-typed by construction, or with all types thrown together."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from extauthz import cel

INTS = cel.list_of(cel.INT)
STRINGS = cel.list_of(cel.STRING)
TABLE = cel.map_of(cel.STRING, cel.INT)
MAYBE = cel.optional_of(cel.INT)
KINDS: tuple[cel.CelType, ...] = (
    cel.BOOL,
    cel.INT,
    cel.UINT,
    cel.DOUBLE,
    cel.STRING,
    INTS,
    STRINGS,
    TABLE,
    MAYBE,
    cel.TIMESTAMP,
    cel.DURATION,
    cel.DYN,
)
RECORD = cel.StructType("Record", {"n": cel.INT, "s": cel.Field(cel.STRING, optional=True), "m": TABLE})
VARIABLES: dict[str, cel.CelType] = {
    "b": cel.BOOL,
    "i": cel.INT,
    "j": cel.INT,
    "u": cel.UINT,
    "d": cel.DOUBLE,
    "s": cel.STRING,
    "li": INTS,
    "ls": STRINGS,
    "m": TABLE,
    "t": cel.TIMESTAMP,
    "w": cel.DURATION,
    "x": cel.DYN,
    "r": RECORD,
}


@dataclass(frozen=True, slots=True)
class Record:
    n: int
    s: Any
    m: dict[str, int]


INTEGERS = (0, 1, -1, 2, 3, 7, -8, 100, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**62)
DOUBLES = (0.0, -0.0, 1.0, 1.5, -2.5, 2.0**53, 2.0**63, 1e308, float("nan"), float("inf"), float("-inf"))
TEXTS = ("", "a", "ab", "abc", "b", "k", "é", "🐱x", "12", "-3", "n")


def inputs(chance: random.Random) -> dict[str, Any]:
    """Values of the declared types; now and then a variable is missing."""
    pick = chance.choice
    table = {pick(TEXTS): pick(INTEGERS) for _ in range(chance.randrange(4))}
    values: dict[str, Any] = {
        "b": pick((True, False)),
        "i": pick(INTEGERS),
        "j": pick(INTEGERS),
        "u": cel.UInt(pick((0, 1, 2, 7, 2**63, 2**64 - 1))),
        "d": pick(DOUBLES),
        "s": pick(TEXTS),
        "li": [pick(INTEGERS) for _ in range(chance.randrange(4))],
        "ls": [pick(TEXTS) for _ in range(chance.randrange(4))],
        "m": table,
        "t": cel.Timestamp(pick((0, 1, -62135596800, 253402300799, 1795255200)), pick((0, 5))),
        "w": cel.Duration(pick((0, 1, -1, 3600, 9_000_000_000))),
        "x": anything(chance, 2),
        "r": Record(pick(INTEGERS), pick((cel.UNSET, "a", "")), table),
    }
    if chance.random() < 0.2:
        del values[pick(sorted(values))]
    return values


def anything(chance: random.Random, depth: int) -> Any:
    """A value of any type."""
    pick = chance.choice
    choices: list[Callable[[], Any]] = [
        lambda: pick((True, False, None)),
        lambda: pick(INTEGERS),
        lambda: cel.UInt(pick((0, 1, 7, 2**64 - 1))),
        lambda: pick(DOUBLES),
        lambda: pick(TEXTS),
        lambda: pick((b"", b"a", b"\xff")),
        lambda: pick((cel.Timestamp(5), cel.Duration(5), cel.Type("int"), cel.Optional(), cel.Optional(1))),
    ]
    if depth:
        choices += [
            lambda: [anything(chance, depth - 1) for _ in range(chance.randrange(3))],
            lambda: {pick(TEXTS): anything(chance, depth - 1) for _ in range(chance.randrange(3))},
            lambda: {pick((0, 1, 2, True)): anything(chance, depth - 1)},
        ]
    return pick(choices)()


class Writer:
    """Writes expressions; with `mixed`, an operand may be of any type."""

    def __init__(self, chance: random.Random, *, mixed: bool) -> None:
        self._chance = chance
        self._mixed = mixed
        self._locals: list[tuple[str, cel.CelType]] = []

    def write(self, kind: cel.CelType, depth: int) -> str:
        """An expression of a type, at most so deep."""
        if self._mixed and self._chance.random() < 0.15:
            kind = self._chance.choice(KINDS)
        if depth <= 0 or self._chance.random() < 0.15:
            return self._leaf(kind)
        form = self._chance.choice([*self._forms(kind), *_ANY_FORMS])
        return self._fill(form, kind, depth)

    def _fill(self, form: str, kind: cel.CelType, depth: int) -> str:
        """Replaces `{name}` in a form by an expression of the type of that name, `{=}` by one of its own."""
        pieces: list[str] = []
        bound = 0  # the variables of macros that this form brought in
        for piece in form.split("{"):
            if not pieces:
                pieces.append(piece)
                continue
            name, _, rest = piece.partition("}")
            if name.startswith("+"):
                variable, _, element = name[1:].partition(":")
                self._locals.append((variable, _NAMED[element]))
                bound += 1
                pieces.append(variable + rest)
            else:
                inner = kind if name == "=" else _NAMED[name] if name != "*" else self._chance.choice(KINDS)
                pieces.append(self.write(inner, depth - 1) + rest)
        if bound:
            del self._locals[-bound:]
        return "".join(pieces)

    def _leaf(self, kind: cel.CelType) -> str:
        names = [name for name, known in dict(self._locals).items() if known == kind]
        names += [name for name, known in VARIABLES.items() if known == kind]
        names += _LITERALS.get(str(kind), [])
        if kind == cel.DYN:
            names += ["dyn(1)", "dyn('a')", "dyn(null)", "dyn([1, 'a'])", "x", "x"]
        return self._chance.choice(names)

    def _forms(self, kind: cel.CelType) -> list[str]:
        return _FORMS[str(kind)]


_ANY_FORMS = ["({bool} ? {=} : {=})", "cel.bind(q, {=}, {=})"]
_NAMED: dict[str, cel.CelType] = {
    "bool": cel.BOOL,
    "int": cel.INT,
    "uint": cel.UINT,
    "double": cel.DOUBLE,
    "string": cel.STRING,
    "ints": INTS,
    "strings": STRINGS,
    "table": TABLE,
    "maybe": MAYBE,
    "time": cel.TIMESTAMP,
    "span": cel.DURATION,
    "dyn": cel.DYN,
}
_LITERALS = {
    "bool": ["true", "false"],
    "int": ["0", "1", "-1", "3", "9223372036854775807", "-9223372036854775808"],
    "uint": ["0u", "1u", "18446744073709551615u"],
    "double": ["0.0", "-0.0", "1.5", "1e308", "2.0"],
    "string": ["''", "'a'", "'ab'", "'k'", "'é🐱'"],
    "list(int)": ["[]", "[1, 2, 3]", "[0]"],
    "list(string)": ["[]", "['a', 'b']"],
    "map(string, int)": ["{}", "{'a': 1, 'k': 2}"],
    "optional_type(int)": ["optional.none()", "optional.of(3)"],
    "google.protobuf.Timestamp": ["timestamp(0)", "timestamp(1700000000)"],
    "google.protobuf.Duration": ["duration('5s')", "duration('-90s')"],
}
_ORDERED = ["int", "uint", "double", "string", "bool", "time", "span"]
_FORMS = {
    "bool": [
        "({bool} && {bool})",
        "({bool} || {bool})",
        "({bool} && {bool} && {bool})",
        "({bool} || {bool} || {bool})",
        "!{bool}",
        *(f"({{{kind}}} {op} {{{kind}}})" for kind in _ORDERED for op in ("<", "<=", ">", ">=")),
        *(f"({{{kind}}} {op} {{{kind}}})" for kind in _NAMED for op in ("==", "!=")),
        *(f"({{{a}}} {op} {{{b}}})" for a, b in (("int", "double"), ("uint", "int")) for op in ("<", ">=")),
        "({int} in {ints})",
        "({string} in {strings})",
        "({string} in {table})",
        "({dyn} in {dyn})",
        "({double} in [1.5, {double}])",
        "({int} in [1, {int}])",
        "({int} in [1, 2, 3])",
        "({dyn} in ['a', 'b'])",
        "{string}.startsWith({string})",
        "{string}.contains({string})",
        "{string}.endsWith({string})",
        "{ints}.all({+v:int}, {bool})",
        "{ints}.exists({+v:int}, {bool})",
        "{strings}.exists_one({+v:string}, {bool})",
        "{table}.all({+v:string}, {+y:int}, {bool})",
        "{ints}.exists({+v:int}, {+y:int}, {bool})",
        "{dyn}.exists({+v:dyn}, {bool})",
        "{maybe}.hasValue()",
        "has(r.s)",
        "has(m.k)",
        "has(x.a)",
    ],
    "int": [
        *(f"({{int}} {op} {{int}})" for op in "+-*/%"),
        "(-({int}))",
        "({int} % 5)",
        "({int} / 3)",
        "size({string})",
        "size({ints})",
        "{table}.size()",
        "int({double})",
        "int({uint})",
        "int({string})",
        "{ints}[{int}]",
        "{ints}[1]",
        "{table}[{string}]",
        "{table}.k",
        "{maybe}.orValue({int})",
        "{maybe}.value()",
        "{table}[?{string}].orValue({int})",
        "r.n",
        "r.m.k",
        "{string}.indexOf({string})",
    ],
    "uint": [*(f"({{uint}} {op} {{uint}})" for op in "+-*/%"), "uint({int})", "uint({double})"],
    "double": [*(f"({{double}} {op} {{double}})" for op in "+-*/"), "(-({double}))"],
    "string": [
        "({string} + {string})",
        "{string}.substring({int}, {int})",
        "{string}.charAt({int})",
        "{string}.reverse()",
        "{string}.replace({string}, {string})",
        "{strings}.join({string})",
        "{strings}[{int}]",
        "r.s",
        "r.?s.orValue({string})",
    ],
    "list(int)": [
        "({ints} + {ints})",
        "[{int}, {int}]",
        "{ints}.map({+v:int}, {int})",
        "{ints}.filter({+v:int}, {bool})",
        "{ints}.map({+v:int}, {bool}, {int})",
        "{ints}.transformList({+v:int}, {+y:int}, {int})",
    ],
    "list(string)": ["[{string}]", "{strings}.filter({+v:string}, {bool})", "{table}.map({+v:string}, {string})"],
    "map(string, int)": ["\x00'a': {int}, {string}: {int}\x01"],
    "optional_type(int)": [
        "optional.of({int})",
        "{table}[?{string}]",
        "{table}.?k",
        "{ints}[?{int}]",
        "{maybe}.optMap({+v:int}, {int})",
        "{maybe}.optFlatMap({+v:int}, {maybe})",
    ],
    "google.protobuf.Timestamp": ["({time} + {span})", "({time} - {span})", "timestamp({int})"],
    "google.protobuf.Duration": ["({time} - {time})", "({span} + {span})", "({span} - {span})"],
    "dyn": [
        "dyn({*})",
        *(f"({{dyn}} {op} {{dyn}})" for op in "+-*/%"),
        "{dyn}[{dyn}]",
        "{dyn}.a",
        "dyn({dyn}.?a)",
        "dyn({dyn}[?{dyn}])",
        "dyn({dyn}.map({+v:dyn}, {dyn}))",
    ],
}


def written(chance: random.Random, *, mixed: bool, depth: int = 4) -> str:
    """The source of a random expression."""
    writer = Writer(chance, mixed=mixed)
    return writer.write(chance.choice(KINDS), depth).replace("\x00", "{").replace("\x01", "}")
