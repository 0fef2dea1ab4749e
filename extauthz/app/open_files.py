"""How many files and connections a server may have open: as many as it is allowed to.

The soft limit is mostly 1,024, for the sake of programs that use select(2), which none here does. Above it no
connection is taken and no file opened, so who fills one listener would silence all others.
"""

import resource
import sys


def open_many() -> None:
    """Raise the limit of this process, which its children inherit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (ValueError, OSError):  # macOS has a limit of its own below what it says
        return


def how_many() -> int:
    """How many this process may have open now; `sys.maxsize` where nobody counts."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft
