"""What a refusal says in words.

The rule: words follow from the reason, or else from the status. Nothing of the request, of a policy or of our own state
is in them; details are for the audit.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from extauthz.errors import Reason

_BY_REASON: Final[Mapping[str, str]] = {
    "approval-cancelled": "The request for an approval was withdrawn.",
    "approval-denied": "Who was asked to approve this has denied it.",
    "approval-expired": "Nobody has approved this in time. Repeat it to ask again.",
    "approval-required": "This waits for an approval. Repeat the same request later.",
    "break-glass-needs-reason": "Say in `x-extauthz-break-glass` why this can't wait: once, in 1 to 2,000 characters.",
    "break-glass-refused": "You may not go through here without an approval.",
    "code-used": "This code was used before. Send the next one that your app shows.",
    "factor-not-accepted": "A one-time code is not enough here.",
    "identity-conflict": "The request names two different callers.",
    "invalid-token": "The token is not valid here.",
    "malformed-header": "A header of the request is malformed.",
    "malformed-host": "The host of the request is malformed.",
    "malformed-method": "The method of the request is malformed.",
    "malformed-path": "The path of the request is malformed, or could be read in more than one way.",
    "needs-subject": "This needs somebody who can be asked. Sign in first.",
    "not-bindable": "No proof or approval can be given for this very request: its body is not known.",
    "not-enrolled": "You have no authenticator app that could show a code. Ask your administrator to enroll you.",
    "overloaded": "Too many requests wait for an answer. Repeat it later.",
    "proof-required": "This needs fresh proof of who you are.",
    "repeated-header": "A header of the request must come once and came twice.",
    "subject-blocked": "Who sends the request, or for whom, is blocked. Ask your administrator.",
    "token-revoked": "The token was revoked. Sign in again.",
    "unmapped-requester": "Nobody knows who the person is that asks, so nobody can approve it.",
    "wrong-code": "This code is not right. Send the six digits that your app shows now.",
}
_BY_STATUS: Final[Mapping[int, str]] = {
    400: "The request is malformed, or could be read in more than one way.",
    401: "The request does not prove who sends it.",
    403: "The request is not allowed.",
    503: "The request can't be decided now.",
}
_PROOF: Final = "Confirm that it is you"
_HEADINGS: Final[Mapping[str | int, str]] = {
    **dict.fromkeys(("proof-required", "wrong-code", "code-used", "not-enrolled", "factor-not-accepted"), _PROOF),
    "approval-cancelled": "This was withdrawn",
    "approval-denied": "This was denied",
    "approval-expired": "Nobody has answered in time",
    "approval-required": "Somebody has to approve this",
    "break-glass-needs-reason": "Say why this can't wait",
    "locked-out": "Too many wrong codes",
    400: "This can't be read",
    401: "Sign in first",
    403: "This is not allowed",
    503: "This is not possible now",
}
_PHRASES: Final[Mapping[int, str]] = {status.value: status.phrase for status in HTTPStatus}


def detail(reason: Reason | str, status: int, *, retry_after: int | None = None) -> str:
    """The sentence for people; `reason` may be a rule's own word. `retry_after` in seconds."""
    if reason == "locked-out":
        return f"Too many wrong codes. Try again in {retry_after} seconds."
    if reason == "approval-denied" and retry_after is not None:
        return f"{_BY_REASON[reason]} You can ask again in {_span(retry_after)}."
    return _BY_REASON.get(reason) or _BY_STATUS.get(status, _BY_STATUS[403])


def _span(seconds: int) -> str:
    """So many seconds in words, rounded up."""
    for unit, name in ((3600, "hours"), (60, "minutes")):
        if seconds > 2 * unit:
            return f"{-(-seconds // unit)} {name}"
    return "1 second" if seconds == 1 else f"{seconds} seconds"


def heading(reason: Reason | str, status: int) -> str:
    """What stands above the sentence, for people; `title` is for programs."""
    return _HEADINGS.get(reason) or _HEADINGS.get(status) or title(status)


def title(status: int) -> str:
    """The words of the status, as RFC 9457 section 4.2.1 asks of a problem without a type of its own."""
    return _PHRASES.get(status, "Refused")
