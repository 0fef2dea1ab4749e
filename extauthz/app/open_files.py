"""How many files and connections a server may have open: as many as it is allowed to.

The soft limit is mostly 1,024, for the sake of programs that use select(2), which none here does. Above it no
connection is taken and no file opened, so who fills one listener would silence all others.
"""

import resource


def open_many() -> None:
    """Raise the limit of this process, which its children inherit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (ValueError, OSError):  # macOS has a limit of its own below what it says
        return
