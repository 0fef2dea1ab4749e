"""What is found, and the form of a rule.

A rule is a function from a part of the configuration to the spots where it is broken. Its words are said once, in the
table; what is particular to a spot is said beside it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

import msgspec

from extauthz.envoy.validate.spots import Spot

Severity = Literal["error", "warning"]
Hit: TypeAlias = "tuple[Spot, str]"
"""A spot, and what is particular to it; empty where there is nothing to add."""
_Part = TypeVar("_Part")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong: `rule` is the id of the table, `line` is 1-based, `path` leads through the file.

    `means` says what goes wrong because of it, `do` what to do.
    """

    rule: str
    severity: Severity
    file: str
    line: int
    path: str
    means: str
    do: str

    @property
    def place(self) -> str:
        """The file and the line."""
        return f"{self.file}:{self.line}"

    def __str__(self) -> str:
        where = f" ({self.path})" if self.path else ""
        return f"{self.place}: {self.severity}: {self.means}; {self.do} [{self.rule}]{where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Generic[_Part]):
    """A line of the table: `means` and `do` as in `Finding`; `find` gives the spots in one part."""

    id: str
    severity: Severity
    means: str
    do: str
    find: Callable[[_Part], Iterable[Hit]]

    def findings(self, part: _Part) -> Iterator[Finding]:
        """What it finds in that part."""
        for spot, particular in self.find(part):
            yield Finding(
                rule=self.id,
                severity=self.severity,
                file=spot.file,
                line=spot.line,
                path=spot.path,
                means=f"{particular}: {self.means}" if particular else self.means,
                do=self.do,
            )


def rule(
    rule_id: str, severity: Severity, means: str, do: str
) -> Callable[[Callable[[_Part], Iterable[Hit]]], Rule[_Part]]:
    """Make a function a rule with this id and these words."""

    def made(find: Callable[[_Part], Iterable[Hit]]) -> Rule[_Part]:
        return Rule(id=rule_id, severity=severity, means=means, do=do, find=find)

    return made
