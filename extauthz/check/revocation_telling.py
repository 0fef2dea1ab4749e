"""What is told of blocks and revocations, by whomever.

The rule: a session or a device is called as decisions call it on record, by half of a digest; a token not at all.
"""

from math import isinf

from extauthz.identity.revocations import Revocation
from extauthz.identity.signals.events import Effects
from extauthz.identity.signals.facts import is_disabled
from extauthz.record.chronicle import Chronicle
from extauthz.record.life import Detail, LifeKind
from extauthz.record.session_hash import session_hash


def tell_revoked(chronicle: Chronicle, revocation: Revocation, *, by: str, grants: int = 0) -> None:
    """This is in force now; `grants` have gone with it."""
    kind: LifeKind
    details: dict[str, Detail] = {}
    match revocation.kind:
        case "block":
            kind = "subject.blocked"
        case "session":
            kind, details = "session.revoked", {"session": session_hash(revocation.session or "")}
        case "device":
            kind, details = "device.revoked", {"device": session_hash(revocation.id)}
        case "devices":
            kind, details = "device.revoked", {"what": "all"}
        case "tokens" | "token":
            kind, details = "subject.revoked", {"what": revocation.kind}
    if revocation.voids_grants:
        details["grants"] = grants
    if not isinf(revocation.until):
        details["for_s"] = round(revocation.until - revocation.at, 3)
    chronicle.tell(kind, subject=revocation.subject, by=by, details=details)


def tell_effects(chronicle: Chronicle, effects: Effects, *, by: str) -> None:
    """A token of a transmitter has come to this."""
    for revocation in effects.revocations:
        tell_revoked(chronicle, revocation, by=by)
    for signal in effects.signals:
        if signal.key.about == "subject" and signal.key.name == "account":
            kind: LifeKind = "subject.blocked" if is_disabled(signal) else "subject.unblocked"
            chronicle.tell(kind, subject=signal.subject, by=by, details={"signal": signal.level})
    for subject in effects.voids:
        chronicle.tell("grant.revoked", subject=subject, by=by, details={"what": "all"})
