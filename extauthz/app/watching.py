"""Tells when the files that decide have changed.

Events of the file system are hints: they wake us. What counts is a fingerprint of the files, links followed, taken
when it no longer changes. So a directory that is swapped by a link is one change, however many events that makes; an
editor's temporary file is none; and a file that is missing while it is replaced is waited for.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

import msgspec
from watchfiles import awatch

from extauthz.app.pace import Pace
from extauthz.policy.load import policy_files

LOOK_ANYWAY = 30.0
"""Seconds after which the files are looked at without an event: some file systems send none."""
QUIET = 0.1
"""Seconds without a change after which a change is over."""
PATIENCE = 5.0
"""Seconds that a change may last before it is looked at as it is."""
STARTING = 0.5
"""Seconds after which a watch has begun."""
_STEP_MS = 100

Fingerprint = tuple[tuple[object, ...], ...]


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """What decides: `policies` are files and folders, `files` are files."""

    policies: tuple[Path, ...]
    files: tuple[Path, ...]

    def fingerprint(self) -> Fingerprint:
        """What tells one state of the files from another, without reading them."""
        pace = Pace()
        states = []
        for file in self._all_files():
            states.append(_state(file))
            pace.breathe()
        return tuple(sorted(states))

    def is_whole(self) -> bool:
        """Whether everything that is named is there."""
        return all(path.exists() for path in (*self.policies, *self.files))

    def folders(self) -> frozenset[Path]:
        """The folders of policies: all that happens in them and below matters."""
        return frozenset(path.resolve() for path in self.policies if path.is_dir())

    def entries(self) -> frozenset[Path]:
        """The names and links on the way to the files: what is replaced when something is swapped."""
        entries = {path.absolute() for path in (*self.policies, *self.files)}
        for path in (*self.policies, *self._all_files()):
            entries.update(_links(path))
        return frozenset(entries)

    def _all_files(self) -> Iterable[Path]:
        yield from policy_files(self.policies)
        yield from self.files


def _state(file: Path) -> tuple[object, ...]:
    try:
        found = file.stat()
    except OSError:
        return (str(file), False)
    return (str(file), True, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _links(path: Path) -> list[Path]:
    """The links that are followed on the way to a path, each where it lies."""
    links: list[Path] = []
    pending = list(reversed(path.absolute().parts))
    at = Path(pending.pop())
    while pending and len(links) < 40:  # as many as the system follows
        name = pending.pop()
        if name == "..":
            at = at.parent
            continue
        entry = at / name
        if not entry.is_symlink():
            at = entry
            continue
        links.append(entry)
        target = entry.readlink()
        at = Path(target.anchor) if target.is_absolute() else at
        pending.extend(reversed(target.parts[1:] if target.is_absolute() else target.parts))
    return links


async def changes(watched: Watched, known: Fingerprint) -> AsyncIterator[None]:
    """Yields once for each change of the files since their fingerprint was `known`."""
    while True:
        settled = await _settled(watched, known)
        if settled != known:
            known = settled
            yield
        else:
            await _something_happens(watched, known)


async def _something_happens(watched: Watched, known: Fingerprint) -> None:
    """Wait for an event, or for `LOOK_ANYWAY`."""
    folders, entries = await asyncio.to_thread(lambda: (watched.folders(), watched.entries()))
    above = {entry.parent for entry in entries}
    stop = asyncio.Event()
    waiting = [
        asyncio.create_task(_event(sorted(where), matters, recursive=recursive, stop=stop))
        for where, matters, recursive in (
            (folders, _always, True),
            ({folder for folder in above if folder.is_dir()}, lambda path: Path(path) in entries, False),
        )
        if where
    ]
    try:
        done, _ = await asyncio.wait(waiting, timeout=STARTING, return_when=asyncio.FIRST_COMPLETED)
        # What happened before the watch began made no event.
        if not done and await asyncio.to_thread(watched.fingerprint) == known:
            await asyncio.wait(waiting, timeout=LOOK_ANYWAY, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # They are asked to end, not cancelled: in pyvoy's loop a cancelled one would be a circle with the thread that
        # it waited for, and stay until Python looks for circles, which it does once in hours.
        stop.set()
        await asyncio.gather(*waiting, return_exceptions=True)


def _always(_: str) -> bool:
    return True


async def _event(
    folders: Sequence[Path], matters: Callable[[str], bool], *, recursive: bool, stop: asyncio.Event
) -> None:
    """Returns at the first event that matters, or soon after `stop` was set."""
    async for _ in awatch(
        *folders,
        recursive=recursive,
        watch_filter=lambda _, path: matters(path),
        step=_STEP_MS,
        debounce=_STEP_MS,
        stop_event=stop,
        ignore_permission_denied=True,
    ):
        return


async def _settled(watched: Watched, known: Fingerprint) -> Fingerprint:
    """The fingerprint when it no longer changes and nothing is missing, or when patience is at its end."""
    deadline = time.monotonic() + PATIENCE
    seen = await asyncio.to_thread(watched.fingerprint)
    while True:
        if seen == known:
            return seen
        await asyncio.sleep(QUIET)
        before, seen = seen, await asyncio.to_thread(watched.fingerprint)
        whole = await asyncio.to_thread(watched.is_whole)
        if (seen == before and whole) or time.monotonic() >= deadline:
            return seen
