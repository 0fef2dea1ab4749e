"""What processes hold and use, from /proc; and which processes somebody has started."""

import time
from dataclasses import dataclass
from pathlib import Path

from extauthz.errors import ExtauthzError

_SCHEDULER = 2
"""With the process in the other bits it is what clock_getcpuclockid(3) gives on Linux: CPUCLOCK_SCHED."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """MB of memory that a process holds.

    `resident` (RSS) is what `ps` and `top` show: pages of files that others have mapped, too, are counted in full.
    `proportional` (PSS) has a part of each page that is shared, and `private` none of it. `of_files` is what of
    `resident` are pages of programs and libraries as they lie on the disk.
    """

    resident: float
    proportional: float
    private: float
    of_files: float


def memory(pid: int) -> Memory:
    """What the process holds.

    Raises:
        NoProc: only Linux tells.
    """
    lines = (_proc() / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    told = {name: int(rest.split()[0]) * 1024 / _MB for name, _, rest in (line.partition(":") for line in lines)}
    return Memory(
        resident=told["Rss"],
        proportional=told["Pss"],
        private=told["Private_Clean"] + told["Private_Dirty"],
        of_files=told["Rss"] - told["Anonymous"],
    )


def processor_seconds(pid: int) -> float:
    """Seconds of the processor that the process has used so far, those of the system for it included; by its own clock,
    because /proc tells hundredths of a second, which is much of a short round.

    Raises:
        NoProc: only Linux tells.
        ProcessLookupError: there is no such process.
    """
    _proc()
    try:
        return time.clock_gettime(~pid << 3 | _SCHEDULER)
    except OSError as error:
        raise ProcessLookupError(f"process {pid} has ended: {error}") from None


def _proc() -> Path:
    proc = Path("/proc")
    if not (proc / "self" / "statm").exists():
        raise NoProc("no /proc: what processes hold and use is told by Linux only")
    return proc
