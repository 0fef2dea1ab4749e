"""What is written from the commands is that of the commands: the page, the manual, the table of completion."""

import shutil
import subprocess
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from extauthz.cli.exit_codes import EXIT_CODES

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "docs" / "man" / "extauthz.1"


@pytest.fixture(scope="module")
def commands() -> ModuleType:
    """The script that writes them."""
    spec = spec_from_file_location("docs_commands", ROOT / "docs" / "commands.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_they_are_those_of_the_commands(commands: ModuleType) -> None:
    for file, text in commands.written().items():
        assert file.read_text() == text, "`make cli-docs` writes it anew"


def test_every_command_is_in_each_of_them(commands: ModuleType) -> None:
    page, manual = (ROOT / "docs" / "cli.md").read_text(), MANUAL.read_text()
    for one in commands.described().all:
        words = " ".join(("extauthz", *one.words))
        assert f"# `{words}`\n" in page
        assert one.commands or f".SS {words}\n" in manual.replace("\\-", "-")
        for option in (option for option in one.options if "--help" not in option.names):
            assert f"`{option.usage}`".replace("|", "\\|") in page


def test_every_exit_code_is_told() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in page
        assert f".B {code}\n" in MANUAL.read_text()


@pytest.mark.parametrize(
    "checker", [["groff", "-man", "-ww", "-Tutf8"], ["mandoc", "-T", "lint"]], ids=lambda words: words[0]
)
def test_the_manual_is_without_a_warning(checker: list[str]) -> None:
    if shutil.which(checker[0]) is None:
        pytest.skip(f"{checker[0]} is not installed")
    ran = subprocess.run([*checker, str(MANUAL)], capture_output=True, text=True, check=False)
    told = ran.stderr if checker[0] == "groff" else ran.stdout + ran.stderr
    assert told == ""
    assert ran.returncode == 0
