"""What reasons mean, and what to do about them, for whoever looks at a decision.

The rule: these are the words of the table in docs/requests.md.
"""

from collections.abc import Mapping
from typing import Final

MEANINGS: Final[Mapping[str, str]] = {
    "allowed": "An allow matches, and no guard is against it.",
    "denied": "A deny rule without a reason matches. The rule is in the record, and in Envoy's access log.",
    "no-rule-allows": (
        "No allow matches. 401 (UNAUTHENTICATED) if neither a workload nor a user is known. extauthz policy "
        "explain says which rule comes closest. For a 401: send a token or a certificate."
    ),
    "policy-error": (
        "A guard's condition, or a value of the rule that decides, has an error. The record has its text. Say what "
        "absence means: has(), orValue()."
    ),
    "header-conflict": "Two allows change one header, parameter or metadata key differently. Let one rule say it.",
    "needs-http": "A challenge or an approval for a TCP connection. Deny or allow TCP by rule.",
    "needs-subject": "A challenge needs a user with a session, an approval a user or a workload. Sign in first.",
    "not-bindable": (
        "bind: request where the body is not known whole, also of a POST without one on a route that is not "
        "declared to buffer, or bind: {scope: …} with a value that nothing can be bound to. Let Envoy buffer the "
        "body, and say so (extauthz.buffered); or bind to something else."
    ),
    "proof-required": (
        "A challenge is not met; a browser gets 302. Open challenge_uri, or send a code in x-extauthz-otp."
    ),
    "wrong-code": "The code that came along is not right now. Send the one that the app shows.",
    "code-used": "The code was right and was used before. Wait for the next one.",
    "locked-out": (
        "Too many wrong codes; this one was not looked at. Wait retry_after seconds. extauthz factors reset lifts it."
    ),
    "not-enrolled": "A code came along, and the user has no authenticator app. extauthz factors enroll.",
    "factor-not-accepted": "A code came along, and the rule takes no totp. Use another factor, or change the rule.",
    "approval-required": (
        "An approval is not given yet; a browser gets 302. Repeat the same request after retry_after seconds: it "
        "waits for the same approval."
    ),
    "approval-denied": (
        "Somebody, or an auto answer, has denied the approval. It stays denied for the rule's cooldown, "
        "retry_after seconds more."
    ),
    "approval-expired": "Nobody has approved in time what the call was held for. Repeat the request to ask again.",
    "approval-cancelled": "What the call was held for was withdrawn. Repeat the request to ask again.",
    "break-glass-needs-reason": (
        "x-extauthz-break-glass came along without a reason: empty, twice, or longer than 2,000 characters. Say in "
        "it why this can't wait."
    ),
    "break-glass-refused": (
        "x-extauthz-break-glass came along, and the caller may not go through here without an approval. Leave the "
        "header out, and wait for the approval."
    ),
    "unmapped-requester": (
        "An approval is needed, and somebody who asks is a person whom approvals.persons can't name: nobody could "
        "tell them from their approvers. Let the token say the claim."
    ),
    "malformed-path": 'The path or the query can be read in more than one way. See "The canonical path".',
    "malformed-method": "The method is no upper-case token.",
    "malformed-host": "The host is none, or host and :authority differ.",
    "malformed-header": "A header has no valid name or value.",
    "repeated-header": "A header that must come once came twice.",
    "malformed-request": (
        "What should say who calls is malformed or ambiguous: a cookie, a credential, X-Forwarded-Client-Cert. The "
        "record says which."
    ),
    "malformed-check": "What came is no CheckRequest of Envoy's. See what else calls extauthz.",
    "invalid-token": "A credential was presented and is not valid. The record says why. Get a new one.",
    "token-revoked": (
        "The token, its session, or all that was issued to its subject until then was revoked. Sign in again."
    ),
    "subject-blocked": (
        "The user, the workload or an actor is blocked. extauthz subjects list says until when, unblock ends it."
    ),
    "identity-conflict": "Two sources name different callers. See who calls.",
    "reserved-path": "A Check for a path under /.extauthz/. Route it to the pages, with ext_authz switched off.",
    "issuer-unavailable": "Whoever must be asked to know the caller does not answer. Look at the issuer; repeat later.",
    "state-unavailable": (
        "The store is out of reach, or the caller's deadline too near. Look at the store; repeat later."
    ),
    "revocations-stale": (
        "The store was out of reach for so long that nobody knows whether the caller is blocked. Look at the "
        "store; repeat later."
    ),
    "overloaded": "Too many Checks wait for a look-up, or for their turn. Repeat after Retry-After; more workers.",
    "audit-unavailable": (
        "A rule has audit: required, and its record is not on disk; or no record can be written, and "
        "audit.when_full is deny. Look at the disk."
    ),
    "response-invalid": (
        "A decision that no answer can carry, say a number in metadata that is too large to be exact. Mend the rule."
    ),
    "internal-error": "A mistake of ours. The log has it; please report it.",
}
"""By reason; of a word that a rule gives there is none."""
