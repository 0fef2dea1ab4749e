"""Commands with a file system of their own: read-only but for what is named, with the host's programs and Python.

By namespaces of Linux, which take root.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from deploy.tools import ROOT

from extauthz.app.compiled import LIBRARY

_ENTER = Path(__file__).parent / "enter.sh"
# The host's own files that Python needs; all else is not there.
_PYTHON = ("/usr", sys.base_prefix)
_INSTALLED = (sys.prefix, str(ROOT / "extauthz"), *map(str, ROOT.glob(f"{LIBRARY}.*")))
_LINKS = ("/bin", "/lib", "/lib64", "/sbin")


def require_namespaces() -> None:
    """Skip where this user may not make any, or what is needed is missing."""
    missing = [name for name in ("unshare", "setpriv", "nsenter", "mount") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no `{missing[0]}` here, to run a container's command as it is said to be run")
    script = "mount -t tmpfs none /mnt && ip link set lo up"
    tried = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", script], check=False, capture_output=True, text=True
    )
    if tried.returncode != 0:
        pytest.skip(f"no namespaces for this user ({tried.stderr.strip()}); run as root")


def command_in(
    folder: Path,
    binds: Sequence[str],
    command: Sequence[str],
    *,
    restrictions: Sequence[str],
    host_network: bool = False,
    at: str = "/",
    installed: bool = True,
) -> list[str | Path]:
    """What runs `command` at the folder `at` with only these `binds`: `ro`, `rw`, or `link`, source and target.

    `folder` is empty and stays for as long as it runs. `restrictions` are options of setpriv. Without `installed` the
    packages of the tests are not there.
    """
    shared = dict.fromkeys((*_PYTHON, *(_INSTALLED if installed else ())))
    lines = [*binds, *(f"ro {path} {path}" for path in shared), "rw /dev /dev"]
    lines += [f"link {Path(path).readlink()} {path}" for path in _LINKS if Path(path).is_symlink()]
    (folder / "binds").write_text("".join(f"{line}\n" for line in lines))
    (folder / "root").mkdir()
    network = () if host_network else ("--net",)
    return ["unshare", "--mount", *network, _ENTER, folder, at, *restrictions, "--", *command]
