"""How a command ends: what it raised becomes one line on standard error, and an exit code.

The rule kept here: what a user, a file or the system did wrong ends in a sentence, never in a traceback. Only what is
our own mistake does: it is to be reported.
"""

import errno
import os
import sys
from collections.abc import Callable
from io import UnsupportedOperation
from typing import Any, Final, TextIO

import typer

from extauthz.cli.exit_codes import DONE, FAILED, INTERRUPTED
from extauthz.errors import ExtauthzError, failure_of

_NOT_WRITTEN: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
"""What can be wrong with where the output goes."""


def ended_by(command: Callable[[], Any]) -> int:
    """The exit code of a command that runs to its end, with all that it has printed."""
    for stream in (sys.stdout, sys.stderr):
        _print_anything(stream)
    try:
        code = _code_of(command)
        _flush()
    except BrokenPipeError:
        _let_go()
        return FAILED
    except OSError as error:
        if error.errno not in _NOT_WRITTEN:
            raise
        _let_go()
        _tell(f"the output can't be written: {failure_of(error)}")
        return FAILED
    return code


def _code_of(command: Callable[[], Any]) -> int:
    """Raises `OSError` if what it prints can't be written."""
    try:
        command()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else DONE if ended.code is None else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except ExtauthzError as error:
        _tell(str(error))
        return FAILED
    except OSError as error:
        if error.filename is None:
            raise
        _tell(f"{error.filename}: {failure_of(error)}; look whether it is what you meant, and whether you may use it")
        return FAILED
    return DONE


def _print_anything(stream: TextIO | None) -> None:
    """Let what the terminal has no letters for, or is no text, be printed by its number."""
    if stream is not None and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _let_go() -> None:
    """Write nowhere what is left: the interpreter would try it once more, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        if sys.stdout is not None:
            os.dup2(nowhere, sys.stdout.fileno())
    except UnsupportedOperation:  # it is no file
        return
    finally:
        os.close(nowhere)


def _tell(message: str) -> None:
    try:
        typer.echo("".join(map(_harmless, f"extauthz: {message}")), err=True)
    except OSError:  # nobody reads it
        return


def _harmless(character: str) -> str:
    """The name of a file, and what a server answers, can hold what a terminal obeys. Lone surrogates become numbers."""
    kept = character.isprintable() or character in "\n\t" or "\ud800" <= character <= "\udfff"
    return character if kept else "\N{REPLACEMENT CHARACTER}"
