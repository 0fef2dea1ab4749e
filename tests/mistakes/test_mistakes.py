"""A user's mistake ends every command with a sentence and a documented exit code, never with a traceback.

MISTAKES=all tries every line, which takes minutes; otherwise some of each command are.
"""

import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from commanding import Ended, command
from mistakes.lines import commands, furnish, mistyped, named

from extauthz.cli.exit_codes import EXIT_CODES, FAILED, MISUSED

COMMANDS = [(words, node) for words, node in commands() if words != ("quickstart",)]
"""All but the demo, which needs nothing to begin."""
SHARE = 8
"""Lines of each command that are tried."""
JUDGES = {("policy", "check"), ("policy", "test"), ("audit", "verify"), ("doctor",), ("envoy", "validate"), ("health",)}
"""Commands that say by exit code 1 what they were asked to find out."""
LONGEST = 25
"""Lines of what is told of one mistake: the usage, or the first errors of a policy with their pictures."""


def tried(words: tuple[str, ...], node: Mapping[str, Any]) -> list[tuple[str, ...]]:
    lines = [line for line in mistyped(words, node) if words != ("serve",) or "--config" in line]
    if os.environ.get("MISTAKES") == "all":
        return lines
    return Random(zlib.crc32(" ".join(words).encode())).sample(lines, min(SHARE, len(lines)))  # noqa: S311 - no secret


@pytest.mark.parametrize(("words", "node"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_a_mistake_ends_in_a_sentence(words: tuple[str, ...], node: Mapping[str, Any], tmp_path: Path) -> None:
    furnish(tmp_path)
    for line in tried(words, node):
        ended = command(*line, folder=tmp_path)  # it raises what would be a traceback
        assert told(ended, words) is None, (line, ended)


@pytest.mark.parametrize(("words", "node"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
@pytest.mark.timeout(30)
def test_nobody_waits_for_a_pipe(words: tuple[str, ...], node: Mapping[str, Any], tmp_path: Path) -> None:
    furnish(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for line in named("pipe", words, node):
        ended = command(*line, folder=tmp_path)
        assert told(ended, words) is None, (line, ended)


def told(ended: Ended, words: tuple[str, ...]) -> str | None:
    """What is wrong with how it ended, `None` if nothing is."""
    if ended.returncode not in EXIT_CODES:
        return "an exit code that is not documented"
    if "Traceback" in ended.stderr + ended.stdout:
        return "a traceback"
    if len(ended.stderr.splitlines()) > LONGEST:
        return "too much is told"
    if ended.returncode == MISUSED and not ended.stderr.startswith(("Usage: ", "Error: ")):
        return "no usage"
    if ended.returncode == FAILED and words not in JUDGES:
        ours = re.search(r"^extauthz: .|^\S+:\d+:\d+: ", ended.stderr, re.MULTILINE)
        return None if ours is not None else "no sentence of ours"
    return None


def test_every_command_is_tried() -> None:
    assert {("serve",), ("doctor",), ("policy", "check"), ("approvals", "deliveries", "list")} <= {
        words for words, _ in COMMANDS
    }
