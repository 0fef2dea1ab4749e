"""Files of the configuration that others than their owner can get at, found before anything is read.

The rules: what everybody can write decides nothing, so it ends a start; a secret that others can read is told, with
what to do. A Secret of Kubernetes that is mounted for the server's group is told of no more than one that is its own.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import structlog
from pydantic import BaseModel

from extauthz.errors import ConfigurationError
from extauthz.identity.key_config import KeyFile
from extauthz.settings import Settings
from extauthz.store.open import file_of, is_shared
from extauthz.store.redis_address import files_in
from extauthz.values.secret import CONFIDENTIAL

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_log = structlog.get_logger(__name__)


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder that the configuration names under this key."""

    setting: str
    path: Path
    secret: bool


def named_files(settings: Settings) -> Iterator[Named]:
    """All that `settings` name, whether they are there or not; policies' folders as they are written."""
    for named in _of_block(settings, ""):
        yield Named(setting=named.setting, path=settings.base / named.path, secret=named.secret)
    tokens = settings.approvals.tokens
    for source in (*settings.identity.keys, *(() if tokens is None else (tokens.keys,))):
        if isinstance(source.place, KeyFile):
            yield Named(setting=f"keys of `{source.name}`", path=settings.base / source.place.path, secret=False)
    database = file_of(settings.store, base=settings.base)
    if database is not None:
        yield Named(setting="store", path=database, secret=False)
    elif is_shared(settings.store):
        for name, path in files_in(settings.store, base=settings.base).items():
            yield Named(setting=f"store: {name}", path=path, secret=name.endswith("_file") or name == "key")


def refuse_exposed(settings: Settings, config: Path) -> None:
    """Find out that nobody but owners and groups can write what decides.

    Raises:
        ConfigurationError: everybody can write the file `config`, or one that the settings name.
    """
    folders = []
    for named in (Named(setting="the configuration", path=config, secret=False), *named_files(settings)):
        for path in _files(named.path):
            mode = _mode(path)
            if mode is not None and stat.S_ISREG(mode) and mode & stat.S_IWOTH and not _is_read_only(path):
                raise ConfigurationError(
                    f"{named.setting}: everybody can write `{path}` (mode {stat.S_IMODE(mode):04o}), and so say what"
                    " is in it; chmod o-w"
                )
            folders.append(path if mode is not None and stat.S_ISDIR(mode) else path.parent)
    for folder in dict.fromkeys(folders):
        mode = _mode(folder)
        if mode is not None and mode & stat.S_IWOTH and not mode & stat.S_ISVTX and not _is_read_only(folder):
            _log.warning(
                "folder-exposed",
                path=str(folder),
                mode=f"{stat.S_IMODE(mode):04o}",
                remedy="everybody can put other files in the place of those in it; chmod o-w, or mount it for this"
                " server alone",
            )


def tell_exposed(settings: Settings) -> None:
    """Warn in the log of files with secrets that others than their owner can read or write."""
    for named in named_files(settings):
        mode = _mode(named.path) if named.secret else None
        if mode is not None and mode & _OTHERS and not _is_mounted_for_us(named.path):
            _log.warning(
                "key-file-exposed" if named.setting == "keys" else "secret-file-exposed",
                setting=named.setting,
                path=str(named.path),
                mode=f"{stat.S_IMODE(mode):04o}",
                remedy="others than its owner have access to the secrets in it; chmod 600, and if they may have read "
                "it, make new ones",
            )


def _of_block(block: BaseModel, before: str) -> Iterator[Named]:
    for name, field in type(block).model_fields.items():
        secret = _is_marked(field.annotation) or CONFIDENTIAL in field.metadata
        yield from _of_value(getattr(block, name), f"{before}{name}", secret=secret)


def _of_value(value: object, setting: str, *, secret: bool) -> Iterator[Named]:
    if isinstance(value, Path):
        yield Named(setting=setting, path=value, secret=secret)
    elif isinstance(value, BaseModel):
        yield from _of_block(value, f"{setting}.")
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _of_value(one, f"{setting}.{key}", secret=secret)
    elif isinstance(value, tuple | list | frozenset):
        for one in value:
            yield from _of_value(one, setting, secret=secret)


def _is_marked(annotation: Any) -> bool:  # noqa: ANN401 - whatever a field may be
    return CONFIDENTIAL in get_args(annotation) or any(_is_marked(one) for one in get_args(annotation))


def _files(path: Path) -> Iterator[Path]:
    """What is at `path`, and all that is in it, links followed: so are those of policies."""
    yield path
    seen: set[str] = set()
    for folder, folders, files in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(folder, one) for one in (*folders, *files))


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except OSError:  # not there yet, or not to be looked at: whoever opens it tells
        return None


def _is_mounted_for_us(path: Path) -> bool:
    """Whether root and a group of this process alone can read it, and nobody write: a Secret in a pod, `fsGroup`."""
    try:
        status = path.stat()
        own = {os.getegid(), *os.getgroups()}
        return (
            status.st_uid == 0
            and status.st_gid in own - {0}
            and status.st_mode & _OTHERS == stat.S_IRGRP
            and _is_read_only(path)
        )
    except OSError:  # gone meanwhile
        return False


def _is_read_only(path: Path) -> bool:
    """Whether it is on a file system where nobody can write, as the volumes of a pod are; not what is gone meanwhile:
    then what was seen of it counts."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False
