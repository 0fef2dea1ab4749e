"""The errors that one layer raises and another one answers.

A message is one line for people: lower case, place first, user input in backticks, and what to do. `Refused` and
what is under it end a single Check; `check` is the one place that turns them into answers. Everything else ends a
command, which prints the message and exits with 1.
"""


class ExtauthzError(Exception):
    """Base of every error that this package raises on purpose."""


class Refused(ExtauthzError):
    """A Check that is answered without asking a policy.

    `reason` is the stable word for records and metadata, the message is detail for the audit and never leaves.
    """

    reason = "refused"


class MalformedRequest(Refused):
    """The request is malformed, or two readers could read it differently; answered with 400."""

    def __init__(self, message: str, *, reason: str = "malformed-request") -> None:
        super().__init__(message)
        self.reason = reason


class InvalidCredential(Refused):
    """A credential was presented and is not valid: never anonymous; answered with 401."""

    reason = "invalid-token"


class IdentityConflict(Refused):
    """Two sources of identity disagree; answered with 403."""

    reason = "identity-conflict"


class IssuerUnavailable(Refused):
    """Whoever must be asked to know the caller (an issuer, a platform) does not answer; answered with 503."""

    reason = "issuer-unavailable"


class StateUnavailable(Refused):
    """A look-up or a write that the decision needs could not be made; answered with 503."""

    reason = "state-unavailable"


class Overloaded(Refused):
    """Too many calls wait already; answered with 503."""

    reason = "overloaded"


class ConfigurationError(ExtauthzError):
    """The configuration, a key file or an address can't be used; the message says where and what to do."""
