"""Whether what nearly every request goes through is compiled here (docs/adr/024-the-hot-path-is-compiled.md)."""

from importlib.util import find_spec
from typing import Final

LIBRARY: Final = "extauthz__mypyc"
"""What all compiled modules are in; `hatch_build.py` puts it beside the package, for one version of Python."""


def is_compiled() -> bool:
    """Whether this Python runs them compiled. Interpreted they decide the same, more slowly."""
    return find_spec(LIBRARY) is not None
