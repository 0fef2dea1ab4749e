"""What the API for approvals is, for programs (OpenAPI 3.1).

The rule: a test asks the API for everything that is said here.
"""

from collections.abc import Mapping
from typing import Any, Final, get_args

from extauthz import __version__
from extauthz.values.approvals import Channel, Stance, State, Verdict
from extauthz.web.approval_door import LARGEST_PAGE, PAGE_SIZE
from extauthz.web.approval_refusals import MEANINGS
from extauthz.web.openapi_parts import PROBLEM, TEXT, TEXT_OR_NONE, answer, content, object_of, problems, query, ref

_ANYTHING: Final = {"type": "object"}
_TEXTS: Final = {"type": "array", "items": TEXT}
_TEXTS_BY_NAME: Final = {"type": "object", "additionalProperties": TEXT}
_TRUTH: Final = {"type": "boolean"}
_WHOLE: Final = {"type": "integer", "minimum": 0}
_TIME: Final = {"type": "string", "format": "date-time"}
_TIME_OR_NONE: Final = {"type": ["string", "null"], "format": "date-time"}
_REASON: Final = {"type": "string", "description": "Needed if the rule says so."}
_CODE: Final = {
    "type": "string",
    "description": "A one-time code of the caller's authenticator app, if the rule asks for a fresh factor.",
}


def _or_none(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"oneOf": [schema, {"type": "null"}]}


def _said(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**schema, "description": description}


def _all(**properties: object) -> dict[str, Any]:
    """An object that has all of these."""
    return object_of(list(properties), **properties)


_EVERYWHERE: Final = problems(
    {
        "401": "The bearer token is missing or not good.",
        "403": "Whoever holds the token may not do this.",
        "500": "A mistake of ours.",
        "503": "Somebody who has to be asked is out of reach, or there are too many; ask again.",
    }
)
_OF_QUERIES: Final = problems({"400": "What was asked can't be read."})
_OF_ONE: Final = problems({"404": "There is none with this id that is the caller's to see."})
_OF_ORDERS: Final = problems(
    {
        "400": "What was sent can't be read.",
        "409": "It is over, was answered already, or changes at this moment.",
        "413": "The body is too long.",
        "415": "The body is of another type.",
        "422": "Something is missing, or can't be meant.",
        "429": "Too many codes were wrong.",
    }
)
_ID: Final = {"name": "id", "in": "path", "required": True, "schema": TEXT}
_FILTER: Final = [
    {
        **query("status", {"type": "array", "items": {"enum": list(get_args(State))}}),
        "explode": True,
        "description": "Any of these; without it, all.",
    },
    query("rule", _said("`policy/rule`", TEXT)),
    query("subject", _said("Who asks: the `sub` of a user, or a SPIFFE ID.", TEXT)),
    query("issuer", _said("Whose user `subject` is; needed if there are several issuers of users.", TEXT)),
    query("mine", _said("Only what the caller can answer or review now.", _TRUTH)),
    query("unreviewed", _said("Only uses of break-glass that nobody has reviewed.", _TRUTH)),
]


def _order(summary: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "parameters": [_ID],
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": content(body)},
            "responses": {
                "200": answer("The approval after it.", ref("Approval")),
                **_EVERYWHERE,
                **_OF_ONE,
                **_OF_ORDERS,
            },
        },
    }


_ENDED: Final = _or_none(_all(person=TEXT, reason=TEXT, at=_TIME))
_VOTE: Final = _all(
    person=TEXT,
    name=TEXT,
    stance={"enum": list(get_args(Stance))},
    reason=TEXT,
    at=_TIME,
    channel={"enum": list(get_args(Channel))},
    factor=_said("What was proven for it (RFC 8176), empty for nothing.", TEXT),
    in_place_of=_said("Whose right it was, if the voter stood in for them.", TEXT_OR_NONE),
)
_BREAK_GLASS: Final = _all(
    person=TEXT,
    reason=TEXT,
    factor=TEXT,
    at=_TIME,
    review=_or_none(_all(person=TEXT, verdict={"enum": list(get_args(Verdict))}, reason=TEXT, at=_TIME)),
)
_APPROVAL: Final = _all(
    id=TEXT,
    status={"enum": list(get_args(State))},
    rule=TEXT,
    description=_said("The rule's own words.", TEXT),
    why=_said("The rule's condition.", TEXT),
    subject=_all(
        type={"enum": ["user", "workload"]},
        id=TEXT,
        properties=_all(issuer=TEXT, claims=_ANYTHING, actors=_TEXTS, workload=TEXT),
    ),
    action=_all(name=_said("The method.", TEXT)),
    resource=_all(
        type={"enum": ["http"]},
        id=TEXT,
        properties=_all(
            query={"type": "object", "additionalProperties": _TEXTS},
            masked=_said("Parameters whose values are not told.", _TEXTS),
            body_bytes={"type": ["integer", "null"]},
            show=_TEXTS_BY_NAME,
        ),
    ),
    context=_all(
        client_ip=TEXT,
        place=_ANYTHING,
        risk={
            "type": "array",
            "items": _all(model=TEXT, score={"type": "number"}, level=TEXT, signals=_TEXTS),
        },
        revision=TEXT,
        decision_id=TEXT,
    ),
    bind=_said("What a given approval is good for: `request`, `scope`, `action` or `session`.", TEXT),
    requesters=_said("The persons who ask: none of them can vote.", _TEXTS),
    opened_at=_TIME,
    expires_at=_TIME,
    status_at=_TIME,
    cooldown_until=_said("Until when what was denied stays denied.", _TIME_OR_NONE),
    votes={"type": "array", "items": ref("Vote")},
    escalated=_said("How many steps of escalation were reached.", _WHOLE),
    break_glass=_or_none(_BREAK_GLASS),
    cancelled=_ENDED,
    revoked=_ENDED,
    counted=_said("Votes that count by the rule in force.", _all(approve=_WHOLE, deny=_WHOLE)),
    needed=_or_none(
        _all(
            approve=_WHOLE,
            deny=_WHOLE,
            reason=_TRUTH,
            factors=_said("Any one of them (RFC 8176); none is needed if it is empty.", _TEXTS),
            max_age=_said("How fresh, in seconds.", {"type": ["number", "null"]}),
        )
    ),
    viewer=_all(
        asks=_TRUTH,
        against=_said("Why the caller can't answer.", TEXT_OR_NONE),
        in_place_of=TEXT_OR_NONE,
        may_cancel=_TRUTH,
        may_review=_TRUTH,
        may_revoke=_TRUTH,
    ),
)
_ABSENCE: Final = _all(id=TEXT, person=TEXT, since=_TIME, until=_TIME, delegate=TEXT_OR_NONE, note=TEXT)
_PROBLEM: Final = {
    **PROBLEM,
    "required": [*PROBLEM["required"], "reason"],
    "properties": {
        **PROBLEM["properties"],
        "reason": {"enum": sorted(MEANINGS)},
        "factors": _said("Any one of these would do (RFC 8176).", _TEXTS),
        "max_age": _said("How fresh it must be, in seconds.", {"type": "number"}),
        "page": _said("Where a person can answer.", TEXT),
    },
}

OPENAPI: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {
        "title": "extauthz: approvals",
        "version": __version__,
        "description": "Shows approvals to whom they concern, and takes their answers. The words are those of OpenID "
        "AuthZEN: a subject asks for an action on a resource in a context.",
    },
    "security": [{"bearer": []}],
    "paths": {
        "/v1/approvals": {
            "get": {
                "summary": "What the caller may see, the newest first.",
                "parameters": [
                    *_FILTER,
                    query("limit", {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE_SIZE}),
                    query("cursor", _said("`next` of the page before.", TEXT)),
                ],
                "responses": {
                    "200": answer("There may be more behind a page that is short.", ref("Page")),
                    **_EVERYWHERE,
                    **_OF_QUERIES,
                },
            }
        },
        "/v1/approvals/events": {
            "get": {
                "summary": "What is there, and each again whenever it has changed.",
                "parameters": _FILTER,
                "responses": {
                    "200": {
                        "description": "Server-sent events: `approval` with an Approval, and `end` with a Problem "
                        "when the stream ends by itself. Some changes in between may be left out, the last one never.",
                        "content": {"text/event-stream": {"schema": TEXT}},
                    },
                    **_EVERYWHERE,
                    **_OF_QUERIES,
                },
            }
        },
        "/v1/approvals/{id}": {
            "parameters": [_ID],
            "get": {
                "summary": "One approval.",
                "responses": {"200": answer("It is there.", ref("Approval")), **_EVERYWHERE, **_OF_ONE},
            },
        },
        "/v1/approvals/{id}/approve": _order("Vote for it.", object_of([], reason=_REASON, code=_CODE)),
        "/v1/approvals/{id}/deny": _order("Vote against it.", object_of([], reason=_REASON, code=_CODE)),
        "/v1/approvals/{id}/cancel": _order(
            "Withdraw what the caller has asked for themselves.", object_of([], reason=TEXT)
        ),
        "/v1/approvals/{id}/revoke": _order(
            "Take back what was given: what rests on it counts no more.", object_of([], reason=TEXT)
        ),
        "/v1/approvals/{id}/review": _order(
            "Say whether a use of break-glass was justified; what rests on one that was not counts no more.",
            object_of(["verdict"], verdict={"enum": list(get_args(Verdict))}, reason=_REASON, code=_CODE),
        ),
        "/v1/absences": {
            "get": {
                "summary": "The caller's absences, and those for which they stand in.",
                "responses": {
                    "200": answer(
                        "Those that are not over.", _all(absences={"type": "array", "items": ref("Absence")})
                    ),
                    **_EVERYWHERE,
                },
            },
            "post": {
                "summary": "Be away, and let somebody answer instead.",
                "requestBody": {
                    "required": True,
                    "content": content(
                        object_of(
                            ["until"],
                            since=_said("Without it from now on.", _TIME),
                            until=_TIME,
                            delegate=_said("The person who answers instead; without it nobody does.", TEXT),
                            note=TEXT,
                        )
                    ),
                },
                "responses": {"201": answer("Entered.", ref("Absence")), **_EVERYWHERE, **_OF_ORDERS},
            },
        },
        "/v1/absences/{id}": {
            "parameters": [_ID],
            "delete": {
                "summary": "Be back.",
                "responses": {"204": {"description": "It is over."}, **_EVERYWHERE, **_OF_ONE},
            },
        },
    },
    "components": {
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "A token of the approvers' issuer, for the audience of this API.",
            }
        },
        "schemas": {
            "Problem": _PROBLEM,
            "Approval": _APPROVAL,
            "Vote": _VOTE,
            "Page": _all(approvals={"type": "array", "items": ref("Approval")}, next=TEXT_OR_NONE),
            "Absence": _ABSENCE,
        },
    },
}
