# ruff: noqa: INP001 (a script beside the pages that it writes to)
"""Writes the diagram of the life of an approval into its page, from the table that the code goes by.

python docs/diagram.py
"""

from pathlib import Path

from extauthz.approval.lifecycle import diagram

PAGE = Path(__file__).resolve().parent / "approvals-lifecycle.md"
BEGIN, END = "<!-- lifecycle -->\n", "<!-- /lifecycle -->\n"


def written(text: str) -> str:
    """The page with the diagram that the table makes."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}```mermaid\n{diagram()}```\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
