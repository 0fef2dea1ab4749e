"""Reads the configuration: one YAML file, every key overridable by an environment variable, once.

`EXTAUTHZ_STORE=memory:` overrides `store`, `EXTAUTHZ_LISTEN__GRPC=…` overrides `listen.grpc`, lists are JSON. Every
problem is told with its place: the variable, or the line and column in the file.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from extauthz.errors import ConfigurationError
from extauthz.files import read_bytes
from extauthz.policy.problems import Fault, PolicyErrors, Problem, did_you_mean, faults_of, problem_at
from extauthz.policy.yaml_source import Document, decode, load_documents
from extauthz.settings.file import DELIMITER, PREFIX, Settings
from extauthz.settings.places import where_it_belongs

CONFIG_VARIABLE = "EXTAUTHZ_CONFIG"
"""Names the configuration file itself; for the commands."""
# What Kubernetes puts beside every pod for a Service that is called `extauthz`, or `extauthz-web`.
_SERVICE_LINK = re.compile(
    PREFIX + r"(?:[A-Z0-9]+_)*?(?:SERVICE_(?:HOST|PORT(?:_.+)?)|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_.+)?)"
    r"|" + PREFIX + r"(?:[A-Z0-9]+_)*?PORT=(?:tcp|udp|sctp)://.*"
)


def load_settings(path: Path) -> Settings:
    """The settings of the YAML file at `path`, with what the environment overrides.

    Raises:
        ConfigurationError: the file can't be read.
        PolicyErrors: it is no valid configuration; every problem with its place.
    """
    documents = load_documents(decode(read_bytes(path, "configuration"), str(path)), str(path))
    if len(documents) != 1:
        raise ConfigurationError(f"{path}: holds {len(documents)} documents; write one, with at least `policies`")
    document = documents[0]
    if not isinstance(document.value, dict):
        raise PolicyErrors(
            [problem_at(document, (), "must be a mapping of settings; begin with `policies: [policies/]`")]
        )
    if "apiVersion" in document.value and "kind" in document.value:
        raise PolicyErrors(
            [problem_at(document, (), "a policy, no configuration", "name its folder in one: `policies: [policies/]`")]
        )
    if any("\0" in text for text in _texts(document.value)):
        raise ConfigurationError(f"{path}: holds a NUL character, which no name of a file can have; remove it")
    _refuse_unknown_variables(os.environ)
    try:
        settings = Settings(**_as_written(document))
    except ValidationError as error:
        raise PolicyErrors(_problems(error, document, os.environ)) from None
    except SettingsError as error:
        raise ConfigurationError(f"environment: {error}; lists and mappings are written as JSON") from error
    settings._base = path.absolute().parent
    return settings


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _texts(one)


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    """A misspelt variable must not leave a default in force without a word."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for variable in sorted(environ):
        name = variable.upper().partition(DELIMITER)[0]
        if not name.startswith(PREFIX) or any(map(_SERVICE_LINK.fullmatch, (name, f"{name}={environ[variable]}"))):
            continue
        if name != CONFIG_VARIABLE and name not in known:
            hint = did_you_mean(name, known) or "unset it"
            raise ConfigurationError(f"environment: {variable}: no such setting; {hint}")


def _problems(error: ValidationError, document: Document, environ: Mapping[str, str]) -> Iterator[Problem]:
    """Every problem with its place: the variable that says what is wrong, else the line and column in the file."""
    said = EnvSettingsSource(Settings)()
    variables = {_path_of(name): name for name in environ if name.upper().startswith(PREFIX)}
    for fault in faults_of(error, Settings, document):
        if not _is_of_environment(fault.path, said, document.value):
            yield _with_its_place(fault)
            continue
        path = max(variables, key=lambda path: _shared_steps(path, fault.path))
        place = f"environment: {variables[path]}"
        if fault.kind == "extra_forbidden" and path == fault.path:
            meant = DELIMITER.join((*path[:-1], fault.meant)).upper()
            hint = f"did you mean `{PREFIX}{meant}`?" if fault.meant else "unset it"
            yield Problem(file=place, message="no such setting", hint=hint)
        else:
            yield Problem(file=place, message=fault.problem.message, hint=fault.problem.hint)


def _path_of(variable: str) -> tuple[str, ...]:
    return tuple(variable.lower().removeprefix(PREFIX.lower()).split(DELIMITER))


def _shared_steps(one: tuple[str, ...], other: tuple[str | int, ...]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _is_of_environment(path: tuple[str | int, ...], said: object, written: object) -> bool:
    """Whether what is at `path`, or is missing there, is as the environment `said` it and not as the file has it.

    Mappings of both are one mapping; anything else that the environment says takes the place of what is in the file.
    """
    for step in path:
        if not isinstance(said, Mapping):
            return True
        if step not in said:
            return not isinstance(written, Mapping)
        said = said[step]
        written = written.get(step) if isinstance(written, Mapping) else None
    return bool(path)


def _with_its_place(fault: Fault) -> Problem:
    """What is told of a fault; of a key that is known in another block only, where it belongs."""
    if fault.kind != "extra_forbidden" or fault.meant:
        return fault.problem
    *path, key = map(str, fault.path)
    return replace(fault.problem, hint=where_it_belongs(key, written_in=".".join(path)))


def _as_written(document: Document) -> dict[str, Any]:
    """The file's keys. One with a leading `_` would be taken for a switch of pydantic-settings, and one in capitals for
    the key, or for nothing where that is there, too: both are refused."""
    known = Settings.model_fields
    odd = [key for key in document.value if key.startswith("_") or (key not in known and key.lower() in known)]
    if odd:
        hints = (did_you_mean(key.lower(), known) if key.lower() in known else "" for key in odd)
        raise PolicyErrors(
            problem_at(document, (key,), f"unknown field `{key}`", hint, key=True)
            for key, hint in zip(odd, hints, strict=True)
        )
    return dict(document.value)
