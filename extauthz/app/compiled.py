"""Whether what nearly every request goes through is compiled here (docs/adr/024-the-hot-path-is-compiled.md)."""

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final

PACKAGE: Final = Path(__file__).resolve().parents[1]
LIBRARY: Final = "extauthz__mypyc"
"""What all compiled modules are in; `hatch_build.py` puts it beside the package, for one version of Python."""


def is_compiled(package: Path = PACKAGE) -> bool:
    """Whether this Python runs those of the package compiled. Interpreted they decide the same, more slowly."""
    return any((package.parent / f"{LIBRARY}{suffix}").exists() for suffix in EXTENSION_SUFFIXES)
