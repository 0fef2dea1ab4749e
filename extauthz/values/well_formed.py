"""JSON that every program can read.

The rule: half of a character (a lone surrogate), which JSON can say and UTF-8 can't, is written as `?`.
"""

import json

import msgspec


def well_formed(what: object) -> bytes:
    """What msgspec takes, as JSON in UTF-8."""
    return json.dumps(msgspec.to_builtins(what), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
