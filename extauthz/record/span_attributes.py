"""What a span of a decision says, in blocks: what repeats from one decision to the next, and what is this one's own.

Attributes follow the semantic conventions of OpenTelemetry where they exist (`http.*`, `url.*`, `server.*`, `client.*`,
`user.*`, `enduser.*`, `error.type`) and are `extauthz.*` beyond.

The rule kept here: the query is never told, for it carries what people type, and what went wrong is masked as in the
audit.
"""

from collections.abc import Mapping
from typing import Final

from extauthz.record.decision import DECISION_NAMES, DecisionRecord
from extauthz.record.grant_lines import breaks_glass
from extauthz.record.life import LifeRecord
from extauthz.values.assessment import Assessment
from extauthz.values.decisions import Allow, Challenge, Decision, Deny, Hold, RuleResult
from extauthz.values.grants import Grant
from extauthz.values.identity import Subject, User, Workload
from extauthz.values.quoting import masked
from extauthz.values.request import Glimpse, HttpRequest

Value = str | bool | int | float | list[str] | tuple[str, ...]
Attributes = dict[str, Value]

_LONGEST_PORT: Final = 5
"""Digits."""


def attributes_of(record: DecisionRecord) -> Attributes:
    """All that is told of a decision, in the order in which it is."""
    http = record.request.http if record.request is not None else None
    identity = record.identity
    return {
        **outcome(record.decision, record.rules, record.revision),
        **({} if identity is None else caller(identity.workload, identity.user)),
        **({} if http is None else target(http)),
        **own(record),
        **rare(record),
    }


def outcome(decision: Decision, rules: tuple[RuleResult, ...], revision: str) -> Attributes:
    """What was decided, and how every candidate rule came out: the same whenever the same rules come out the same."""
    attributes: Attributes = {"extauthz.decision": DECISION_NAMES[type(decision)], "extauthz.reason": decision.reason}
    if decision.rule is not None:
        attributes["extauthz.rule"] = decision.rule
    if isinstance(decision, Deny):
        attributes["http.response.status_code"] = decision.status
    if (failure := failure_of(decision)) is not None:
        attributes["error.type"] = failure
    for mode, name in (("enforce", "extauthz.rules"), ("shadow", "extauthz.shadow_rules")):
        results = [f"{rule.rule}:{rule.result}" for rule in rules if rule.mode == mode]
        if results:
            attributes[name] = results
    effects = [f"{rule.rule}:{rule.effect}" for rule in rules if rule.result == "match"]
    if effects:
        attributes["extauthz.effects"] = effects
    attributes["extauthz.revision"] = revision
    return attributes


def failure_of(decision: Decision) -> str | None:
    """The reason of a denial that is a failure of ours, and makes its span an error."""
    return decision.reason if isinstance(decision, Deny) and decision.status >= 500 else None


def caller(workload: Workload | None, user: User | None) -> Attributes:
    """Who asked: the same for every request of theirs."""
    attributes: Attributes = {}
    if workload is not None:
        attributes["extauthz.workload"] = workload.id
    if user is not None:
        attributes["user.id"] = attributes["enduser.id"] = user.sub
        attributes["extauthz.user.issuer"] = user.iss
    return attributes


def target(http: HttpRequest) -> Attributes:
    """Which server was asked, and how: the same for every request of that kind to that host."""
    attributes: Attributes = {"http.request.method": http.method, "server.address": http.host}
    port = http.authority.rpartition(":")[2]
    if len(port) < len(http.authority) and len(port) <= _LONGEST_PORT and port.isascii() and port.isdecimal():
        attributes["server.port"] = int(port)
    if http.scheme:
        attributes["url.scheme"] = http.scheme
    return attributes


def own(record: DecisionRecord) -> Attributes:
    """What is another in every decision."""
    attributes: Attributes = {"extauthz.decision_id": record.decision_id}
    request, identity = record.request, record.identity
    if request is not None:
        http, source = request.http, request.source
        if http is not None:
            attributes["url.path"] = http.path
            if http.id:
                attributes["extauthz.request_id"] = http.id
        if source.ip:
            attributes["network.peer.address"] = source.ip
        if source.port:
            attributes["network.peer.port"] = source.port
    if identity is not None and identity.client_ip:
        attributes["client.address"] = identity.client_ip
    return attributes


def _glimpsed(seen: Glimpse) -> Attributes:
    """Of a request that could not be read; its method may be none (`http.request.method` names known ones alone)."""
    told = {
        "http.request.method_original": seen.method,
        "server.address": seen.host,
        "url.path": seen.path,
        "network.peer.address": seen.source_ip,
        "extauthz.request_id": seen.id,
    }
    return {name: value for name, value in told.items() if value}


def rare(record: DecisionRecord) -> Attributes:
    """What few decisions have: risk, approvals, a page to go to, and what went wrong."""
    attributes: Attributes = {} if record.glimpse is None else _glimpsed(record.glimpse)
    for assessment in record.risk:
        _add_risk(attributes, assessment)
    match record.decision:
        case Allow(grants=grants, auto=auto):
            if grants:
                _add_grants(attributes, grants)
            if auto:
                attributes["extauthz.approval.auto"] = [f"{one.rule}:{one.reason}" for one in auto]
        case Hold(approvals=ids) if ids:
            attributes["extauthz.approval.ids"] = list(ids)
        case Challenge(demands=demands):
            attributes["extauthz.demands"] = [demand.rule for demand in demands]
            if record.challenge:
                attributes["extauthz.challenge.id"] = record.challenge
        case _:
            pass
    if record.detail is not None:
        attributes["extauthz.detail"] = masked(record.detail)
    return attributes


def life_attributes(record: LifeRecord) -> Attributes:
    """What the span of a life event says."""
    texts: Mapping[str, str | None] = {
        "extauthz.event.kind": record.kind,
        "extauthz.event.by": record.by,
        "extauthz.decision_id": record.decision_id,
        "extauthz.rule": record.rule,
        "extauthz.revision": record.revision,
        "extauthz.challenge.id": record.challenge,
        "extauthz.approval.id": record.approval,
        "extauthz.grant.id": record.grant,
        "extauthz.factor": record.factor,
        "extauthz.reason": None if record.reason is None else masked(record.reason),
    }
    attributes: Attributes = {name: text for name, text in texts.items() if text is not None}
    if record.subject is not None:
        attributes |= _of_subject(record.subject)
    return attributes | {f"extauthz.event.{name}": value for name, value in record.details.items()}


def _of_subject(subject: Subject) -> Attributes:
    if not subject.issuer:
        return {"extauthz.workload": subject.id}
    return {"user.id": subject.id, "enduser.id": subject.id, "extauthz.user.issuer": subject.issuer}


def _add_grants(attributes: Attributes, grants: tuple[Grant, ...]) -> None:
    """The approvals that it rests on, and whether somebody has broken the glass."""
    ids = [grant.approval.id for grant in grants if grant.approval is not None]
    if ids:
        attributes["extauthz.approval.ids"] = ids
    if any(breaks_glass(grant) for grant in grants):
        attributes["extauthz.break_glass"] = True


def _add_risk(attributes: Attributes, assessment: Assessment) -> None:
    """What a model came to, and every signal with its state, what it counts of its weight, and what it means."""
    name = f"extauthz.risk.{assessment.model}"
    attributes[f"{name}.score"] = assessment.score
    attributes[f"{name}.level"] = assessment.level
    attributes[f"{name}.signals"] = [
        f"{one.name}:{one.state} {one.counted:g} of {one.weight:g}: {one.reason}" for one in assessment.heard
    ]
