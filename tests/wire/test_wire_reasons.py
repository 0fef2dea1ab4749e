"""The table of reasons in `docs/requests.md` says what the code says."""

import ast
from pathlib import Path
from typing import get_args

import pytest

from extauthz.errors import STATUS, Reason
from extauthz.wire.grpc_status import code_for_client

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "requests.md").read_text()
REASONS: tuple[Reason, ...] = get_args(Reason)
VOCABULARY = ROOT / "extauthz" / "errors.py"
WORDS = ROOT / "extauthz" / "wire" / "wording.py"


def table() -> dict[str, list[str]]:
    """The rows by reason: HTTP status, gRPC status, meaning, what to do."""
    _, _, section = PAGE.partition("### Reasons\n")
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return {cells[0].strip().strip("`"): [cell.strip() for cell in cells[1:]] for cells in rows}


def test_every_reason_is_in_the_table_and_nothing_else() -> None:
    assert sorted(table()) == sorted(REASONS)
    assert len(REASONS) == len(set(REASONS)) == len(STATUS)


@pytest.mark.parametrize("reason", REASONS)
def test_a_row_says_the_statuses_that_the_reason_comes_with(reason: Reason) -> None:
    http, grpc, meaning, _ = table()[reason]
    assert meaning.endswith(".")
    if STATUS[reason] < 400:
        assert (http, grpc) == ("", "")
    else:
        assert http.split(",")[0] == str(STATUS[reason])
        assert grpc == f"`{code_for_client(STATUS[reason]).name}`"


def test_every_reason_is_given_somewhere() -> None:
    """And not named in the vocabulary alone: there only the errors count."""
    files = set((ROOT / "extauthz").rglob("*.py")) - {VOCABULARY, WORDS}
    missing = {reason: f'"{reason}"' for reason in REASONS}
    for node in ast.parse(VOCABULARY.read_text()).body:
        if isinstance(node, ast.ClassDef):
            missing = without_said(missing, node)
    for file in files:
        text = file.read_text()
        if any(quoted in text for quoted in missing.values()):
            missing = without_said(missing, ast.parse(text))
    assert missing == {}


def without_said(reasons: dict[Reason, str], tree: ast.AST) -> dict[Reason, str]:
    """Those that are no constant in this code."""
    said = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {reason: quoted for reason, quoted in reasons.items() if reason not in said}


def test_denials_of_ours_are_made_of_the_vocabulary() -> None:
    """A `Deny` that is written out has a reason that mypy does not hold: that of a rule, or of a record."""
    made = {
        str(file.relative_to(ROOT / "extauthz"))
        for file in (ROOT / "extauthz").rglob("*.py")
        if "Deny(" in (text := file.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Deny"
    }
    assert made == {
        "cli/policy_explain.py",
        "history/deciding.py",
        "policy/holding.py",
        "policy/terms.py",
        "values/decisions.py",
    }
