"""The command `extauthz`: thin commands over the parts; errors are one line on standard error, and `exit_codes` has
all ways to end.

The rules kept here: nothing slow is imported before Ctrl-C is taken care of, and nothing at all for a shell that asks
what can stand at its cursor.
"""

import os
import sys

from extauthz.cli.interrupts import Importing


def main() -> None:
    """Run the command line and exit; with 130 on Ctrl-C."""
    if "_EXTAUTHZ_COMPLETE" in os.environ:
        _complete()
    with Importing():
        from extauthz.cli.commands import app
        from extauthz.cli.outcome import ended_by
    sys.exit(ended_by(app))


def _complete() -> None:
    """Answer a shell and exit; return for one that Typer alone knows."""
    from extauthz.cli.completion.answer import completion

    found = completion(os.environ)
    if found is None:
        return
    if found:
        print(found)  # noqa: T201 - for the shell
    only_asks = os.environ.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args"
    sys.exit(0 if found or not only_asks else 1)
