"""The errors that one layer raises and another one answers.

A message is one line for people: lower case, place first, user input in backticks, and what to do. `Refused` and
what is under it end a single Check; `check` is the one place that turns them into answers. Everything else ends a
command, which prints the message and exits with 1. What came with a request is quoted by `values.quoting.given`, so
that records can leave it out.

Here is also the vocabulary of reasons: every word that an answer of ours can give for itself. Rules that deny may have
words of their own.
"""

from collections.abc import Mapping
from typing import Final, Literal

Reason = Literal[
    "allowed",
    "approval-cancelled",
    "approval-denied",
    "approval-expired",
    "approval-required",
    "audit-unavailable",
    "break-glass-needs-reason",
    "break-glass-refused",
    "code-used",
    "denied",
    "factor-not-accepted",
    "header-conflict",
    "identity-conflict",
    "internal-error",
    "invalid-token",
    "issuer-unavailable",
    "locked-out",
    "malformed-check",
    "malformed-header",
    "malformed-host",
    "malformed-method",
    "malformed-path",
    "malformed-request",
    "needs-http",
    "needs-subject",
    "no-rule-allows",
    "not-bindable",
    "not-enrolled",
    "overloaded",
    "policy-error",
    "proof-required",
    "repeated-header",
    "reserved-path",
    "response-invalid",
    "revocations-stale",
    "state-unavailable",
    "subject-blocked",
    "token-revoked",
    "unmapped-requester",
    "wrong-code",
]
"""Stable words, for records, metadata and callers; `docs/requests.md` says of each what it means and what to do."""

STATUS: Final[Mapping[Reason, int]] = {
    "allowed": 200,
    "approval-cancelled": 403,
    "approval-denied": 403,
    "approval-expired": 403,
    "approval-required": 403,
    "audit-unavailable": 503,
    "break-glass-needs-reason": 403,
    "break-glass-refused": 403,
    "code-used": 401,
    "denied": 403,
    "factor-not-accepted": 401,
    "header-conflict": 403,
    "identity-conflict": 403,
    "internal-error": 503,
    "invalid-token": 401,
    "issuer-unavailable": 503,
    "locked-out": 401,
    "malformed-check": 400,
    "malformed-header": 400,
    "malformed-host": 400,
    "malformed-method": 400,
    "malformed-path": 400,
    "malformed-request": 400,
    "needs-http": 403,
    "needs-subject": 401,
    "no-rule-allows": 403,  # 401 for a caller that is nobody
    "not-bindable": 403,
    "not-enrolled": 401,
    "overloaded": 503,
    "policy-error": 403,
    "proof-required": 401,
    "repeated-header": 400,
    "reserved-path": 403,
    "response-invalid": 503,
    "revocations-stale": 503,
    "state-unavailable": 503,
    "subject-blocked": 403,
    "token-revoked": 401,
    "unmapped-requester": 403,
    "wrong-code": 401,
}
"""The HTTP status that a reason comes with."""


OAuthError = Literal["invalid_token", "invalid_dpop_proof"]
"""OAuth's words for what is wrong with the token of the Authorization header, or with the proof beside it (RFC 6750
section 3.1, RFC 9449 section 7.1)."""


def failure_of(error: OSError) -> str:
    """What the system says of a failure, as a part of a message: `no such file or directory`."""
    return (error.strerror or str(error)).lower()


class ExtauthzError(Exception):
    """Base of every error that this package raises on purpose."""


class Refused(ExtauthzError):
    """A Check that is answered without asking a policy, with the status of its reason.

    The message is detail for the audit and never leaves.
    """

    reason: Reason


class MalformedRequest(Refused):
    """The request is malformed, or two readers could read it differently."""

    def __init__(self, message: str, *, reason: Reason = "malformed-request") -> None:
        super().__init__(message)
        self.reason = reason


class InvalidCredential(Refused):
    """A credential was presented and is not valid: never anonymous.

    `oauth_error` is for the token of the Authorization header and the proof beside it; who reads that header sets it.
    """

    reason: Reason = "invalid-token"

    def __init__(self, message: str, *, oauth_error: OAuthError | None = None) -> None:
        super().__init__(message)
        self.oauth_error = oauth_error


class TokenRevoked(InvalidCredential):
    """A token would be valid, but it was revoked, or its session was."""

    reason = "token-revoked"


class SubjectBlocked(Refused):
    """Somebody who calls, or for whom the caller acts, is blocked."""

    reason = "subject-blocked"


class RevocationsStale(Refused):
    """Nobody can say whether the caller is blocked: the store was out of reach for too long."""

    reason = "revocations-stale"


class IdentityConflict(Refused):
    """Two sources of identity disagree."""

    reason = "identity-conflict"


class IssuerUnavailable(Refused):
    """Whoever must be asked to know the caller (an issuer, a platform) does not answer."""

    reason = "issuer-unavailable"


class StateUnavailable(Refused):
    """A look-up or a write that the decision needs could not be made."""

    reason = "state-unavailable"


class Overloaded(Refused):
    """Too many calls wait already."""

    reason = "overloaded"


class ConfigurationError(ExtauthzError):
    """The configuration, a key file or an address can't be used; the message says where and what to do."""
