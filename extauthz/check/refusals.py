"""The one place that turns errors into answers (design section 6). Details stay inside; the reason leaves."""

from extauthz.errors import (
    IdentityConflict,
    InvalidCredential,
    IssuerUnavailable,
    MalformedRequest,
    Overloaded,
    Refused,
    StateUnavailable,
)
from extauthz.values.decisions import Deny

_STATUS: dict[type[Refused], int] = {
    MalformedRequest: 400,
    InvalidCredential: 401,
    IdentityConflict: 403,
    IssuerUnavailable: 503,
    StateUnavailable: 503,
    Overloaded: 503,
}

INTERNAL_ERROR = Deny(reason="internal-error", status=503)
AUDIT_UNAVAILABLE = Deny(reason="audit-unavailable", status=503)


def refusal(error: Exception) -> Deny:
    """The answer that this error means: by its class if it is one of ours, else an internal error (503)."""
    if not isinstance(error, Refused):
        return INTERNAL_ERROR
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            return Deny(reason=error.reason, status=status)
    return Deny(reason=error.reason, status=403)
