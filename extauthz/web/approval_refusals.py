"""What the APIs for approvals say instead of doing what was asked: one word for each reason, over HTTP and over gRPC.

The rule: both say the same word, and a word has one status in each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog

from extauthz.approval.course import LONGEST_REASON
from extauthz.approval.refusals import Refusal
from extauthz.check.approval_absences import LONGEST_NOTE, MOST_OF_ONE
from extauthz.check.approver_codes import CodeRefused
from extauthz.check.approver_identity import NotAnApprover
from extauthz.errors import (
    InvalidCredential,
    IssuerUnavailable,
    Refused,
    RevocationsStale,
    StateUnavailable,
    SubjectBlocked,
)
from extauthz.wire.grpc_status import Code

_RETRY_SECONDS: Final = 5

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a word comes to for callers."""

    http: HTTPStatus
    grpc: Code
    detail: str


_BAD = (HTTPStatus.BAD_REQUEST, Code.INVALID_ARGUMENT)
_UNPROCESSABLE = (HTTPStatus.UNPROCESSABLE_ENTITY, Code.INVALID_ARGUMENT)
_UNAUTHENTICATED = (HTTPStatus.UNAUTHORIZED, Code.UNAUTHENTICATED)
_FORBIDDEN = (HTTPStatus.FORBIDDEN, Code.PERMISSION_DENIED)
_OVER = (HTTPStatus.CONFLICT, Code.FAILED_PRECONDITION)
_UNAVAILABLE = (HTTPStatus.SERVICE_UNAVAILABLE, Code.UNAVAILABLE)

MEANINGS: Final[Mapping[str, _Meaning]] = {
    # The call itself.
    "malformed": _Meaning(*_BAD, "what was sent can't be read"),
    "media-type": _Meaning(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, Code.INVALID_ARGUMENT, "send `application/json`"),
    "too-large": _Meaning(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Code.INVALID_ARGUMENT, "what was sent is too long"),
    "unauthenticated": _Meaning(*_UNAUTHENTICATED, "send a token of the approvers' issuer as bearer token"),
    "not-a-caller": _Meaning(*_FORBIDDEN, "not a caller that `listen.approvals_tls.callers` names"),
    "subject-blocked": _Meaning(*_FORBIDDEN, "the subject of the token is blocked"),
    "acted-for": _Meaning(*_FORBIDDEN, "the token is held by somebody who acts for its subject; answer by your own"),
    "no-person": _Meaning(*_FORBIDDEN, "nobody can tell which person this is; an operator can, by `approvals.persons`"),
    "unavailable": _Meaning(*_UNAVAILABLE, "somebody who has to be asked is out of reach; ask again"),
    "too-many-streams": _Meaning(
        HTTPStatus.SERVICE_UNAVAILABLE, Code.RESOURCE_EXHAUSTED, "too many watch already; ask again, or list"
    ),
    "internal-error": _Meaning(HTTPStatus.INTERNAL_SERVER_ERROR, Code.INTERNAL, "a mistake of ours; the log has more"),
    # The approval.
    "not-found": _Meaning(HTTPStatus.NOT_FOUND, Code.NOT_FOUND, "there is none with this id that is yours to see"),
    "not-pending": _Meaning(*_OVER, "it is over; its status says how"),
    "rule-gone": _Meaning(*_OVER, "no rule in force asks for it any more"),
    "requester": _Meaning(*_FORBIDDEN, "who asks for it, or acts for who asks, does not answer"),
    "voted-already": _Meaning(HTTPStatus.CONFLICT, Code.ALREADY_EXISTS, "one person has one vote, and this was given"),
    "not-an-approver": _Meaning(*_FORBIDDEN, "the rule does not ask you"),
    "needs-reason": _Meaning(*_UNPROCESSABLE, "the rule wants a reason; send one as `reason`"),
    "reason-too-long": _Meaning(*_UNPROCESSABLE, f"the reason is longer than {LONGEST_REASON} characters"),
    "needs-factor": _Meaning(
        *_UNAUTHENTICATED,
        "the rule wants a fresh factor; send a one-time code as `code`, come with a newer token, or answer on the page",
    ),
    "not-the-requester": _Meaning(*_FORBIDDEN, "only who asks for it can cancel it"),
    "not-approved": _Meaning(*_OVER, "nothing was given, or it was taken back"),
    "not-break-glass": _Meaning(*_OVER, "nobody has broken the glass for it"),
    "reviewed-already": _Meaning(HTTPStatus.CONFLICT, Code.ALREADY_EXISTS, "somebody has reviewed it"),
    "requester-blocked": _Meaning(*_OVER, "who asks for it is blocked or revoked, so it was cancelled"),
    "conflict": _Meaning(HTTPStatus.CONFLICT, Code.ABORTED, "others change it at the same moment; ask again"),
    # The code that came along.
    "wrong-code": _Meaning(*_UNAUTHENTICATED, "the code is none of yours"),
    "code-used": _Meaning(*_UNAUTHENTICATED, "the code was used before; wait for the next one"),
    "not-enrolled": _Meaning(*_UNAUTHENTICATED, "you have no authenticator app here; answer on the page"),
    "locked-out": _Meaning(
        HTTPStatus.TOO_MANY_REQUESTS, Code.RESOURCE_EXHAUSTED, "too many wrong codes; wait before the next one"
    ),
    # The absence.
    "no-time": _Meaning(*_UNPROCESSABLE, "it is over before it begins"),
    "too-long": _Meaning(*_UNPROCESSABLE, "it ends in more than 60 days; enter it anew then"),
    "names-nobody": _Meaning(*_UNPROCESSABLE, "`delegate` names nobody; write the person, or leave it out"),
    "names-yourself": _Meaning(*_UNPROCESSABLE, "`delegate` is yourself; name somebody else, or leave it out"),
    "note-too-long": _Meaning(*_UNPROCESSABLE, f"the note is longer than {LONGEST_NOTE} characters"),
    "too-many": _Meaning(
        HTTPStatus.CONFLICT,
        Code.RESOURCE_EXHAUSTED,
        f"there are too many absences, or {MOST_OF_ONE} of yours; end one that is not needed",
    ),
}
"""By the stable word that callers get as `reason`."""


class Declined(Exception):
    """What was asked is not done, for the `reason` that MEANINGS has; `detail` says more than its words do.

    `factors` (`amr` values) and `max_age`, in seconds, say what would do instead of what was proven; `page` is where a
    person can answer. `retry_after` is in seconds.
    """

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        factors: frozenset[str] = frozenset(),
        max_age: float | None = None,
        page: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        meaning = MEANINGS[reason]
        super().__init__(detail or meaning.detail)
        self.reason = reason
        self.detail = detail or meaning.detail
        self.http = meaning.http
        self.grpc = meaning.grpc
        self.factors = factors
        self.max_age = max_age
        self.page = page
        self.retry_after = retry_after


def declined(refusal: Refusal, *, page: str | None) -> Declined:
    """What a refusal of the service comes to; `page` is where the approval can be answered by a person."""
    word = "requester-blocked" if refusal.word == "subject-blocked" else refusal.word
    if word != "needs-factor":
        return Declined(word)
    return Declined(word, factors=refusal.factors, max_age=refusal.max_age, page=page)


def declined_for(error: Exception) -> Declined:
    """What an error comes to; one that nobody has thought of is logged, and told as nothing but that."""
    match error:
        case Declined():
            return error
        case NotAnApprover():
            return Declined(error.reason)
        case CodeRefused():
            word = "needs-factor" if error.reason == "factor-not-accepted" else error.reason
            return Declined(word, retry_after=error.retry_after)
        case SubjectBlocked():
            return Declined("subject-blocked")
        case InvalidCredential():
            return Declined("unauthenticated", str(error))
        case StateUnavailable() | IssuerUnavailable() | RevocationsStale():
            _log.error(error.reason, error=str(error))
            return Declined("unavailable", retry_after=_RETRY_SECONDS)
        case Refused():
            _log.error("approvals-refused", reason=error.reason, error=str(error))
            return Declined("unavailable", retry_after=_RETRY_SECONDS)
        case _:
            _log.error("approvals-failed", exc_info=error)
            return Declined("internal-error")
