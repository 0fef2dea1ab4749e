"""The one place that turns errors into answers (design section 6). Details stay inside; the reason leaves."""

from msgspec.structs import replace

from extauthz.errors import InvalidCredential, Refused
from extauthz.values.decisions import Deny, denial

INTERNAL_ERROR = denial("internal-error")
AUDIT_UNAVAILABLE = denial("audit-unavailable")


def refusal(error: Exception) -> Deny:
    """The answer that this error means: its reason if it is one of ours, else an internal error."""
    if isinstance(error, InvalidCredential):
        return replace(denial(error.reason), oauth_error=error.oauth_error)
    return denial(error.reason) if isinstance(error, Refused) else INTERNAL_ERROR
