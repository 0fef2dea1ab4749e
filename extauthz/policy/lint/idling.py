"""Limits of idleness that the configuration is too coarse for: sessions that go on would look idle to other servers.

Only literals are compared, also those behind variables, and only under a configuration.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from extauthz.cel import Duration, Program, tree
from extauthz.cel.fold import fold
from extauthz.policy.lint.findings import Finding, Subject
from extauthz.policy.lint.foreign import Configured
from extauthz.policy.lint.presence import field_of, shape

_IDLE: Final = field_of("session", "idle")
_ORDERINGS: Final = frozenset(("_<_", "_<=_", "_>_", "_>=_"))


def findings(rules: Iterable[Subject], configured: Configured) -> Iterator[Finding]:
    """The warnings of this kind."""
    if configured.touch_every is None:
        return
    for subject in rules:
        if subject.rule.when is None:
            continue
        variables = {**subject.rule.policy.shared, **subject.rule.policy.per_rule}
        for node, limit in _limits(subject.rule.when, variables):
            if limit <= configured.touch_every:
                place = subject.document.place_in((*subject.path, "when"), node.span.line, node.span.column)
                yield subject.finding_at(
                    "short-idle-limit",
                    place,
                    f"`session.idle` is compared with {limit:g} s, and activity is written every"
                    f" {configured.touch_every:g} s",
                    "let `sessions.touch_every` be well below the limit",
                    topic=f"{limit:g}",
                )


def _limits(program: Program, variables: Mapping[str, Program]) -> Iterator[tuple[tree.Expr, float]]:
    """What idleness is compared with, in seconds, and where."""
    for node in tree.walk(program.tree):
        if isinstance(node, tree.Call) and node.function in _ORDERINGS and len(node.args) == 2:
            for side, other in (node.args, node.args[::-1]):
                limit = _constant(other, variables) if shape(side) == _IDLE else None
                if limit is not None:
                    yield node, limit


def _constant(node: tree.Expr, variables: Mapping[str, Program]) -> float | None:
    if isinstance(node, tree.Variable) and node.name in variables:
        node = variables[node.name].tree
    folded = fold(node)
    if isinstance(folded, tree.Constant) and isinstance(folded.value, Duration):
        return folded.value.seconds + folded.value.nanos / 1e9
    return None
