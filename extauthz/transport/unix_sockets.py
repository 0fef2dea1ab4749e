"""Paths of Unix sockets: where they may be, taken over from a server that is gone, never from one that is there.

The rule: a Unix socket tells gRPC and HTTP nothing about the peer, so folders decide. Whoever can write in one can put
a socket of his own in the place of ours, and answer `allow`.
"""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from extauthz.errors import ConfigurationError, failure_of
from extauthz.transport import ports
from extauthz.transport.ports import LOOK, PATIENCE, bound

MODE: Final = 0o660
LONGEST: Final = 107
"""Bytes of a path (unix(7): 108 with the NUL)."""
_LINKS: Final = 40
_UNIX: Final = "unix:"


class Sockets(msgspec.Struct, frozen=True, kw_only=True):
    """How sockets are made: their `mode`, and whether others may write in the folder that they are in."""

    mode: int
    shared_folder: bool = False

    def take(self, path: Path, *, key: str) -> None:
        """See to it that a server may bind `path`, which `key` of the configuration names; a dead socket is removed.

        Raises:
            ConfigurationError: it may not; the message says what to do.
        """
        if len(os.fsencode(path)) > LONGEST:
            raise ConfigurationError(f"{key}: `{path}` is longer than {LONGEST} bytes, a socket's longest; shorten it")
        try:
            fault = _fault(path.parent, shared=self.shared_folder)
            if fault is None:
                make_way(path)
        except FileNotFoundError as error:
            fault = f"there is no folder `{error.filename}`; make it"
        except OSError as error:
            fault = failure_of(error)
        if fault is not None:
            raise ConfigurationError(f"{key}: can't listen on `unix:{path}`: {fault}")

    @contextlib.contextmanager
    def reserved(self, address: str, *, key: str) -> Iterator[None]:
        """Around the time until somebody else listens on an address, and gives its socket a mode: meanwhile no other
        server takes it. Raises `ConfigurationError` as `take`.
        """
        path = path_of(address)
        if path is None:
            with ports.alone(int(address.rpartition(":")[2])):
                bound(address, key=key).close()
                yield
        else:
            with _alone(path.parent):
                self.take(path, key=key)
                yield

    @contextlib.contextmanager
    def around(self, address: str, *, key: str) -> Iterator[None]:
        """Around what binds an address, which need not be that of a socket: nobody connects before it has its mode.

        Raises `ConfigurationError` as `take`.
        """
        path = path_of(address)
        if path is None:
            bound(address, key=key).close()
            yield
            return
        with _alone(path.parent):
            self.take(path, key=key)
            before = os.umask(0o777 & ~self.mode)
            try:
                yield
            finally:
                os.umask(before)
            path.chmod(self.mode)


AS_ALWAYS: Final = Sockets(mode=MODE)


def path_of(address: str) -> Path | None:
    """The path of a Unix socket, `None` for what is no address of one."""
    return Path(address.removeprefix(_UNIX)) if address.startswith(_UNIX) else None


def make_way(path: Path) -> None:
    """Remove the socket that a server left at `path` when it was killed; anything that is no socket stays.

    Raises:
        OSError: something else is there, a server listens (`EADDRINUSE`), or the path can't be looked at.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, f"{_kind(mode)} is there; remove it, or name another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PATIENCE)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def clear(path: Path) -> None:
    """Remove the socket at `path` if nobody listens there, or is about to."""
    with _alone(path.parent) as alone, contextlib.suppress(OSError):
        if alone:
            make_way(path)


def inode(path: Path) -> tuple[int, int]:
    """What tells the file at `path` from any other that may stand there later."""
    status = path.lstat()
    return status.st_dev, status.st_ino


def remove(path: Path, bound: tuple[int, int]) -> None:
    """Remove the socket at `path` if it is still the one that was bound."""
    with contextlib.suppress(FileNotFoundError):
        if inode(path) == bound:
            path.unlink()


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Around looking and binding: of servers that start at once one comes after the other, or the second would take
    the new socket of the first for a dead one. Whoever else keeps the lock delays a start, and prevents none; then it
    is said that we are not alone.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # it is told what is wrong with it
        yield False
        return
    try:
        end = time.monotonic() + PATIENCE
        while not (alone := _locked(descriptor)) and time.monotonic() < end:
            time.sleep(LOOK)
        yield alone
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _fault(folder: Path, *, shared: bool) -> str | None:
    """Why a socket in `folder` could be replaced by others, or could not be made; `None` if all is well."""
    (*above, last), links = _way_to(folder)
    for link in links:
        owner = link.lstat().st_uid
        if owner not in (0, os.geteuid()):
            return f"the link `{link}` belongs to another user (uid {owner}), who can let it lead elsewhere; remove it"
    for one in above:
        fault = _exposed(one, one.stat(), sticky_is_enough=True)
        if fault is not None:
            return fault
    status = last.stat()
    if not stat.S_ISDIR(status.st_mode):
        return f"`{last}` is no folder"
    fault = None if shared else _exposed(last, status, sticky_is_enough=False)
    if fault is None and not os.access(last, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        return f"nothing can be made in `{last}`; let this user write there"
    return fault


def _exposed(folder: Path, status: os.stat_result, *, sticky_is_enough: bool) -> str | None:
    if status.st_uid not in (0, os.geteuid()):
        return f"`{folder}` belongs to another user (uid {status.st_uid}); let this one or root own it"
    if sticky_is_enough and status.st_mode & stat.S_ISVTX:  # nobody can rename what is another's
        return None
    mode = f"mode {stat.S_IMODE(status.st_mode):04o}"
    if status.st_mode & stat.S_IWOTH:
        return f"others can write in `{folder}` ({mode}), and so take the server's place; chmod 750"
    if status.st_mode & stat.S_IWGRP and status.st_gid not in (os.getegid(), *os.getgroups()):
        return f"a group that this user is not in (gid {status.st_gid}) can write in `{folder}` ({mode}); chmod 750"
    return None


def _way_to(folder: Path) -> tuple[list[Path], list[Path]]:
    """Every folder on the way to `folder`, itself last, and those that hold the links on the way; and the links."""
    found, links = [Path("/")], list[Path]()
    at, steps = Path("/"), list(reversed(folder.absolute().parts[1:]))
    while steps:
        step = steps.pop()
        at = at.parent if step == ".." else at / step
        if at.is_symlink():
            links.append(at)
            if len(links) > _LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            target = at.readlink()
            at = Path("/") if target.is_absolute() else at.parent
            steps += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        else:
            at.lstat()  # or it would be told of whatever comes behind it
            found.append(at)
    # The folder is what the way ends in, which may have been passed before.
    return [*(one for one in dict.fromkeys(found) if one != at), at], links


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a link" if stat.S_ISLNK(mode) else "something that is no socket"
