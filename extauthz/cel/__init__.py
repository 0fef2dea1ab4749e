"""The Common Expression Language (cel-spec, doc/langdef.md), compiled to Python.

    from extauthz import cel

    program = cel.compile("x.startsWith('a') && n > 2", variables={"x": cel.STRING, "n": cel.INT})
    program({"x": "abc", "n": 3})  # True

The way of a source, one module each: `lexer` (text to tokens), `parser` (tokens to `tree`), `checker` (tree to checked
tree), `fold`, `codegen` with `emit` (checked tree to code), `program`. The package imports nothing of extauthz.
"""

from extauthz.cel.compiler import compile, read  # noqa: A004  # used as cel.compile
from extauthz.cel.errors import CelError, CompileError, EvalError, Problem, Span
from extauthz.cel.functions import Function, Overload
from extauthz.cel.limits import Limits
from extauthz.cel.network import IPAddress, Network
from extauthz.cel.program import Program, Step, explain, together
from extauthz.cel.tree import walk
from extauthz.cel.types import (
    BOOL,
    BYTES,
    CIDR,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    IP,
    NULL,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
    CelType,
    Field,
    StructType,
    list_of,
    map_of,
    optional_of,
)
from extauthz.cel.values import UNSET, Duration, Optional, Timestamp, Type, UInt

__all__ = [
    "BOOL",
    "BYTES",
    "CIDR",
    "DOUBLE",
    "DURATION",
    "DYN",
    "INT",
    "IP",
    "NULL",
    "STRING",
    "TIMESTAMP",
    "TYPE",
    "UINT",
    "UNSET",
    "CelError",
    "CelType",
    "CompileError",
    "Duration",
    "EvalError",
    "Field",
    "Function",
    "IPAddress",
    "Limits",
    "Network",
    "Optional",
    "Overload",
    "Problem",
    "Program",
    "Span",
    "Step",
    "StructType",
    "Timestamp",
    "Type",
    "UInt",
    "compile",
    "explain",
    "list_of",
    "map_of",
    "optional_of",
    "read",
    "together",
    "walk",
]
