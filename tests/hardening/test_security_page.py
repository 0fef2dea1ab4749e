"""docs/security.md: each threat has an answer, and each answer a test that is there."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "security.md").read_text()
_ROW: Final = re.compile(r"^\| ([STRIDE]) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
_TEST: Final = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`")
_BOUNDARIES: Final = re.compile(r"\"([0-9]) ")


@cache
def names_in(file: str) -> frozenset[str]:
    """The functions of a file with tests."""
    tree = ast.parse((ROOT / file).read_text())
    return frozenset(one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_threat_has_an_answer_and_tests_that_are_there() -> None:
    rows = _ROW.findall(PAGE)
    assert len(rows) > 50
    wrong = []
    for _, threat, answer, tests in rows:
        named = _TEST.findall(tests)
        if not named or not answer.strip() or _TEST.sub("", tests).strip():
            wrong.append(threat)
        wrong += [
            f"{file}::{name}" for file, name in named if not (ROOT / file).is_file() or name not in names_in(file)
        ]
    assert wrong == []


def test_every_row_of_a_table_of_threats_is_read() -> None:
    """A row in another form would be looked at by nobody."""
    _, _, threats = PAGE.partition("\n## Threats\n")
    threats, _, _ = threats.partition("\n## ")
    lines = [
        line for line in threats.splitlines() if line.startswith("|") and not line.startswith(("| | threat", "|---"))
    ]
    assert len(lines) == len(_ROW.findall(threats))
    assert {kind for kind, *_ in _ROW.findall(threats)} == set("STRIDE")


def test_every_boundary_of_the_diagram_has_threats() -> None:
    headings = " ".join(re.findall(r"^### (.+)$", PAGE, re.MULTILINE))
    boundaries = _BOUNDARIES.findall(PAGE)
    assert len(boundaries) > 5
    assert [one for one in boundaries if one not in re.findall("[0-9]", headings)] == []
