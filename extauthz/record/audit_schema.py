"""The JSON Schema of the lines of an audit, made from the types that write them.

The rule kept here: it says what this version writes. Fields and kinds of events may be added under the same `v`, so a
field that it does not name is no mistake; a kind that it does not name is one of another version.
"""

from inspect import cleandoc
from typing import Any, Final, get_args

import msgspec

from extauthz.record.audit_line import DecisionLine
from extauthz.record.decision import WaitName
from extauthz.record.life import Detail, LifeKind
from extauthz.record.life_lines import LifeLine

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_PLACE: Final = {
    "writer": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    "seq": {"type": "integer", "minimum": 1},
    "hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
}
"""What the chain puts behind every line, so that none that is written is without it."""
_TIME: Final = {"type": "string", "format": "date-time", "pattern": r"^[0-9-]{10}T[0-9:]{8}\.[0-9]{9}Z$"}


def json_schema() -> dict[str, Any]:
    """What a line can be, as JSON Schema 2020-12: a decision, or an event."""
    roots, definitions = msgspec.json.schema_components((DecisionLine, LifeLine), ref_template="#/$defs/{name}")
    for one in definitions.values():
        one["description"] = cleandoc(one["description"])
    decision, event = definitions["DecisionLine"], definitions["LifeLine"]
    for line in (decision, event):
        line["properties"] |= {"time": _TIME, **_PLACE}
        line["required"] += _PLACE
    decision["properties"]["event"] = False  # what has one is an event
    definitions["WaitLine"]["properties"]["name"] = {"enum": list(get_args(WaitName))}
    event["properties"]["event"] = {"enum": list(get_args(LifeKind))}
    (details,) = msgspec.json.schema_components((dict[str, Detail],))[0]
    event["properties"]["details"] |= details
    return {
        "$schema": DIALECT,
        "title": "A line of an extauthz audit",
        "oneOf": list(roots),
        "$defs": definitions,
    }
