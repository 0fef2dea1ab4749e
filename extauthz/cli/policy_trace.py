"""How the commands show a rule's evaluation to people: trees of subexpressions with their values.

The rule kept here: what comes from a request or a document can't move a terminal's cursor, and long values are cut.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text
from rich.tree import Tree

from extauthz import cel
from extauthz.cel import tree
from extauthz.cli.policy_options import UNBOUNDED
from extauthz.cli.printable import printable
from extauthz.policy.mismatch import Other
from extauthz.policy.trace import ModelTrace, RuleTrace, Traced, told
from extauthz.values.assessment import Assessment
from extauthz.values.decisions import RuleResult

LONGEST_EXPRESSION: Final = 100
LONGEST_VALUE: Final = 60
ELEMENTS: Final = 5
"""Values that are shown of what a macro evaluates for each element."""
NEAREST: Final = 3
"""Rules that are no candidates and are shown nevertheless."""

_RESULTS: Final = {"match": "green", "no-match": "dim", "error": "red"}
_STATES: Final = {"raised": "yellow", "fading": "yellow", "quiet": "dim", "error": "red"}


def rules(
    results: Iterable[RuleResult], traces: Mapping[str, RuleTrace], descriptions: Mapping[str, str]
) -> RenderableType:
    """Every candidate as a tree, and under it the variables that its condition read."""
    return Group(*(_rule(one, traces[one.rule], descriptions.get(one.rule, "")) for one in results))


def _rule(one: RuleResult, trace: RuleTrace, description: str) -> RenderableType:
    label = Text.assemble((printable(one.rule), "bold"), f"  {one.effect}")
    if one.mode == "shadow":
        label.append("  in shadow", "dim")
    label.append("  ").append(one.result, _RESULTS[one.result])
    if trace.condition is None and one.error is None:
        label.append("  (no condition)", "dim")
    if description:
        label.append(f"\n{cut(description, LONGEST_EXPRESSION)}", "dim")
    root = Tree(label, guide_style="dim")
    if trace.condition is not None:
        _add(root, trace.condition, "")
    if one.error is not None and (trace.condition is None or trace.condition.error is None):
        root.add(Text(printable(one.error), "red"))  # not of the condition: of what the rule does
    for name, variable in trace.variables.items():
        _add(root, variable, f"{name} = ")
    return root


def risk(assessments: Iterable[Assessment], traces: Mapping[str, ModelTrace]) -> RenderableType:
    """Every risk model that a condition has read as a tree of its signals, each with what it came to and why."""
    return Group(*(_model(one, traces[one.model]) for one in assessments))


def _model(one: Assessment, trace: ModelTrace) -> RenderableType:
    label = Text.assemble((f"risk {printable(one.model)}", "bold"), f"  {one.score:g}  {one.level}")
    root = Tree(label, guide_style="dim")
    for signal in one.heard:
        faded = "" if signal.age is None else f" after {signal.age:g} s"
        counted = f"  {signal.counted:g} of {signal.weight:g}{faded}"
        branch = root.add(
            Text.assemble((printable(signal.name), "bold"), "  ", (signal.state, _STATES[signal.state]), counted)
        )
        branch.add(Text(cut(signal.reason, LONGEST_EXPRESSION), "dim"))
        _add(branch, trace.signals[signal.name], "")
        if signal.error is not None and trace.signals[signal.name].error is None:
            branch.add(Text(printable(signal.error), "red"))  # not of the condition: of its moment
    for name, variable in trace.variables.items():
        _add(root, variable, f"{name} = ")
    return root


def others(found: Sequence[Other], *, wanted: Iterable[str] = ()) -> RenderableType:
    """The nearest of the rules that are no candidates and those in `wanted`, with reasons, and how many more."""
    named = frozenset(wanted)
    shown = [other for number, other in enumerate(found) if number < NEAREST or other.rule.name in named]
    lines: list[RenderableType] = []
    for other in shown:
        reasons = "; ".join(map(str, other.mismatches)) or "it was no candidate"
        lines.append(Text.assemble((printable(other.rule.name), "bold"), "  no candidate"))
        lines.append(Padding.indent(Text(printable(reasons), "dim"), 4))
    if len(found) > len(shown):
        more = len(found) - len(shown)
        lines.append(Text(f"{more} more rule{'s are' if more > 1 else ' is'} no candidate{'s' * (more > 1)}", "dim"))
    return Group(*lines)


def _add(above: Tree, traced: Traced, prefix: str) -> None:
    branch = above.add(
        Text.assemble((prefix, "dim"), cut(traced.expression, LONGEST_EXPRESSION), "  ", *_value(traced))
    )
    for part in _parts(traced):
        _add(branch, part, "")


def _value(traced: Traced) -> Iterator[tuple[str, str]]:
    """What it came to, with styles."""
    if traced.each and traced.values:
        yield "→ each ", "dim"
        for number, value in enumerate(traced.values[:ELEMENTS]):
            yield ", " if number else "", ""
            yield _one_value(value)
        if len(traced.values) > ELEMENTS:
            yield f" and {len(traced.values) - ELEMENTS} more", "dim"
    elif traced.values:
        yield "→ ", "dim"
        yield _one_value(traced.values[0])
    elif traced.error is not None:
        yield "→ ", "dim"
        yield "no value", "red"
    else:
        yield "not evaluated", "dim"


def _one_value(value: object) -> tuple[str, str]:
    if isinstance(value, cel.EvalError):
        return printable(value.message), "red"
    text = told(value)
    written = cut(json.dumps(text, ensure_ascii=False), LONGEST_VALUE)
    return written, {True: "green", False: "yellow"}[value] if isinstance(value, bool) else "cyan"


def _parts(traced: Traced) -> Iterator[Traced]:
    """What is shown under a subexpression: not the way to a field, not literals, nothing of what was left out."""
    if (not traced.values and traced.error is None) or _is_path(traced.node):
        return
    for part in traced.parts:
        if not part.is_view and not _is_literal(part.node):
            yield part


def _is_literal(node: tree.Expr) -> bool:
    """Whether a node is written as what it comes to: `5`, `["a", "b"]`."""
    displays = tree.Constant | tree.ListDisplay | tree.MapDisplay
    return isinstance(node, displays) and all(_is_literal(child) for child in tree.children(node))


def _is_path(node: tree.Expr) -> bool:
    """Whether a node is a name, or a field of one: `request.query.amount`, `user.claims["tenant"]`."""
    match node:
        case tree.Variable() | tree.Local():
            return True
        case tree.Select(operand=operand) | tree.Has(operand=operand):
            return _is_path(operand)
        case tree.Index(operand=operand, index=tree.Constant()):
            return _is_path(operand)
        case _:
            return False


def cut(text: str, longest: int) -> str:
    """The text on one line, at most so many characters."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def plain_text(shown: RenderableType) -> str:
    """What `shown` looks like in a file: without colours, and no line is broken."""
    console = Console(width=UNBOUNDED, color_system=None, force_terminal=False, highlight=False)
    with console.capture() as captured:
        console.print(shown)
    return captured.get().rstrip()
