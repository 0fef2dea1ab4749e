"""Snippets of pages that are no commands of ours are run, too: Python, conditions, and what other programs do."""

import ast
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from audit.auditing import decision
from commanding import command
from docs.conftest import ROOT, missing
from docs.snippets import Block, blocks

from extauthz import cel
from extauthz.app.wiring import make_reading
from extauthz.record.audit_file import AuditFile
from extauthz.record.masking import Keep
from extauthz.settings import load_settings

LEDGER = """
syntax = "proto3";
package ledger;
import "money.proto";
message Transfer { Money amount = 1; }
service Ledger { rpc Move(Transfer) returns (Transfer); }
"""
MONEY = """
syntax = "proto3";
package ledger;
message Money { double units = 1; }
"""


def block_of(page: str, language: str, part: str) -> Block:
    """The one block of a page that holds this."""
    (found,) = (one for one in blocks(language) if one.page == ROOT / "docs" / page and part in one.text)
    return found


def executed(block: Block, **names: Any) -> tuple[dict[str, Any], Any]:
    """What a block of Python has named, and the value of its last line."""
    tree = ast.parse(block.text)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr)
    exec(compile(tree, block.place, "exec"), names)  # noqa: S102  # our own page
    return names, eval(compile(ast.Expression(last.value), block.place, "eval"), names)  # noqa: S307


@pytest.mark.parametrize(("method", "headers", "is_so"), [("POST", {"x-tier": "gold"}, True), ("POST", {}, False)])
def test_a_condition_is_compiled_and_called_as_the_page_says(method: str, headers: Any, is_so: bool) -> None:
    view = SimpleNamespace(method=method, headers=headers, scheme=cel.UNSET)
    _, answer = executed(block_of("cel.md", "python", "program("), view=view)
    assert answer is is_so


def test_a_function_is_made_and_used_as_the_page_says() -> None:
    _, function = executed(block_of("cel.md", "python", "cel.Overload"), cel=cel)
    known = {"facts": cel.DYN, "key": cel.STRING}
    program = cel.compile("rate(key, duration('1h')) > 3", variables=known, functions=[function])
    facts = {("a", cel.Duration(3600, 0)): 4}
    assert program({"facts": facts, "key": "a"}) is True
    with pytest.raises(cel.EvalError, match="this rate was not fetched"):
        program({"facts": facts, "key": "b"})


def test_what_the_page_on_linting_writes_against_absence_is_without_that_warning(tmp_path: Path) -> None:
    def warned(*whens: str) -> int:
        rules = [{"name": f"r{number}", "when": when, "effect": "allow"} for number, when in enumerate(whens)]
        spec = {"hosts": ["app.example"], "rules": rules}
        document = {"apiVersion": "extauthz/v1", "kind": "Policy", "metadata": {"name": "p"}, "spec": spec}
        (tmp_path / "policy.yaml").write_text(yaml.safe_dump(document))
        told = command("policy", "check", "policy.yaml", "--format", "json", folder=tmp_path)
        assert told.returncode == 0, told.stdout
        return [one["kind"] for one in json.loads(told.stdout)["warnings"]].count("absent-value")

    assert warned(*block_of("linting.md", "", "has(user.sub)").text.splitlines()) == 0
    bare = ('user.claims.tenant == "t1"', 'request.headers["x-tier"] == "gold"')
    assert warned(*bare) == len(bare), "they are what the page warns of"


def test_a_shell_checks_a_line_of_a_chain_as_the_page_says(tmp_path: Path) -> None:
    audit = AuditFile(tmp_path / "audit.jsonl", Keep(), keys=None)
    audit.keep([decision(number) for number in range(2)])
    audit.close()
    before, line = (tmp_path / "audit.jsonl").read_text().splitlines()[1:3]
    names = {"HASH_BEFORE": json.loads(before)["hash"], "LINE": line, "PATH": "/usr/bin:/bin"}
    script = block_of("records.md", "", "sha256sum").text
    summed = subprocess.run(["bash", "-c", script], env=names, capture_output=True, text=True, check=True)
    assert summed.stdout.split()[0] == json.loads(line)["hash"]


def test_descriptors_are_made_as_the_page_says_and_are_taken(tmp_path: Path) -> None:
    if find_spec("grpc_tools") is None:
        missing("the test of the descriptors needs grpcio-tools")
    (tmp_path / "ledger.proto").write_text(LEDGER)
    (tmp_path / "money.proto").write_text(MONEY)
    program, *words = block_of("requests.md", "", "protoc").text.split()
    assert program == "protoc"
    made = subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I.", *words], cwd=tmp_path, check=False)
    assert made.returncode == 0
    (block,) = (one for one in blocks("yaml") if "descriptors: ledger.pb" in one.text)
    (tmp_path / "extauthz.yaml").write_text(f"policies: [policies/]\n{block.text}")
    assert make_reading(load_settings(tmp_path / "extauthz.yaml")).messages is not None, "with all that they import"
