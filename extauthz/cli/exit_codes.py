"""How a command of `extauthz` ends, as scripts see it."""

from collections.abc import Mapping
from typing import Final

DONE: Final = 0
FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130

EXIT_CODES: Final[Mapping[int, str]] = {
    DONE: "It is done, and what was asked is so.",
    FAILED: "It could not be done, or what was asked is not so: a policy has errors, a test of policies fails, records "
    "were changed, a server does not serve. One line on standard error says what to do.",
    MISUSED: "The command line can't be understood: an unknown command or option, a missing argument, a value of the "
    "wrong kind, an id or a name that nothing and nobody can have.",
    INTERRUPTED: "Ctrl-C has ended it.",
}
"""Every exit code, and what it means. A process that a signal kills has the code that its shell gives it."""
