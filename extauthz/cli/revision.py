"""Which revision of the source this is: what the wheel was built from, or what is checked out.

The rule kept here: it never fails. Where nobody knows, nothing is said.
"""

import os
import subprocess
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).resolve().parents[1]
TOLD: Final = "_revision.txt"
"""The file in the package that a wheel has it in; `hatch_build.py` writes it."""
_PATIENCE: Final = 5.0


def revision(package: Path = PACKAGE) -> str | None:
    """The revision of the package in this folder, as git abbreviates it; with `+changed` where files are changed that
    git knows. `None` if neither the package nor git tells it.
    """
    try:
        return (package / TOLD).read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return _checked_out(package)


def _checked_out(package: Path) -> str | None:
    root = package.parent
    if not (root / ".git").exists():
        return None  # a repository further up is somebody else's, in which a virtual environment lies
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    if not head:
        return None
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{head}+changed" if changed else head


def _git(root: Path, *arguments: str) -> str | None:
    """What git says; `None` if it can't be asked."""
    # Variables of the hook of another repository would lead to that one; and a look must not write.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        ran = subprocess.run(  # noqa: S603 - the arguments are our own
            ["git", "-C", str(root), *arguments],  # noqa: S607 - whichever git is installed
            capture_output=True,
            text=True,
            check=True,
            timeout=_PATIENCE,
            env={**environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return ran.stdout.strip()
