"""`extauthz audit verify` and `keys audit`: what people and programs are told, and which keys count."""

import json
import re
from pathlib import Path

import pytest
from audit.auditing import decision
from commanding import Ended, command

from extauthz.app.key_file import make_keys, read_keys
from extauthz.record.audit_file import AuditFile
from extauthz.record.masking import Keep
from extauthz.stepup.keys import KeyRing


def write(path: Path, keys: KeyRing | None) -> None:
    file = AuditFile(path, Keep(), keys=keys)
    file.keep([decision(number) for number in range(5)])
    file.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An audit of two writers, the keys that sign it, their public halves, and other keys."""
    keys = make_keys(tmp_path / "keys.json", replace=False)
    write(tmp_path / "audit.jsonl", keys)
    write(tmp_path / "audit.jsonl", keys)
    (tmp_path / "public.json").write_text(command("keys", "audit", "keys.json", folder=tmp_path).stdout)
    make_keys(tmp_path / "others.json", replace=False)
    (tmp_path / "other-public.json").write_text(command("keys", "audit", "others.json", folder=tmp_path).stdout)
    return tmp_path


def verify(folder: Path, *options: str) -> Ended:
    return command("audit", "verify", *options, folder=folder)


def test_public_keys_are_a_set_without_secrets(folder: Path) -> None:
    (key,) = json.loads((folder / "public.json").read_text())["keys"]
    assert key.keys() == {"kty", "crv", "kid", "x", "use"}
    assert key["kid"] == read_keys(folder / "keys.json").newest.kid
    assert (key["kty"], key["crv"], len(key["x"])) == ("OKP", "Ed25519", 43)


def test_an_untouched_audit_is_proven_in_one_line(folder: Path) -> None:
    found = verify(folder, "audit.jsonl", "--key", "public.json", "--key", "other-public.json")
    assert (found.returncode, found.stdout) == (0, "14 lines of 2 writers in 1 file: all as it was written\n")
    assert found.stderr == "note: ends were not compared with the store; `--head` finds what was cut off them\n"


def test_without_keys_it_says_that_no_signature_was_checked(folder: Path) -> None:
    found = verify(folder, "audit.jsonl", "audit.jsonl")
    assert (found.returncode, "signatures were not checked" in found.stderr) == (0, True)
    assert "14 lines" in found.stdout  # the file is looked at once


def test_a_change_is_told_with_file_and_line(folder: Path) -> None:
    path = folder / "audit.jsonl"
    path.write_text(path.read_text().replace('"d-3"', '"d-8"', 1))
    found = verify(folder, "audit.jsonl")
    assert found.returncode == 1
    assert found.stdout.startswith("audit.jsonl:5: changed: line 5 of writer ")
    assert found.stdout.endswith("14 lines of 2 writers in 1 file: 1 mistake\n")
    told = json.loads(verify(folder, "audit.jsonl", "--format", "json").stdout)
    assert (told["mistakes"], told["lines"], told["files"], told["signatures_checked"]) == (1, 14, 1, False)
    assert [(one["file"], one["line"], one["mistake"]) for one in told["found"]] == [("audit.jsonl", 5, "changed")]
    assert [(one["first"], one["last"], one["stopped"]) for one in told["writers"]] == [(1, 7, True), (1, 7, True)]


def test_keys_that_did_not_sign_are_told(folder: Path) -> None:
    found = verify(folder, "audit.jsonl", "--key", "other-public.json")
    assert found.returncode == 1
    lines = [line.split(": ")[0] for line in found.stdout.splitlines() if "which is none of those given" in line]
    assert lines == ["audit.jsonl:1", "audit.jsonl:7-8", "audit.jsonl:14"], "what follows itself is told once"
    assert found.stdout.endswith(": 4 mistakes\n")


def test_lines_that_all_are_of_no_chain_are_told_in_one(folder: Path) -> None:
    lines = (folder / "audit.jsonl").read_text().splitlines(keepends=True)
    (folder / "audit.jsonl").write_text("".join([*lines[:3], "{}\n", "{}\n", "{}\n", *lines[3:], "{}\n"]))
    found = verify(folder, "audit.jsonl")
    assert re.findall("^(.*): stray: this line is of no chain", found.stdout, re.MULTILINE) == [
        "audit.jsonl:4-6",
        "audit.jsonl:18",
    ]
    assert found.stdout.endswith("18 lines of 2 writers in 1 file: 4 mistakes\n")
    told = json.loads(verify(folder, "audit.jsonl", "--format", "json").stdout)
    assert [one["line"] for one in told["found"]] == [4, 5, 6, 18]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["gone.jsonl"], "gone.jsonl: can't read the audit file"),
        (["empty.jsonl"], "holds no line"),
        (["audit.jsonl", "--key", "keys.json"], "keys.json: not the public keys of an audit"),
        (["audit.jsonl", "--key", "gone.json"], "gone.json: can't be read"),
        (["audit.jsonl", "--head"], "give `--config`"),
        ([], "extauthz.yaml"),
    ],
)
def test_what_can_not_be_done_is_told_in_one_line(folder: Path, options: list[str], reason: str) -> None:
    (folder / "empty.jsonl").touch()
    found = verify(folder, *options)
    assert found.returncode != 0
    assert reason in found.stderr
    assert "Traceback" not in found.stderr
    assert "secret" not in found.stderr
