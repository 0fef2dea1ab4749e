"""How a worker of the `grpcio` transport is started: a server in a Python of its own."""

import sys
from collections.abc import Mapping
from pathlib import Path

from extauthz.app.link import Assignment
from extauthz.app.worker import Launch, Worker
from extauthz.settings import Settings

_PROGRAM = "import gc; gc.disable(); from extauthz.app.in_python import main; gc.freeze(); gc.enable(); main()"
"""What is imported stays: to search it for garbage would be a sixth of the time that it takes."""


def python_worker(settings: Settings, environ: Mapping[str, str], number: int | None) -> Worker:
    """A worker that serves `settings`."""
    return Worker(
        Launch(
            # -P: the folder that the server was started in is no place to import from.
            command=(sys.executable, "-P", "-c", _PROGRAM),
            environ=environ,
            folder=Path.cwd(),
            clean_up=lambda: None,  # what is left is taken over by the next
        ),
        Assignment(settings=settings, admin=None, environ=dict(environ), executable=sys.executable, number=number),
    )
