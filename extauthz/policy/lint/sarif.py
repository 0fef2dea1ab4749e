"""Errors and warnings as SARIF 2.1.0 (OASIS, 27 March 2020): what code review and code scanning show in place.

Section numbers are those of the standard. The rule kept here: a result's fingerprint names the rule and what is wrong
with it, not the line, so that it stays the same warning when the file around it moves.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote

from extauthz.policy.lint.findings import KINDS, Finding, Related
from extauthz.policy.problems import Problem

_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ERROR: Final = "policy-error"
_ERROR_TEXT: Final = (
    "A policy can't be loaded",
    "The document is refused: extauthz keeps the last good policies, or does not start. Mend what the message names.",
)


def report(problems: Iterable[Problem], findings: Iterable[Finding], *, version: str) -> dict[str, Any]:
    """A log of one run. `version` is that of this tool."""
    texts = {_ERROR: _ERROR_TEXT, **KINDS}
    numbers = {name: number for number, name in enumerate(texts)}
    results = [_result(_ERROR, "error", problem, numbers, "", ()) for problem in problems]
    results += [
        _result(one.kind, "warning", one.problem, numbers, f"{one.rule}\n{one.topic}", one.related) for one in findings
    ]
    driver = {
        "name": "extauthz",
        "version": version,
        "rules": [
            {
                "id": name,
                "shortDescription": {"text": summary},
                "fullDescription": {"text": text},
                "help": {"text": text},
                "defaultConfiguration": {"level": "error" if name == _ERROR else "warning"},
            }
            for name, (summary, text) in texts.items()
        ],
    }
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": _numbered(results)}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(
    kind: str,
    level: str,
    problem: Problem,
    numbers: dict[str, int],
    about: str,
    related: Sequence[Related],
) -> dict[str, Any]:
    """A result (section 3.27)."""
    text = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
    result: dict[str, Any] = {
        "ruleId": kind,
        "ruleIndex": numbers[kind],
        "level": level,
        "message": {"text": text},
        "locations": [_location(problem.file, problem.line, problem.column)],
        "partialFingerprints": {"extauthz/v1": _fingerprint(kind, problem, about)},
    }
    if related:
        result["relatedLocations"] = [
            {"id": number, **_location(one.file, one.line, one.column), "message": {"text": one.message}}
            for number, one in enumerate(related)
        ]
    return result


def _location(file: str, line: int, column: int) -> dict[str, Any]:
    """A physical location (section 3.29); without a region where the file as a whole is meant."""
    path = PurePath(file)
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    region = {"region": {"startLine": line, "startColumn": column}} if line else {}
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, **region}}


def _fingerprint(kind: str, problem: Problem, about: str) -> str:
    """A hash of what is wrong (section 3.27.17): of the rule's name and topic, or of an error's words."""
    parts = (kind, PurePath(problem.file).name, about or problem.message)
    return sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _numbered(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results, with a number behind the fingerprints of those that say the same in one file."""
    seen: dict[str, int] = {}
    for result in results:
        prints = result["partialFingerprints"]
        for name, value in prints.items():
            seen[value] = count = seen.get(value, 0) + 1
            prints[name] = f"{value}:{count}"
    return results
