"""What processes hold in memory, from /proc; and which processes somebody has started."""

import os
from pathlib import Path

from extauthz.errors import ExtauthzError

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MB = 1e6


class NoProc(ExtauthzError):
    """This system has no /proc."""


def family(pid: int) -> list[int]:
    """The process and all that it has started and that still run.

    Raises:
        NoProc: only Linux tells.
    """
    parents: dict[int, list[int]] = {}
    for entry in _proc().iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # it has ended
                continue
            # The name in brackets may hold anything; after it come the state and the parent.
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def resident(pid: int) -> float:
    """MB of memory that the process holds (RSS), shared pages included.

    Raises:
        NoProc: only Linux tells.
    """
    return int((_proc() / str(pid) / "statm").read_text().split()[1]) * _PAGE / _MB


def _proc() -> Path:
    proc = Path("/proc")
    if not (proc / "self" / "statm").exists():
        raise NoProc("no /proc: memory is measured on Linux only")
    return proc
