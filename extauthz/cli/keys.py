"""`extauthz keys`: the key file.

The rules: it is readable by its owner only, appears whole or not at all, and a key that was in use is never lost to a
command that meant to make one.
"""

import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from extauthz.errors import ConfigurationError
from extauthz.stepup.keys import SECRET_BYTES, generate_key, parse_keys, rotate_keys

app = typer.Typer(name="keys", no_args_is_help=True, help="Keys that sign tickets, bind proofs and seal secrets.")

KeyFile = Annotated[Path, typer.Argument(metavar="[FILE]", help="The key file.", dir_okay=False)]
_DEFAULT_FILE = Path("keys.json")


@app.command()
def generate(
    file: KeyFile = _DEFAULT_FILE,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file: every factor and proof made with it is lost.")
    ] = False,
) -> None:
    """Make a key file with one key."""
    text = generate_key(os.urandom(SECRET_BYTES), created=int(time.time()))
    _write(file, text, replace=overwrite)
    typer.echo(f"{file}: made with key `{parse_keys(text).newest.kid}`")


@app.command()
def rotate(file: KeyFile = _DEFAULT_FILE) -> None:
    """Add a key, which is from now on the newest; what older ones made stays good. Restart the servers after it."""
    try:
        before = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: can't read the key file: {error}") from error
    text = rotate_keys(before, os.urandom(SECRET_BYTES), created=int(time.time()))
    _write(file, text, replace=True)
    typer.echo(f"{file}: key `{parse_keys(text).newest.kid}` is the newest of {len(parse_keys(text).keys)}")


def _write(file: Path, text: str, *, replace: bool) -> None:
    """Write beside it, to disk, then into its place: a reader sees the old file or the new one."""
    try:
        descriptor, name = tempfile.mkstemp(dir=file.absolute().parent, prefix=f".{file.name}.")  # mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as beside:
                beside.write(text)
                beside.flush()
                os.fsync(beside.fileno())
            if replace:
                Path(name).replace(file)
            else:
                os.link(name, file)  # unlike a rename it never replaces
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()
    except FileExistsError as error:
        raise ConfigurationError(f"{file}: is there already; `extauthz keys rotate` adds a key to it") from error
    except OSError as error:
        raise ConfigurationError(f"{file}: can't write the key file: {error.strerror}") from error
