"""Errors of JSON-RPC 2.0 for requests of JSON-RPC 2.0.

The rule: a body is such a request only if it can be read in one way, and an error names the call that it answers.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

CONTENT_TYPE: Final = "application/json"
# Of the codes that a server may define (section 5.1). What happened is in `data.reason`.
SERVER_ERROR: Final = -32000
# An answer to each of very many calls would be many times as long as they are.
MOST_CALLS: Final = 100

# A body beyond these may ask for anything, and is answered as if it were no such request.
_LARGEST: Final = 1_048_576
_MOST_VALUES: Final = 10_000
_LONGEST_INTEGER: Final = 100

_NAME: Final = b'"jsonrpc"'

Id = str | int | float | None


class Calls(msgspec.Struct, frozen=True, kw_only=True):
    """What a body asks for: the ids of its calls, without notifications; `batch` is whether they came in a list."""

    ids: tuple[Id, ...]
    batch: bool


def read(body: bytes) -> Calls | None:
    """The calls in a body, `None` if it is no request of JSON-RPC 2.0, could be read in two ways, or is too large."""
    if len(body) > _LARGEST or _NAME not in body:
        return None
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES:  # commas in texts are counted along
        return None
    try:
        parsed = json.loads(body.decode(), object_pairs_hook=_distinct, parse_int=_integer, parse_constant=_refused)
    except (ValueError, RecursionError):
        return None
    calls = parsed if isinstance(parsed, list) else [parsed]
    if not calls or not all(isinstance(call, dict) and _is_call(call) for call in calls):
        return None
    if len(calls) > MOST_CALLS:
        return Calls(ids=(), batch=False)
    ids = tuple(_id(call["id"]) for call in calls if "id" in call)
    return Calls(ids=ids, batch=isinstance(parsed, list))


def error(calls: Calls, *, message: str, problem: Mapping[str, object]) -> str:
    """The answer to `calls` (section 5): an error for each. Where there is nothing to name, its id is null."""
    if calls.batch and calls.ids:
        return json.dumps([_error(one, message, problem) for one in calls.ids])
    return json.dumps(_error(calls.ids[0] if calls.ids else None, message, problem))


def _error(call: Id, message: str, problem: Mapping[str, object]) -> dict[str, object]:
    described = {"code": SERVER_ERROR, "message": message, "data": problem}
    return {"jsonrpc": "2.0", "id": call, "error": described}


def _is_call(call: Mapping[str, Any]) -> bool:
    return call.get("jsonrpc") == "2.0" and isinstance(call.get("method"), str)


def _id(given: object) -> Id:
    """The id as it is named in the answer; what is none (section 4) can't be."""
    match given:
        case bool():
            return None
        case str() | int():
            return given
        case float() if math.isfinite(given):
            return given
        case _:
            return None


def _distinct(members: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(members)
    if len(named) < len(members):
        raise ValueError("a name comes twice")
    return named


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_INTEGER:
        raise ValueError("a number that is too long")
    return int(digits)


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
