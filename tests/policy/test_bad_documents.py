"""Every file in `bad/` is one mistake; its first lines say what must be told about it, and where.

Adding a case is adding a file. `FILE` stands for the file's own name.
"""

from pathlib import Path

import pytest

from extauthz.policy.load import load
from extauthz.policy.problems import PolicyErrors

BAD = sorted((Path(__file__).parents[1] / "corpus" / "bad").glob("*.yaml"))


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_bad_document_is_told_with_its_place(file: Path) -> None:
    expected = [
        line.removeprefix("# expect: ").replace("FILE", str(file))
        for line in file.read_text().splitlines()
        if line.startswith("# expect: ")
    ]
    with pytest.raises(PolicyErrors) as caught:
        load([file])
    told = [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]
    assert expected
    assert told == expected


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_the_caret_of_a_picture_stands_under_the_place(file: Path) -> None:
    with pytest.raises(PolicyErrors) as caught:
        load([file])
    for problem in caught.value.problems:
        lines = problem.picture().splitlines()
        assert lines[0] == str(problem)
        if problem.line:
            offset = lines[1].index(" | ") + 3
            assert lines[2].index("^") - offset == problem.column - 1
