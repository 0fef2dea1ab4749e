"""Bounds on what a source may say and on what an evaluation may grow to.

Every bound that an expression or an input could run past is a field of `Limits`; no other module holds one.
"""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one compiled program; exceeding one of the first group is a `CompileError`, else an `EvalError`.

    A source that is longer than `source_length` is refused before it is read any further.
    """

    source_length: int = 32_768
    """Characters of a source."""
    nesting: int = 64
    """Depth of brackets, of operators within operators, and of the syntax tree."""
    nodes: int = 5_000
    """Nodes of the syntax tree."""
    problems: int = 50
    """Problems that one `CompileError` lists."""
    comprehension_nesting: int = 4
    """Macros with a loop inside one another."""
    regex_length: int = 2_000
    """Characters of a regular expression, at compile time and at run time."""
    regex_program: int = 5_000
    """Instructions of a compiled regular expression; `(a{500}){500}` is short, but not small."""

    regex_steps: int = 3_500_000
    """Bytes of a text times 60 more than the instructions of a regular expression that has more than 20 of them."""
    iterations: int = 50_000
    """Elements that all loops of one evaluation visit together, with those that functions called in loops read; 256
    characters count as one."""
    string_length: int = 1_000_000
    """Characters of a string, or bytes of a byte string, that an expression builds."""
    list_length: int = 100_000
    """Elements of a list or entries of a map that an expression builds."""


DEFAULT = Limits()

COMPARED_MAX = 250_000
"""Pairs of values that one `==` or `in` looks at: a list that holds one list many times is larger than its memory."""
