"""Run a command as the only one of the kind in this folder: whoever comes second waits for the first one's end.

The command has the lock itself, and what it runs has it, too: if one of them is killed the others are waited for.
"""

import fcntl
import os
import sys


def main(command: list[str]) -> None:
    """Become the command as soon as nobody else is one."""
    folder = os.open(".", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for another one that installs here", flush=True)
        fcntl.flock(folder, fcntl.LOCK_EX)
    os.set_inheritable(folder, True)
    os.execvp(command[0], command)  # noqa: S606 - the command is make's, no shell reads it


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
