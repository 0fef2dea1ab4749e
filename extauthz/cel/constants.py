"""Constants that can only fail, reported when the source is compiled rather than on every evaluation."""

from typing import Final

from extauthz.cel.errors import EvalError
from extauthz.cel.library.regexes import search_of
from extauthz.cel.library.times import zone_of
from extauthz.cel.limits import Limits
from extauthz.cel.reporter import Reporter
from extauthz.cel.tree import Call, Constant, Expr, walk
from extauthz.values.quoting import owned

_PARSED: Final = frozenset({"string_to_timestamp", "string_to_duration", "string_to_ip", "string_to_cidr"})
"""Overloads that read a text, and have no value for one that is wrong."""


def report_bad_constants(tree: Expr, reporter: Reporter, limits: Limits) -> None:
    """Reports literal patterns, times, zones, addresses and networks that are none."""
    for node in walk(tree):
        if isinstance(node, Call) and len(node.overloads) == 1 and node.args:
            last = node.args[-1]
            if isinstance(last, Constant) and isinstance(last.value, str):
                try:
                    _read(node, last.value, limits)
                except EvalError as error:
                    reporter.report(owned(error.message), last.span)


def _read(node: Call, text: str, limits: Limits) -> None:
    overload = node.overloads[0]
    if overload.id in _PARSED:
        overload.implementation(text)
    elif overload.id in ("matches", "matches_string"):
        search_of(text, limits)
    elif overload.id.startswith("timestamp_") and overload.id.endswith("_tz"):
        zone_of(text)
