"""The decision that began something, for whatever goes on with it: on another page, another server, after hours.

The rule kept here: it says which decision it was and nothing of what was decided, so it may be kept with anything.
"""

from typing import Final

import msgspec


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """`decision_id` is the decision's, `span` that of its span as a `traceparent` writes it (W3C Trace Context section
    3.2); each is empty where there is none."""

    decision_id: str = ""
    span: str = ""


NO_ORIGIN: Final = Origin()
