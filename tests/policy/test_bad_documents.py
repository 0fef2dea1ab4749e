"""Every file in `tests/corpus/bad/` is a mistake, or several; its first lines say what must be told of it, and where.

Adding a case is adding a file. `FILE` stands for the file's own name. What does not fit in a file is made here.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from commanding import command
from typer.testing import CliRunner

from extauthz.cli.policy import app
from extauthz.policy.load import load
from extauthz.policy.problems import PolicyErrors

BAD = sorted((Path(__file__).parents[1] / "corpus" / "bad").glob("*.yaml"))
POLICY = """\
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - name: a
      effect: allow
"""


def expected(file: Path) -> list[str]:
    lines = file.read_bytes().decode("utf-8", "replace").splitlines()
    return [line.removeprefix("# expect: ").replace("FILE", str(file)) for line in lines if line.startswith("# expect")]


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_bad_document_is_told_with_its_place(file: Path) -> None:
    with pytest.raises(PolicyErrors) as caught:
        load([file])
    told = [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]
    assert expected(file)
    assert told == expected(file)


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_the_caret_of_a_picture_stands_under_the_place(file: Path) -> None:
    with pytest.raises(PolicyErrors) as caught:
        load([file])
    for problem in caught.value.problems:
        lines = problem.picture().splitlines()
        assert lines[0] == str(problem)
        if problem.source_line:
            offset = lines[1].index(" | ") + 3
            assert lines[2].index("^") - offset == problem.column - 1


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_policy_check_of_a_bad_document_tells_it_and_ends_with_1(file: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert all(f"{file}:{told}" in result.stderr for told in expected(file))
    assert result.stderr.splitlines()[-1] == f"{len(expected(file))} error{'s' * (len(expected(file)) > 1)}"


def long_line(folder: Path) -> str:
    (folder / "long.yaml").write_text(POLICY + "      description: " + "x" * 10 * 1024 * 1024 + "\n")
    return "long.yaml: longer than 8388608 bytes; split it"


def long_condition(folder: Path) -> str:
    (folder / "long.yaml").write_text(POLICY + "      when: '" + "true && " * 1_000_000 + "true'\n")
    return "long.yaml:8:14: longer than 32768 characters; split the expression"


def long_key(folder: Path) -> str:
    (folder / "long.yaml").write_text("x" * 5_000_000 + ": 1\n")
    return "long.yaml:1:5000001: not YAML: mapping values are not allowed in this context"


def many_errors(folder: Path) -> str:
    rules = "".join(f"    - name: r{number}\n      efect: allow\n" for number in range(1000))
    (folder / "many.yaml").write_text(POLICY + rules)
    return "1000 errors"


def latin_1(folder: Path) -> str:
    (folder / "latin.yaml").write_bytes(POLICY.encode() + "      description: é\n".encode("latin-1"))
    return "latin.yaml:8:20: not UTF-8; save it as UTF-8"


def utf_16(folder: Path) -> str:
    (folder / "wide.yaml").write_bytes(POLICY.encode("utf-16"))
    return "wide.yaml:1:1: not UTF-8; save it as UTF-8"


def loop_of_links(folder: Path) -> str:
    (folder / "a.yaml").symlink_to("b.yaml")
    (folder / "b.yaml").symlink_to("a.yaml")
    return "a.yaml: a loop of symbolic links; remove the link"


def folder_in_itself(folder: Path) -> str:
    (folder / "good.yaml").write_text(POLICY)
    (folder / "deeper").mkdir()
    (folder / "deeper" / "up").symlink_to("..")
    return "up: leads back to a folder above it; remove the link"


def dangling_link(folder: Path) -> str:
    (folder / "gone.yaml").symlink_to("nowhere.yaml")
    return "gone.yaml: can't be read: no such file or directory"


def pipe(folder: Path) -> str:
    os.mkfifo(folder / "pipe.yaml")
    return "pipe.yaml: neither a file nor a folder; remove it"


def nested(folder: Path) -> str:
    (folder / "nested.yaml").write_text("a: " + "[" * 200_000 + "]" * 200_000)
    return "nested.yaml:1:"


def nothing(folder: Path) -> str:
    (folder / "notes.txt").write_text("no policy")
    return ": no policies found; a file ends in `.yaml` or `.yml`"


def billion_laughs(folder: Path) -> str:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    (folder / "bomb.yaml").write_text("\n".join(lines))
    return "bomb.yaml:1:5: anchors and aliases are refused; write the value out"


MADE = (
    long_line,
    long_condition,
    long_key,
    many_errors,
    latin_1,
    utf_16,
    loop_of_links,
    folder_in_itself,
    dangling_link,
    pipe,
    nested,
    nothing,
    billion_laughs,
)


@pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)
def test_the_command_tells_what_it_can_not_read_and_ends_with_1(make: Callable[[Path], str], tmp_path: Path) -> None:
    told = make(tmp_path)
    done = command("policy", "check", str(tmp_path), folder=tmp_path)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 1_000_000
    assert done.stdout == ""
