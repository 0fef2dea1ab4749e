# ruff: noqa: INP001 (a script beside the pages that it writes to)
"""Writes the diagram of the life of an approval into its page, from the table that the code goes by.

python docs/diagram.py
"""

from pathlib import Path
from typing import get_args

from extauthz.approval.lifecycle import NEXT, is_final
from extauthz.values.approvals import State

PAGE = Path(__file__).resolve().parent / "approvals-lifecycle.md"
BEGIN, END = "<!-- lifecycle -->\n", "<!-- /lifecycle -->\n"


def diagram() -> str:
    """The table as a state diagram in Mermaid's language, in the order of the table."""
    lines = ["stateDiagram-v2", "    direction LR", "    [*] --> pending: opened"]
    lines += [f"    {before} --> {after}: {happening}" for (before, happening), after in NEXT.items()]
    lines += [f"    {state} --> [*]" for state in get_args(State) if is_final(state)]
    return "\n".join(lines) + "\n"


def written(text: str) -> str:
    """The page with the diagram that the table makes."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}```mermaid\n{diagram()}```\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
