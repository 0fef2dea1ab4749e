"""Approvals as programs read them: the one description that the APIs, the command line and webhooks give.

The words are those of OpenID AuthZEN, of its Authorization API and its profile for access requests: a subject asks for
an action on a resource in a context, and what comes of it is a status. The rule: it tells what approvers see, and
nothing that a caller is known by beside that, neither session nor holder nor binding.
"""

from typing import Any

from extauthz.approval.terms import Circle, Terms
from extauthz.values.approvals import Absence, Approval, BreakGlass, Ended, Picture, Vote
from extauthz.values.instant import instant


def approval_object(approval: Approval) -> dict[str, Any]:
    """An approval as JSON; times as RFC 3339 has them, `None` for what there is not."""
    picture = approval.picture
    return {
        "id": approval.id,
        "status": approval.state,
        "rule": approval.rule,
        "description": picture.description,
        "why": picture.why,
        "subject": _subject(approval),
        "action": {"name": picture.method},
        "resource": _resource(picture),
        "context": _context(picture),
        "bind": approval.bind,
        "requesters": list(approval.requesters.persons),
        "opened_at": instant(approval.opened_at),
        "expires_at": instant(approval.expires_at),
        "status_at": instant(approval.state_at),
        "cooldown_until": None if approval.cooldown_until is None else instant(approval.cooldown_until),
        "votes": [_vote(vote) for vote in approval.votes],
        "escalated": approval.escalated,
        "break_glass": None if approval.break_glass is None else _break_glass(approval.break_glass),
        "cancelled": _ended(approval.cancelled),
        "revoked": _ended(approval.revoked),
    }


def needed_object(terms: Terms) -> dict[str, Any]:
    """What the rule wants of answers, as JSON; `max_age` in seconds, `None` where it wants no factor."""
    return {
        "approve": terms.min,
        "deny": terms.deny_min,
        "reason": terms.reason_required,
        "factors": sorted(terms.factors),
        "max_age": terms.max_age if terms.factors else None,
    }


def asked_object(terms: Terms, *, opened_at: float) -> list[dict[str, Any]]:
    """Whom the rule asks, as JSON, and from when on: those of the first moment, and then whom it asks, too.

    `condition` is whether they have to fit `approvers.when` as well; alone it means whoever fits it.
    """
    steps = ((0.0, terms.circle), *((step.after, step.circle) for step in terms.escalate))
    return [{"from": instant(opened_at + after), **_circle(circle)} for after, circle in steps]


def _circle(circle: Circle) -> dict[str, Any]:
    return {
        "groups": sorted(circle.groups),
        "subjects": sorted(circle.subjects),
        "condition": circle.when is not None,
    }


def _subject(approval: Approval) -> dict[str, Any]:
    subject, picture = approval.subject, approval.picture
    return {
        "type": "user" if subject.issuer else "workload",
        "id": subject.id,
        "properties": {
            "issuer": subject.issuer,
            "claims": dict(picture.claims),
            "actors": list(picture.actors),
            "workload": picture.workload,
        },
    }


def _resource(picture: Picture) -> dict[str, Any]:
    return {
        "type": "http",
        "id": f"{picture.scheme or 'http'}://{picture.target}",
        "properties": {
            "query": {name: list(values) for name, values in picture.query.items()},
            "masked": list(picture.masked),
            "body_bytes": picture.body_bytes,
            "show": dict(picture.show),
        },
    }


def _context(picture: Picture) -> dict[str, Any]:
    return {
        "client_ip": picture.client_ip,
        "place": dict(picture.place),
        "risk": [
            {"model": one.model, "score": one.score, "level": one.level, "signals": list(one.signals)}
            for one in picture.risk
        ],
        "revision": picture.revision,
        "decision_id": picture.decision_id,
    }


def _vote(vote: Vote) -> dict[str, Any]:
    return {
        "person": vote.approver.person,
        "name": vote.approver.name,
        "stance": vote.stance,
        "reason": vote.reason,
        "at": instant(vote.at),
        "channel": vote.channel,
        "factor": "" if vote.proof is None else vote.proof.factor,
        "in_place_of": None if vote.in_place_of is None else vote.in_place_of.person,
    }


def _break_glass(broken: BreakGlass) -> dict[str, Any]:
    review = broken.review
    return {
        "person": broken.by.person,
        "reason": broken.reason,
        "factor": broken.proof.factor,
        "at": instant(broken.at),
        "review": None
        if review is None
        else {
            "person": review.by.person,
            "verdict": review.verdict,
            "reason": review.reason,
            "at": instant(review.at),
        },
    }


def _ended(ended: Ended | None) -> dict[str, Any] | None:
    return None if ended is None else {"person": ended.by, "reason": ended.reason, "at": instant(ended.at)}


def absence_object(absence: Absence) -> dict[str, Any]:
    """An absence as JSON, as `approval_object`."""
    return {
        "id": absence.id,
        "person": absence.absent.person,
        "since": instant(absence.since),
        "until": instant(absence.until),
        "delegate": absence.delegate,
        "note": absence.note,
    }
