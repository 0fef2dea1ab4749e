"""Servers that leave an audit, with its index and with its ends in the store."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import serving
from checking import told
from commanding import command
from patience import GENEROUS
from serving import Served
from upgrade.earlier import Program
from upgrade.state import World

DECISIONS = (("alice", "/x"), ("alice", "/y/1"), ("bob", "/x"), ("", "/x"), ("bob", "/y/2"), ("", "/z"))
"""Who asks for what; nobody is denied."""


@contextmanager
def running(world: World, program: Program) -> Iterator[Served]:
    """A server of this program, which is told to end."""
    served = serving.start(world.folder, **program.environment)
    try:
        yield served
        served.process.terminate()
        assert served.process.wait(GENEROUS) == 0
    finally:
        serving.end(served)


def decide(world: World, served: Served) -> None:
    """Have it decide."""
    for sub, path in DECISIONS:
        headers = {"authorization": f"Bearer {world.token(sub)}"} if sub else {}
        reason = told(served.answer(path, headers, timeout=GENEROUS))["reason"]
        assert reason == ("allowed" if sub else "no-rule-allows")


def found(world: World, *words: str) -> list[str]:
    """The ids of decisions that today's `audit find` finds, the newest first."""
    wanted = ("--event", "decision", "--format", "json", "--config", str(world.config))
    ended = command("audit", "find", *wanted, *words, folder=world.folder)
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line)["decision_id"] for line in ended.stdout.splitlines()]


def mistakes(world: World, program: Program) -> Counter[str]:
    """What `audit verify --head` of this program tells, by kinds."""
    return Counter(one["mistake"] for one in verified(world, program)["found"])


def verified(world: World, program: Program) -> dict[str, Any]:
    """What it tells."""
    ended = program.run("audit", "verify", "--head", "--config", world.config, "--format", "json")
    summary: dict[str, Any] = json.loads(ended.stdout)
    assert ended.returncode == bool(summary["mistakes"]), ended.stderr
    return summary


def without_last_of(audit: Path, writer: str) -> bytes:
    """The lines of an audit, without the last one of this writer."""
    lines = audit.read_bytes().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if json.loads(line)["writer"] == writer)
    return b"".join(lines[:last] + lines[last + 1 :])


def own_words(audit: bytes) -> list[int]:
    """The numbers of the lines that an audit has written of itself."""
    lines = map(json.loads, audit.splitlines())
    return [number for number, line in enumerate(lines, 1) if line.get("event", "").startswith("audit.")]
