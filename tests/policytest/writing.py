"""Policies and their tests as files, and what a run of them prints."""

import json
from pathlib import Path
from typing import Any

from policytest.shop import invoke


def told(*arguments: str | Path) -> Any:
    """What `policy test --format json` prints."""
    return json.loads(invoke("test", "--format", "json", *arguments).stdout)


def policy(folder: Path, rules: str, variables: str = "") -> None:
    """A policy `p` with these rules."""
    spec = f"  variables: {{{variables}}}\n" if variables else ""
    header = "apiVersion: extauthz/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n"
    (folder / "p.yaml").write_text(f"{header}{spec}  rules:\n{rules}")


def cases(folder: Path, *written: str) -> None:
    """Tests `t` with these cases, each the inside of a mapping."""
    header = "apiVersion: extauthz/v1\nkind: PolicyTest\nmetadata: {name: t}\nspec:\n  cases:\n"
    lines = "".join(f"    - {{name: case {number}, {one}}}\n" for number, one in enumerate(written))
    (folder / "t.yaml").write_text(header + lines)
