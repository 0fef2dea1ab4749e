"""Paths of Unix sockets: taken over from a server that is gone, never from one that is there.

Who may connect is decided by owner, group and folder: a Unix socket tells gRPC and HTTP nothing about the peer.
"""

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

MODE = 0o660
_PATIENCE = 1.0


def make_way(path: Path) -> None:
    """Remove the socket that a server left at `path` when it was killed; anything that is no socket stays.

    Raises:
        OSError: a server listens there (`EADDRINUSE`), or the path can't be looked at.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def inode(path: Path) -> tuple[int, int]:
    """What tells the file at `path` from any other that may stand there later."""
    status = path.lstat()
    return status.st_dev, status.st_ino


def remove(path: Path, bound: tuple[int, int]) -> None:
    """Remove the socket at `path` if it is still the one that was bound."""
    with contextlib.suppress(FileNotFoundError):
        if inode(path) == bound:
            path.unlink()
