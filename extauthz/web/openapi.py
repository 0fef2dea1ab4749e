"""What the API on the admin address is, for programs (OpenAPI 3.1).

The rule: a test asks the API for everything that is said here.
"""

from typing import Any, Final

from extauthz import __version__

_TEXT: Final = {"type": "string"}
_TEXT_OR_NONE: Final = {"type": ["string", "null"]}
_SUB: Final = {"type": "string", "description": "The `sub` of a user's tokens, or a SPIFFE ID."}
_ISSUER: Final = {"type": "string", "description": "Whose user it is; needed where there are several issuers."}
_FOR: Final = {"type": "string", "description": "How long it holds, such as `30m`; without it for ever."}


def _object(required: list[str], **properties: object) -> dict[str, Any]:
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _content(schema: object, kind: str = "application/json") -> dict[str, Any]:
    return {kind: {"schema": schema}}


_PROBLEMS: Final = {
    code: {"description": description, "content": _content(_ref("Problem"), "application/problem+json")}
    for code, description in (
        ("400", "What was sent can't be read."),
        ("401", "The bearer token is missing or wrong."),
        ("422", "Nobody is called like this, or it can't be meant."),
        ("503", "The store is out of reach; some of it may have been done, ask again."),
    )
}
_OF_BODIES: Final = {
    code: {"description": description, "content": _content(_ref("Problem"), "application/problem+json")}
    for code, description in (("413", "The body is too long."), ("415", "The body is of another type."))
}


def _order(summary: str, body: dict[str, Any], answer: str) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": _content(body)},
            "responses": {
                "200": {"description": "Done.", "content": _content(_ref(answer))},
                **_PROBLEMS,
                **_OF_BODIES,
            },
        }
    }


def _query(name: str, schema: dict[str, str]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


_REVOCATION: Final = {
    "sub": _TEXT,
    "issuer": {"type": "string", "description": "Empty for a workload."},
    "kind": {"enum": ["block", "tokens", "session", "token"]},
    "id": {"type": "string", "description": "The `sid` or `jti` that is revoked."},
    "at": _TEXT,
    "until": _TEXT_OR_NONE,
}

OPENAPI: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {
        "title": "extauthz: subjects",
        "version": __version__,
        "description": "Blocks users and workloads, and revokes what they were given, as `extauthz subjects` does.",
    },
    "security": [{"bearer": []}],
    "paths": {
        "/v1/subjects": {
            "get": {
                "summary": "What is blocked and revoked, and what others say, of one subject or of everybody.",
                "parameters": [_query("sub", _SUB), _query("issuer", _ISSUER)],
                "responses": {"200": {"description": "Oldest first.", "content": _content(_ref("Known"))}, **_PROBLEMS},
            }
        },
        "/v1/subjects/block": _order(
            "Refuse every request of a subject.",
            _object(["sub"], sub=_SUB, issuer=_ISSUER, **{"for": _FOR}),
            "Revoked",
        ),
        "/v1/subjects/unblock": _order(
            "End a block. What was revoked stays revoked.", _object(["sub"], sub=_SUB, issuer=_ISSUER), "Unblocked"
        ),
        "/v1/subjects/revoke": _order(
            "Refuse the tokens that a subject was given until now, or one session or token alone.",
            _object(
                ["sub"],
                sub=_SUB,
                issuer=_ISSUER,
                session={"type": "string", "description": "The `sid` of one session."},
                token={"type": "string", "description": "The `jti` of one token, or `sha256:` and its digest."},
                **{"for": _FOR},
            ),
            "Revoked",
        ),
    },
    "components": {
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        "schemas": {
            "Problem": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {"type": _TEXT, "title": _TEXT, "status": {"type": "integer"}, "detail": _TEXT},
            },
            "Revocation": _object(list(_REVOCATION), **_REVOCATION),
            "Revoked": _object(
                [*_REVOCATION, "grants"],
                **_REVOCATION,
                grants={"type": "integer", "description": "How many grants that were still good went with it."},
            ),
            "Unblocked": _object(
                ["sub", "issuer", "was_blocked"], sub=_TEXT, issuer=_TEXT, was_blocked={"type": "boolean"}
            ),
            "Signal": _object(
                ["sub", "issuer", "kind", "id", "name", "level", "reason", "source", "at", "until"],
                sub={"type": "string", "description": "A subject, or the id of a device."},
                issuer=_TEXT,
                kind={"enum": ["signal", "device-signal"]},
                id={"type": "string", "description": "The `sid` of the session that it is about alone."},
                name={"enum": ["account", "assurance", "compliance", "compromise", "credential", "risk"]},
                level=_TEXT,
                reason=_TEXT,
                source={"type": "string", "description": "The transmitter."},
                at=_TEXT,
                until=_TEXT_OR_NONE,
            ),
            "Known": _object(
                ["revocations", "signals"],
                revocations={"type": "array", "items": _ref("Revocation")},
                signals={"type": "array", "items": _ref("Signal")},
            ),
        },
    },
}
