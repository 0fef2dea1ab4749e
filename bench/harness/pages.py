"""Pages of memory that hold files. A hypervisor may give them only when they are first touched, and take them back when
they are free for a while: then a page of 4 KB costs 10 µs and more, which is no work of whoever writes.
"""

import os
from pathlib import Path


def reuse(file: Path) -> None:
    """Let go of the pages that hold what was written to this file, once it is on its disk: what is written next gets
    pages that are just free. Where the system has no such wish, nothing happens."""
    if not hasattr(os, "posix_fadvise") or not file.exists():
        return
    opened = os.open(file, os.O_RDONLY)
    try:
        os.fsync(opened)
        os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(opened)
