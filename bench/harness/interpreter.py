"""Which Python runs: how it was built counts for as much as some of what is measured."""

import platform
import shlex
import sysconfig
from dataclasses import dataclass
from typing import Final

OPTION: Final = "--enable-optimizations"
"""What has a Python compiled twice, the second time by the profile of the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """`optimised` is whether it was configured with `OPTION`."""

    name: str
    version: str
    optimised: bool

    def __str__(self) -> str:
        if self.optimised:
            return f"{self.name} {self.version}, configured with {OPTION}"
        return (
            f"{self.name} {self.version}, configured without {OPTION}: unless it was optimised otherwise, as Debian's"
            " is, a decision costs some 20 % more"
        )


def running() -> Interpreter:
    """The one that runs this, and the servers that are measured."""
    return interpreter(str(sysconfig.get_config_var("CONFIG_ARGS") or ""))


def interpreter(arguments: str) -> Interpreter:
    """The running one, if it was configured with these arguments, as a shell would have them."""
    return Interpreter(
        name=platform.python_implementation(),
        version=platform.python_version(),
        optimised=OPTION in shlex.split(arguments),
    )
