"""What the commands read of the approvers' API: the shape that its answers must have to be shown.

The rule: what is there beside it is left alone, and goes to whoever wants JSON. So a newer server is understood as long
as it takes nothing away; and the page of a proxy, which may be JSON, too, is told in a line.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from extauthz.cli.approval_answers import NotDone
from extauthz.cli.printable import printable


class _SubjectProperties(msgspec.Struct):
    issuer: str
    actors: list[str]
    workload: str


class _Subject(msgspec.Struct):
    id: str
    properties: _SubjectProperties


class _Action(msgspec.Struct):
    name: str


class _ResourceProperties(msgspec.Struct):
    query: dict[str, list[str]]
    masked: list[str]
    show: dict[str, str]


class _Resource(msgspec.Struct):
    id: str
    properties: _ResourceProperties


class _Risk(msgspec.Struct):
    model: str
    level: str
    signals: list[str]


class _Context(msgspec.Struct):
    client_ip: str
    risk: list[_Risk]


class _Vote(msgspec.Struct):
    person: str
    stance: str
    reason: str
    at: str
    channel: str
    factor: str
    in_place_of: str | None


class _Review(msgspec.Struct):
    person: str
    verdict: str
    reason: str


class _BreakGlass(msgspec.Struct):
    person: str
    reason: str
    review: _Review | None


class _Ended(msgspec.Struct):
    person: str
    reason: str


class _Asked(msgspec.Struct, rename={"since": "from"}):
    since: str
    groups: list[str]
    subjects: list[str]
    condition: bool


class _Needed(msgspec.Struct):
    approve: int
    deny: int
    reason: bool
    factors: list[str]
    max_age: float | None


class _Viewer(msgspec.Struct):
    against: str | None


class _Approval(msgspec.Struct):
    id: str
    status: str
    rule: str
    description: str
    why: str
    subject: _Subject
    action: _Action
    resource: _Resource
    context: _Context
    bind: str
    requesters: list[str]
    opened_at: str
    expires_at: str
    status_at: str
    votes: list[_Vote]
    break_glass: _BreakGlass | None
    cancelled: _Ended | None
    revoked: _Ended | None
    asked: list[_Asked] | None = None
    needed: _Needed | None = None
    viewer: _Viewer | None = None


class _Named(msgspec.Struct):
    id: str


class _Page(msgspec.Struct):
    approvals: list[_Approval]


class _Names(msgspec.Struct):
    approvals: list[_Named]
    next: str | None


def approval(told: Any, url: str) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    """One approval that was told at `url`, as it came. Raises `NotDone` for anything else."""
    return _held(told, _Approval, url)


def page(told: Any, url: str) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    """A page of them, likewise."""
    return _held(told, _Page, url)


def names(told: Any, url: str) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    """A page of which nothing but ids is read, and where it goes on; likewise."""
    return _held(told, _Names, url)


def _held(told: Any, shape: type[msgspec.Struct], url: str) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    try:
        msgspec.convert(told, shape)
    except msgspec.ValidationError as error:
        why = str(error)
        raise NotDone(
            f"{url}: what is answered there are no approvals: {printable(why[:1].lower() + why[1:])}; is it the address"
            " of the approvers' API, and of this version?"
        ) from None
    found: Mapping[str, Any] = told
    return found
