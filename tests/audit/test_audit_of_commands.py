"""Commands are writers as servers are: the store knows the ends of their chains, and they rotate what is due."""

import json
from pathlib import Path

import pytest
from audit.auditing import all_lines
from audit.test_audit_heads_served import heads, verify
from commanding import Ended, command

from extauthz.app.key_file import load_or_make_keys
from extauthz.record.rotation import rotated

ISSUER = "https://idp.example.com"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    configure(tmp_path)
    load_or_make_keys(tmp_path / "keys.json", shared=False)
    return tmp_path


def configure(folder: Path, *, audit: str = "path: audit.jsonl", store: str = "sqlite:///state.db") -> None:
    (folder / "extauthz.yaml").write_text(
        f"policies: [p/]\nstore: '{store}'\naudit: {{{audit}}}\n"
        f"identity: {{users: [{{name: idp, issuer: '{ISSUER}', audiences: [shop], jwks: jwks.json}}]}}\n"
    )


def done(folder: Path, *words: str) -> Ended:
    ended = command(*words, "--config", "extauthz.yaml", folder=folder)
    assert ended.returncode == 0, (words, ended)
    return ended


def test_the_store_knows_the_end_of_what_each_command_has_written(folder: Path) -> None:
    done(folder, "keys", "rotate")
    done(folder, "subjects", "block", "alice")
    done(folder, "subjects", "unblock", "alice")
    ends = {line["writer"]: line for line in all_lines(folder / "audit.jsonl")}
    known = {head.writer: head for head in heads(folder)}
    assert len(known) == 3
    assert {name: (head.seq, head.hash) for name, head in known.items()} == {
        name: (line["seq"], line["hash"]) for name, line in ends.items()
    }
    assert {head.file for head in known.values()} == {str((folder / "audit.jsonl").absolute())}
    found = verify(folder, "--head")
    assert (found.returncode, "the store does not know" in found.stderr) == (0, False), found.stdout


def test_what_a_command_has_written_can_not_be_cut_off_unseen(folder: Path) -> None:
    done(folder, "subjects", "block", "alice")
    path = folder / "audit.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    assert verify(folder).returncode == 0
    found = verify(folder, "--head")
    assert (found.returncode, "audit.jsonl:1: cut: " in found.stdout) == (1, True)


def test_a_store_that_is_not_there_is_told_and_not_made(folder: Path) -> None:
    done(folder, "subjects", "block", "alice")
    (store,) = folder.glob("*.db")
    for one in folder.glob(f"{store.name}*"):
        one.unlink()
    found = verify(folder, "--head")
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.endswith(f"{store.name}: there is no store; `store` in the configuration names its file\n")
    assert found.stderr.count("\n") == 1
    assert not list(folder.glob(f"{store.name}*"))


def test_a_command_that_changes_nothing_is_no_writer(folder: Path) -> None:
    done(folder, "subjects", "unblock", "alice")
    assert (heads(folder), (folder / "audit.jsonl").read_bytes()) == ((), b"")


def test_a_command_rotates_the_file_when_that_is_due(folder: Path) -> None:
    configure(folder, audit="path: audit.jsonl, rotate: {size: 1kB}")
    for _ in range(4):
        done(folder, "subjects", "block", "alice")
        done(folder, "subjects", "unblock", "alice")
    assert len(rotated(folder / "audit.jsonl")) >= 2
    found = verify(folder, "--head")
    assert found.returncode == 0, found.stdout


def test_what_is_done_and_recorded_stands_if_the_store_is_not_told(folder: Path) -> None:
    configure(folder, store="redis://127.0.0.1:1")
    ended = done(folder, "keys", "rotate", "--format", "json")
    assert json.loads(ended.stdout)["key"], "and nothing but the answer is on standard output"
    assert "audit-head-not-told" in ended.stderr
    assert [line["event"] for line in all_lines(folder / "audit.jsonl")][1] == "keys.changed"


def test_a_store_inside_of_the_server_is_not_told(folder: Path) -> None:
    configure(folder, store="memory:")
    ended = done(folder, "keys", "rotate", "--format", "json")
    assert (bool(json.loads(ended.stdout)), ended.stderr) == (True, "")
