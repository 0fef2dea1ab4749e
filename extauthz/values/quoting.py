"""How messages quote: names, ours and the operator's, in backticks; what came with a request by `given`.

The rule kept here: what is quoted by `given` can be left out of a record, and nothing else can. So whatever a request
may have put into a message goes through `given`, and nothing that somebody must read to mend a policy does.
"""

import re
from typing import Final

from extauthz.errors import ExtauthzError

LONGEST: Final = 60
"""Characters that a message quotes of what came with a request."""
_GIVEN: Final = re.compile("“([^”]*)”")


def given(value: str) -> str:
    """What came with a request, as a message quotes it: cut, and in “quotation marks” that it can't close."""
    shown = value if len(value) <= LONGEST else f"{value[:LONGEST]}…"
    return "“" + shown.replace("“", '"').replace("”", '"') + "”"


def owned(message: str) -> str:
    """The message with names in place of what was given: for what stands in the operator's own expression."""
    return _GIVEN.sub(r"`\1`", message)


def masked(message: str) -> str:
    """The message without what was given."""
    return _GIVEN.sub("“…”", message)


def detail_of(error: Exception) -> str:
    """What a record says of an error; nobody knows what the text of one that is not ours holds, so it is given."""
    match error:
        case ExtauthzError():
            return str(error)
        case OSError(strerror=str(reason)):
            return reason
        case _:
            text = str(error)
            return f"{type(error).__name__}: {given(text)}" if text else type(error).__name__
