"""The key file on disk: read, made on first start, and replaced so that no reader ever sees half of one.

The rule kept here: it is made for its owner alone.
"""

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from extauthz.errors import ConfigurationError, failure_of
from extauthz.files import read_text, write_whole
from extauthz.stepup.keys import SECRET_BYTES, Key, KeyRing, drop_keys, generate_key, parse_keys, rotate_keys


def load_or_make_keys(path: Path, *, shared: bool) -> KeyRing:
    """The key ring in `path`, which is made with one key if it is not there.

    A `shared` one is not made: servers on other machines need the same keys.

    Raises:
        ConfigurationError: the file can't be read, made or used.
    """
    if not path.exists():
        if shared:
            raise ConfigurationError(
                f"{path}: there are no keys; all servers on one Redis need the same: make the file with `extauthz keys "
                "generate`, and give each server a copy"
            )
        # Another process may make it in this very moment; then its file is the one.
        with contextlib.suppress(FileExistsError):
            _write(path, _new_keys(), replace=False)
    return read_keys(path)


def read_keys(path: Path) -> KeyRing:
    """The key ring in `path`, as it is now.

    Raises:
        ConfigurationError: the file can't be read or used.
    """
    text = read_text(path, "key file")
    with _naming(path):
        return parse_keys(text, now=time.time())


def make_keys(path: Path, *, replace: bool) -> KeyRing:
    """Write a file with one new key.

    Raises:
        ConfigurationError: the file is there and `replace` is false, or it can't be written.
    """
    text = _new_keys()
    try:
        _write(path, text, replace=replace)
    except FileExistsError as error:
        raise ConfigurationError(f"{path}: is there already; `extauthz keys rotate` adds a key to it") from error
    return parse_keys(text)


def add_key(path: Path, *, after: float) -> Key:
    """Add a key to the file, which makes from `after` seconds on.

    Raises:
        ConfigurationError: the file is missing, or can't be read, written or used.
    """
    before, now = read_text(path, "key file"), int(time.time())
    with _naming(path):
        text = rotate_keys(before, os.urandom(SECRET_BYTES), created=now, makes_from=now + int(after))
    _write(path, text, replace=True)
    return parse_keys(text).newest


def remove_keys(path: Path, kids: Collection[str]) -> KeyRing:
    """Take these keys out of the file; the ring that is left.

    Raises:
        ConfigurationError: the file is missing, or can't be read, written or used, or none would be left.
    """
    before = read_text(path, "key file")
    with _naming(path):
        text = drop_keys(before, kids)
    _write(path, text, replace=True)
    return parse_keys(text)


def _new_keys() -> str:
    return generate_key(os.urandom(SECRET_BYTES), created=int(time.time()))


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """What is wrong with the text of the file is told with its name."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {str(error).removeprefix('keys: ')}") from error


def _write(path: Path, text: str, *, replace: bool) -> None:
    """Write beside it, to disk, then into its place; `FileExistsError` if it must not be replaced and is there."""
    try:
        write_whole(path, text.encode(), replace=replace)
    except FileExistsError:
        raise
    except OSError as error:
        raise ConfigurationError(f"{path}: can't write the key file: {failure_of(error)}") from error
