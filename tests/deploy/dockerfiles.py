"""A Dockerfile, read as Docker reads it, and carried out without Docker: the steps of a stage, in a root of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar

from deploy.namespaces import command_in
from deploy.tools import ROOT

Instruction = tuple[str, str]


@dataclass(frozen=True)
class Stage:
    """What is between one FROM and the next; the instructions of `base` come first, if that is a stage."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def all(self, name: str) -> list[str]:
        """The texts of the instructions of this name."""
        return [text for found, text in self.instructions if found == name]

    @property
    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        pairs = [pair for text in self.all("ENV") for pair in re.findall(r'(\w+)=("[^"]*"|\S+)', text)]
        return {name: value.strip('"') for name, value in pairs}


def read_dockerfile(path: Path) -> tuple[dict[str, str], list[Stage]]:
    """The arguments before the first FROM, and the stages in their order."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    arguments: dict[str, str] = {}
    stages: list[tuple[str, str, list[Instruction]]] = []
    for line in filter(None, text.splitlines()):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            base, _, called = rest.partition(" AS ")
            stages.append((called, base, []))
        elif stages:
            stages[-1][2].append((name, rest.strip()))
        else:
            argument, _, default = rest.partition("=")
            arguments[argument] = default
    return arguments, [Stage(name, base, tuple(instructions)) for name, base, instructions in stages]


@dataclass
class Builder:
    """Carries out stages, each in a folder with what it has made: `/src`, `/opt` and the like.

    `install` is told of each `pip install` of a lock: what it gives is run in place of that. Packages of the system are
    not installed: that this machine has them, too, is looked for. `variables` are set in each step.
    """

    stages: Mapping[str, Stage]
    folder: Path
    install: Mapping[str, str] = field(default_factory=dict)
    built: dict[str, Path] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    PLACES = ("/src", "/opt", "/wheel", "/var/lib", "/tmp")
    OF_THE_SYSTEM: ClassVar = {"gcc": "command -v gcc", "libc6-dev": "test -e /usr/include/stdio.h"}
    """How to see that this machine has a package."""

    def build(self, name: str) -> Path:
        """The folder of a stage, and before it those of what it begins with or copies from."""
        if name in self.built:
            return self.built[name]
        stage, root = self.stages[name], self.folder / name
        if stage.base in self.stages:
            subprocess.run(["cp", "--archive", self.build(stage.base), root], check=True)  # with its owners
        for place in self.PLACES:
            (root / place[1:]).mkdir(parents=True, exist_ok=True)
        at = self.workdir(stage.base) if stage.base in self.stages else "/"
        for number, (instruction, text) in enumerate(stage.instructions):
            if instruction == "WORKDIR":
                at = text
            elif instruction == "COPY":
                self._copy(root, at, text)
            elif instruction == "RUN":
                self._run(stage, root, at, text, self.folder / f"{name}.{number}")
        self.built[name] = root
        return root

    def environment(self, name: str) -> dict[str, str]:
        """What is set in a stage, with its bases."""
        stage = self.stages[name]
        return {**(self.environment(stage.base) if stage.base in self.stages else {}), **stage.environment}

    def workdir(self, name: str) -> str:
        """The folder that its commands begin in."""
        stage = self.stages[name]
        found = stage.all("WORKDIR")
        return found[-1] if found else self.workdir(stage.base) if stage.base in self.stages else "/"

    def said(self, name: str, instruction: str) -> str:
        """The last instruction of this name, of the stage or of its bases."""
        stage = self.stages[name]
        found = stage.all(instruction)
        return found[-1] if found else self.said(stage.base, instruction)

    def binds(self, root: Path, how: str = "rw") -> list[str]:
        """What a stage has made, for `command_in`."""
        return [f"{how} {root}{place} {place}" for place in self.PLACES]

    def _copy(self, root: Path, at: str, text: str) -> None:
        *sources, target = text.split()
        source_root = ROOT
        if sources[0].startswith("--from="):
            source_root = self.build(sources.pop(0).removeprefix("--from="))
        target = os.path.join(at, target)  # noqa: PTH118 - keeps what ends in a slash
        for source in sources:
            path = source_root / source.lstrip("/")
            to = root / target.strip("/").removesuffix("/.")
            if path.is_dir():
                shutil.copytree(
                    path, to, symlinks=True, dirs_exist_ok=True, ignore=_not_sent if source_root == ROOT else None
                )
            else:
                shutil.copy(path, to)

    def _run(self, stage: Stage, root: Path, at: str, text: str, folder: Path) -> None:
        folder.mkdir()
        done = subprocess.run(
            command_in(
                folder,
                self.binds(root),
                ["/bin/sh", "-ec", self._instead(text)],
                restrictions=["--no-new-privs"],
                host_network=True,
                at=at,
                installed=bool(self.install),
            ),
            check=False,
            capture_output=True,
            text=True,
            env=self._variables(stage),
        )
        assert done.returncode == 0, f"RUN {text}\n{done.stdout}{done.stderr}"

    def _instead(self, text: str) -> str:
        steps = text.split(" && ")
        for number, step in enumerate(steps):
            for lock, instead in self.install.items():
                if step.endswith(f"--requirement {lock}"):
                    steps[number] = instead
            if step == "apt-get update":
                steps[number] = "true"
            elif packages := apt_packages(step):
                steps[number] = " && ".join(self.OF_THE_SYSTEM[package] for package in packages)
        return " && ".join(steps)

    def _variables(self, stage: Stage) -> dict[str, str]:
        given = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        return {
            **given,
            **self.environment(stage.name),
            "PATH": f"{sys.base_prefix}/bin:/usr/bin:/bin",
            "HOME": "/tmp",
            "REVISION": "0123456789ab",
            **self.variables,
        }


def apt_packages(step: str) -> list[str]:
    """What a step of a RUN installs from the distribution."""
    words = step.split()
    return [word for word in words[2:] if not word.startswith("-")] if words[:2] == ["apt-get", "install"] else []


def _not_sent(folder: str, names: list[str]) -> set[str]:
    """What `.dockerignore` excludes of a folder that is sent."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    anywhere = [line.removeprefix("**/") for line in lines if line.startswith("**/")]
    at = Path(folder).relative_to(ROOT)
    return {
        name for name in names if str(at / name) in lines or any(fnmatchcase(name, pattern) for pattern in anywhere)
    }


def of_exec_form(text: str) -> Sequence[str]:
    """The words of CMD, ENTRYPOINT and the like, which no shell reads."""
    words: list[str] = json.loads(text)
    return words
