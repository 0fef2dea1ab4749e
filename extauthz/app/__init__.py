"""Builds and wires everything, runs it, and reloads what decides.

Before all else, the library for logs is imported without what it can do without: rich, for tracebacks in colours, which
would be a tenth of the time that a start takes, and 6 MB in each process.
"""

import sys

_before = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment] # Python's own word for a module that is not to be had
try:
    import structlog  # noqa: F401 - for everybody after this
finally:
    del sys.modules["rich"]
    if _before is not None:
        sys.modules["rich"] = _before
