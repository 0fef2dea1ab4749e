"""What the API on the admin address is, for programs (OpenAPI 3.1).

The rule: a test asks the API for everything that is said here.
"""

from typing import Any, Final

from extauthz import __version__
from extauthz.web.openapi_parts import PROBLEM, TEXT, TEXT_OR_NONE, answer, content, object_of, problems, query, ref

_SUB: Final = {"type": "string", "description": "The `sub` of a user's tokens, or a SPIFFE ID."}
_ISSUER: Final = {"type": "string", "description": "Whose user it is; needed where there are several issuers."}
_FOR: Final = {"type": "string", "description": "How long it holds, such as `30m`; without it for ever."}


_PROBLEMS: Final = problems(
    {
        "400": "What was sent can't be read.",
        "401": "The bearer token is missing or wrong.",
        "422": "Nobody is called like this, or it can't be meant.",
        "503": "The store is out of reach; some of it may have been done, ask again.",
    }
)
_OF_BODIES: Final = problems({"413": "The body is too long.", "415": "The body is of another type."})


def _order(summary: str, body: dict[str, Any], done: str) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": content(body)},
            "responses": {
                "200": answer("Done.", ref(done)),
                **_PROBLEMS,
                **_OF_BODIES,
            },
        }
    }


_REVOCATION: Final = {
    "sub": TEXT,
    "issuer": {"type": "string", "description": "Empty for a workload."},
    "kind": {"enum": ["block", "tokens", "session", "token"]},
    "id": {"type": "string", "description": "The `sid` or `jti` that is revoked."},
    "at": TEXT,
    "until": TEXT_OR_NONE,
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
                "parameters": [query("sub", _SUB), query("issuer", _ISSUER)],
                "responses": {"200": answer("Oldest first.", ref("Known")), **_PROBLEMS},
            }
        },
        "/v1/subjects/block": _order(
            "Refuse every request of a subject.",
            object_of(["sub"], sub=_SUB, issuer=_ISSUER, **{"for": _FOR}),
            "Revoked",
        ),
        "/v1/subjects/unblock": _order(
            "End a block. What was revoked stays revoked.", object_of(["sub"], sub=_SUB, issuer=_ISSUER), "Unblocked"
        ),
        "/v1/subjects/revoke": _order(
            "Refuse the tokens that a subject was given until now, or one session or token alone.",
            object_of(
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
            "Problem": PROBLEM,
            "Revocation": object_of(list(_REVOCATION), **_REVOCATION),
            "Revoked": object_of(
                [*_REVOCATION, "grants"],
                **_REVOCATION,
                grants={"type": "integer", "description": "How many grants that were still good went with it."},
            ),
            "Unblocked": object_of(
                ["sub", "issuer", "was_blocked"], sub=TEXT, issuer=TEXT, was_blocked={"type": "boolean"}
            ),
            "Signal": object_of(
                ["sub", "issuer", "kind", "id", "name", "level", "reason", "source", "at", "until"],
                sub={"type": "string", "description": "A subject, or the id of a device."},
                issuer=TEXT,
                kind={"enum": ["signal", "device-signal"]},
                id={"type": "string", "description": "The `sid` of the session that it is about alone."},
                name={"enum": ["account", "assurance", "compliance", "compromise", "credential", "risk"]},
                level=TEXT,
                reason=TEXT,
                source={"type": "string", "description": "The transmitter."},
                at=TEXT,
                until=TEXT_OR_NONE,
            ),
            "Known": object_of(
                ["revocations", "signals"],
                revocations={"type": "array", "items": ref("Revocation")},
                signals={"type": "array", "items": ref("Signal")},
            ),
        },
    },
}
