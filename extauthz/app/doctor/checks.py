"""What a check is, and what it says."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from extauthz.app.doctor.deployment import Deployment

Verdict = Literal["ok", "warning", "problem"]
LIMIT: Final = 20.0
"""Seconds that a check may take. What it asks has shorter limits of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One thing that a check says: what it has seen, and what to do if that is not as it should be."""

    verdict: Verdict
    seen: str
    do: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Said):
    """The same with the id of the check."""

    check: str


Look = Callable[[Deployment], Awaitable[Sequence[Said]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A line of the table: its id, what it looks at, and the look. A look that says nothing had nothing to look at.

    An `ExtauthzError` that the look raises is a problem, and its message says what to do.
    """

    id: str
    about: str
    look: Look


def check(check_id: str, about: str) -> Callable[[Look], Check]:
    """Make a function a check."""

    def made(look: Look) -> Check:
        return Check(id=check_id, about=about, look=look)

    return made


def ok(seen: str) -> Said:
    """All is well."""
    return Said(verdict="ok", seen=seen)


def warning(seen: str, do: str) -> Said:
    """It works, and will be regretted."""
    return Said(verdict="warning", seen=seen, do=do)


def problem(seen: str, do: str) -> Said:
    """It does not work, or not as it should."""
    return Said(verdict="problem", seen=seen, do=do)
