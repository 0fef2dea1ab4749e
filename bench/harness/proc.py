"""What processes hold and use, from /proc; and which processes somebody has started."""

import os
from pathlib import Path

from extauthz.errors import ExtauthzError

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = 1 / os.sysconf("SC_CLK_TCK")
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


def processor_seconds(pid: int) -> float:
    """Seconds of the processor that the process has used so far, those of the system for it included.

    Raises:
        NoProc: only Linux tells.
    """
    used, for_it = (_proc() / str(pid) / "stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(used) + int(for_it)) * _TICK


def _proc() -> Path:
    proc = Path("/proc")
    if not (proc / "self" / "statm").exists():
        raise NoProc("no /proc: what processes hold and use is told by Linux only")
    return proc
