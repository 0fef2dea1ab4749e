"""What changed since an earlier run, and which of it is more than noise."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from bench.harness.figures import Figure, Report
from extauthz.errors import ConfigurationError

Verdict = Literal["better", "worse", "noise"]
SMALLEST: Final = 0.02
"""A change below this share is noise, however still the machine was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A figure that both runs have."""

    part: str
    name: str
    unit: str
    before: float
    after: float
    verdict: Verdict

    @property
    def share(self) -> float:
        """How much more it is, as a share of what it was."""
        if self.after == self.before:
            return 0.0
        return self.after / self.before - 1 if self.before else float("nan")


def read_parts(path: Path) -> Mapping[str, Any]:
    """The parts in a file that an earlier run has written.

    Raises:
        ConfigurationError: it can't be read, or is something else.
    """
    try:
        parts: Mapping[str, Any] = json.loads(path.read_text())["parts"]
    except OSError as error:
        raise ConfigurationError(f"--compare: can't read `{path}`: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(f"--compare: `{path}` is no file that `make bench` has written") from None
    return parts


def changes(before: Mapping[str, Any], reports: Sequence[Report]) -> list[Change]:
    """Each figure of the reports that the earlier parts have, too."""
    found = []
    for report in reports:
        known: Mapping[str, Any] = before.get(report.part, {}).get("figures", {})
        found += [_change(report.part, known[one.name], one) for one in report.figures if one.name in known]
    return found


def _change(part: str, was: Mapping[str, Any], figure: Figure) -> Change:
    return Change(
        part=part,
        name=figure.name,
        unit=figure.unit,
        before=was["value"],
        after=figure.value,
        verdict=_verdict(was, figure),
    )


def _verdict(was: Mapping[str, Any], figure: Figure) -> Verdict:
    """Noise where the bounds of both overlap, or where next to nothing changed."""
    if abs(figure.value - was["value"]) < SMALLEST * abs(was["value"]):
        return "noise"
    low, high = (was.get(now, was.get(once)) for now, once in (("low", "least"), ("high", "most")))  # before 2026-11-23
    if figure.low > high:
        return "better" if figure.better == "more" else "worse"
    if figure.high < low:
        return "worse" if figure.better == "more" else "better"
    return "noise"
