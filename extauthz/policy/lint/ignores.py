"""Warnings that somebody has looked at and accepted, in a comment beside the rule.

    - name: anyone-sees-home   # lint: ignore[open-allow] the front page is public

It stands in the comments right above the rule or at the end of one of its lines, and counts for this rule alone. The
rule kept here: nothing is accepted without a name that is known and a reason, and what accepts nothing is told.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from extauthz.policy.lint.findings import KINDS, Finding, Subject
from extauthz.policy.problems import did_you_mean

_COMMENT = re.compile(r"#\s*lint:\s*(?P<what>.*)")
_IGNORE = re.compile(r"ignore\[(?P<names>[a-z, -]+)\]\s+(?P<reason>\S.*)")
_NEVER = frozenset({"bad-ignore", "unused-ignore"})


class _Ignore(msgspec.Struct, frozen=True):
    """One name of one comment."""

    name: str
    line: int
    column: int


def accepted(rules: Sequence[Subject], findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings that no comment accepts, and those about the comments themselves."""
    by_rule: dict[str, list[Finding]] = {}
    for finding in findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    for subject in rules:
        ignores: list[_Ignore] = []
        for line, column, what in _comments(subject):
            known, problem = _read(what, line, column)
            ignores += known
            if problem is not None:
                yield subject.finding_at("bad-ignore", (line, column), *problem)
        mine = by_rule.get(subject.rule.name, [])
        names = {ignore.name for ignore in ignores}
        yield from (finding for finding in mine if finding.kind not in names)
        for ignore in ignores:
            if all(finding.kind != ignore.name for finding in mine):
                yield subject.finding_at(
                    "unused-ignore",
                    (ignore.line, ignore.column),
                    f"nothing is left to ignore here: there is no `{ignore.name}` at `{subject.rule.name}`",
                    "remove the comment",
                    topic=ignore.name,
                )


def _comments(subject: Subject) -> Iterator[tuple[int, int, str]]:
    """Line, column and text behind `lint:` of the comments that belong to a rule."""
    document = subject.document
    first, _ = subject.start
    above = first - 1
    while document.source_line(above).lstrip().startswith("#"):
        above -= 1
    for line in range(above + 1, document.end_line(subject.path) + 1):
        comment = document.comment(line)
        if comment is not None and (found := _COMMENT.match(comment[1])):
            yield line, comment[0], found["what"].strip()


def _read(what: str, line: int, column: int) -> tuple[list[_Ignore], tuple[str, str] | None]:
    """The names of a comment that are accepted, and what is wrong with it."""
    found = _IGNORE.fullmatch(what)
    if found is None:
        return [], ("this comment ignores nothing", "write `# lint: ignore[name] reason`; the reason is not optional")
    names = [name.strip() for name in found["names"].split(",")]
    for name in names:
        if name not in KINDS or name in _NEVER:
            hint = did_you_mean(name, KINDS) or "docs/linting.md lists the names"
            return [], (f"there is no warning `{name}` to ignore", hint)
    return [_Ignore(name, line, column) for name in names], None
