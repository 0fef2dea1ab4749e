"""Rules that the configuration wants somebody to be told of, and that there are not: nobody would ever be told."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from extauthz.policy.lint.findings import Finding
from extauthz.policy.problems import Problem, closest
from extauthz.policy.rule_patterns import covers


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern of rules that somebody is told of, and where it is written."""

    pattern: str
    file: str
    line: int
    column: int
    source_line: str


def findings(names: Iterable[str], told: Iterable[Told]) -> Iterator[Finding]:
    """The warnings of this kind, about the rules with these names."""
    known = sorted(names)
    for one in told:
        if not any(covers(one.pattern, name) for name in known):
            problem = Problem(
                file=one.file,
                line=one.line,
                column=one.column,
                message=f"there is no rule `{one.pattern}`, so that nobody is ever told of it",
                hint=_hint(one.pattern, known),
                source_line=one.source_line,
            )
            yield Finding(kind="unknown-rule", rule="", problem=problem, topic=one.pattern)


def _hint(pattern: str, known: Sequence[str]) -> str:
    policies = {f"{name.partition('/')[0]}/*" for name in known}
    meant = closest(pattern, policies if pattern.endswith("/*") else known)
    return f"did you mean `{meant}`?" if meant else "correct it, or remove it"
