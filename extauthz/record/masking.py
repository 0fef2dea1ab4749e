"""From a decision to its audit line: what of a request is written down, and what is masked.

The rule kept here: a value is masked unless it is listed here or kept by the configuration. Of a masked value the
name stays, and how often it came: enough to say later that it was there, not what it was. Credentials, bodies and
what a code or a token is made of are never written, whatever the configuration says. Texts of errors keep the names
that they mention and lose what they quote of the request; they tell the two apart (`values.quoting`).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, assert_never

import msgspec

from extauthz.cel import EvalError
from extauthz.policy.body_views import pairs
from extauthz.policy.views import certificate_sha256
from extauthz.record.audit_line import (
    MASKED_NAMES,
    UNREADABLE,
    VERSION,
    AutoLine,
    DecisionLine,
    GlimpseLine,
    IdentityLine,
    Masked,
    PeerLine,
    RequestLine,
    RuleLine,
    SessionLine,
    UserLine,
    WaitLine,
    WorkloadLine,
)
from extauthz.record.config import NEVER_KEPT, KeepSettings
from extauthz.record.decision import DECISION_NAMES, DecisionRecord, Wait
from extauthz.record.fact_lines import facts_line, risk_line
from extauthz.record.grant_lines import breaks_glass, grant_line
from extauthz.record.instants import rfc3339
from extauthz.record.session_hash import session_hash
from extauthz.record.trace_context import trace_id_of
from extauthz.values.decisions import Allow, AutoAnswer, Challenge, Decision, Deny, Hold, RuleResult
from extauthz.values.grants import Grant
from extauthz.values.headers import Headers
from extauthz.values.identity import Identity, User, Workload
from extauthz.values.quoting import masked
from extauthz.values.request import Caller, Glimpse, HttpRequest, Peer, RequestView
from extauthz.wire.caller import classify

HEADERS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "access-control-request-headers",
        "access-control-request-method",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "grpc-timeout",
        "origin",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "te",
        "traceparent",
        "upgrade",
        "user-agent",
        "x-envoy-auth-partial-body",
        "x-forwarded-proto",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-request-id",
    }
)
"""Headers that are recorded in the clear: what a client is and which form it speaks, not who it is."""
CLAIMS: Final = frozenset(
    {"acr", "amr", "aud", "auth_time", "azp", "client_id", "exp", "iat", "iss", "nbf", "scope", "scp", "sub"}
)
"""Claims that are recorded in the clear: those that the audit names anyway, and what a token may be used for."""
LONGEST: Final = 512
"""Characters of a header value in the clear; a longer one is masked."""

MOST_PARAMETERS: Final = 200
"""Parameters of a query that is taken apart: more take the time of many decisions, and any caller may send them."""
MOST_ESCAPES: Final = 1_000
"""Escapes of one."""

_NOBODY: Final = Peer()
_QUERY_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\[\]-]{0,31}")
_BARE_NAME: Final = re.compile(r"[A-Za-z_-]{1,32}")


class Keep(msgspec.Struct, frozen=True):
    """The names whose values are recorded in the clear, defaults included; headers in lower case."""

    headers: frozenset[str] = HEADERS
    query: frozenset[str] = frozenset()
    claims: frozenset[str] = CLAIMS

    @classmethod
    def of(cls, settings: KeepSettings) -> "Keep":
        """The defaults and what the configuration adds."""
        return cls(HEADERS | settings.headers - NEVER_KEPT, settings.query, CLAIMS | settings.claims)


def line_of(record: DecisionRecord, keep: Keep) -> DecisionLine:
    """The audit line of a decision."""
    request, identity, decision, ages = record.request, record.identity, record.decision, record.session
    http = request.http if request is not None else None
    grants = _grants(decision)
    query, unnamed, query_error = query_of(http, keep) if http is not None else ({}, 0, None)
    trace_id, span_id = span_of(record)
    return DecisionLine(
        v=VERSION,
        time=rfc3339(record.started_ns),
        decision_id=record.decision_id,
        trace_id=trace_id,
        span_id=span_id,
        decision=DECISION_NAMES[type(decision)],
        reason=decision.reason,
        rule=decision.rule,
        status=status_of(decision, request),
        revision=record.revision,
        duration_us=(record.ended_ns - record.started_ns) / 1000,
        rules=[rule_line(one) for one in record.rules],
        demands=[demand.rule for demand in decision.demands] if isinstance(decision, Challenge | Hold) else [],
        approvals=list(decision.approvals) if isinstance(decision, Hold) else [],
        grants=[grant_line(grant, record.started_ns / 1e9) for grant in grants],
        auto=[AutoLine(rule=one.rule, reason=one.reason) for one in _auto(decision)],
        break_glass=any(breaks_glass(grant) for grant in grants),
        tcp=request is not None and http is None,
        request=None if http is None else _request(http, keep, query, unnamed, query_error),
        glimpse=None if record.glimpse is None else _glimpse(record.glimpse),
        request_time=request.time if request is not None and request.time != (0, 0) else None,
        source=peer_line(request.source) if request is not None else None,
        destination=peer_line(request.destination) if request is not None else None,
        sni=request.sni if request is not None else "",
        context=dict(request.context) if request is not None else {},
        metadata=metadata_names(request.metadata) if request is not None else {},
        route_metadata=dict(request.route_metadata) if request is not None else {},
        identity=None if identity is None else _identity(identity, keep),
        session=None if ages is None else SessionLine(age_s=ages.age, idle_s=ages.idle),
        facts=facts_line(record),
        risk=[risk_line(one) for one in record.risk],
        challenge=record.challenge,
        waits=[wait_line(one, record.started_ns) for one in record.waits],
        detail=None if record.detail is None else masked(record.detail),
    )


def span_of(record: DecisionRecord) -> tuple[str, str]:
    """The ids of the trace and of the span of a decision, in hex; `""` of what is not known when it is recorded.

    A decision that nothing links to later gets its span when that is made: of it the trace is known, if it is that of
    the call or the request.
    """
    span = record.span
    if span is not None:
        return f"{span.trace_id:032x}", f"{span.span_id:016x}"
    return trace_id_of(record.trace, record.request) or "", ""


def wait_line(wait: Wait, began: int) -> WaitLine:
    """A wait of a decision that began at this moment, in nanoseconds since the epoch."""
    return WaitLine(
        name=wait.name,
        after_us=(wait.started_ns - began) / 1000,
        duration_us=(wait.ended_ns - wait.started_ns) / 1000,
        failed=wait.failed,
    )


def rule_line(result: RuleResult) -> RuleLine:
    """How a rule came out; its error loses what it quotes of the request."""
    error = None if result.error is None else masked(result.error)
    return RuleLine(rule=result.rule, effect=result.effect, mode=result.mode, result=result.result, error=error)


def status_of(decision: Decision, request: RequestView | None) -> int:
    """The HTTP status of the answer."""
    match decision:
        case Allow():
            return 200
        case Deny():
            return decision.status
        case Challenge():
            return 302 if request is not None and classify(request) is Caller.NAVIGATION else 401
        case Hold():
            return 403
        case _:
            assert_never(decision)


def _auto(decision: Decision) -> tuple[AutoAnswer, ...]:
    return decision.auto if isinstance(decision, Allow) else ()


def _grants(decision: Decision) -> tuple[Grant, ...]:
    return decision.grants if isinstance(decision, Allow) else ()


def _request(
    http: HttpRequest, keep: Keep, query: dict[str, Masked], unnamed: int, query_error: str | None
) -> RequestLine:
    return RequestLine(
        id=http.id,
        method=http.method,
        scheme=http.scheme,
        host=http.host,
        authority=http.authority,
        path=http.path,
        raw_path=None if http.raw_path == http.path else http.raw_path,
        has_query=http.has_query,
        query=query,
        unnamed=unnamed,
        query_error=query_error,
        protocol=http.protocol,
        headers=headers_of(http.headers, keep),
        size=http.size,
        body=None if http.body is None else len(http.body),
    )


def _glimpse(seen: Glimpse) -> GlimpseLine:
    return GlimpseLine(id=seen.id, method=seen.method, host=seen.host, path=seen.path, source_ip=seen.source_ip)


def headers_of(headers: Headers, keep: Keep) -> dict[str, Masked]:
    """The headers by name: the values in the clear, or how many there were."""
    return {name: _header(name, values, keep) for name, values in headers.items()}


def _header(name: str, values: tuple[str, ...], keep: Keep) -> Masked:
    if name in keep.headers and all(len(value) <= LONGEST and value.isascii() for value in values):
        return list(values)
    return len(values)


def query_of(http: HttpRequest, keep: Keep) -> tuple[dict[str, Masked], int, str | None]:
    """The parameters, how many have a name that is masked too, and why the query can't be read."""
    sent = http.raw_query
    if not sent:
        return {}, 0, None
    parameters = sent.count("&") + 1
    if (parameters > MOST_PARAMETERS or sent.count("%") > MOST_ESCAPES) and not keep.query:
        return {}, parameters, None
    try:
        read = pairs(sent, "the query")
    except EvalError as error:
        return {}, 0, error.message
    named = {
        name: list(values) if name in keep.query else len(values)
        for name, values in read.items()
        if name in keep.query or _is_name(name, values)
    }
    return named, len(read) - len(named), None


def _is_name(name: str, values: tuple[str, ...]) -> bool:
    """Whether this is a parameter's name: what stands alone in a query may be a value, so it must look like a word."""
    return (_BARE_NAME if values == ("",) else _QUERY_NAME).fullmatch(name) is not None


def peer_line(peer: Peer) -> PeerLine | None:
    """One end of the connection, `None` if nothing is known of it."""
    if peer == _NOBODY:
        return None
    digest = ""
    if peer.certificate:
        try:
            digest = certificate_sha256(peer.certificate)
        except EvalError:
            digest = UNREADABLE
    return PeerLine(ip=peer.ip, port=peer.port, principal=peer.principal, certificate_sha256=digest)


def metadata_names(metadata: Mapping[str, Any]) -> dict[str, list[str]]:
    """What filters noted, by namespace: the names of it."""
    return {name: sorted(part) if isinstance(part, Mapping) else [] for name, part in metadata.items()}


def _identity(identity: Identity, keep: Keep) -> IdentityLine:
    workload, user = identity.workload, identity.user
    return IdentityLine(
        workload=None if workload is None else workload_line(workload),
        user=None if user is None else user_line(user, keep),
        session=None if identity.session is None else session_hash(identity.session),
        holders=kinds_of(identity.holders),
        client_ip=identity.client_ip,
    )


def workload_line(workload: Workload) -> WorkloadLine:
    """A workload, with nothing masked."""
    known = workload.attributes
    attributes = None if known is None else dict(known)
    return WorkloadLine(id=workload.id, verified_by=workload.verified_by, attributes=attributes)


def kinds_of(holders: Iterable[str]) -> list[str]:
    """The kinds of what a caller holds."""
    return sorted({holder.partition(":")[0] for holder in holders})


def user_line(user: User, keep: Keep) -> UserLine:
    """A user; of the claims that are not kept the names."""
    return UserLine(
        sub=user.sub,
        iss=user.iss,
        aud=list(user.aud),
        groups=list(user.groups),
        claims=sorted(name for name in user.claims if name not in keep.claims),
        kept={name: value for name, value in user.claims.items() if name in keep.claims},
        amr=list(user.amr),
        acr=user.acr,
        proven_factors=sorted(user.proven_factors),
        proven_acr=sorted(user.proven_acr),
        auth_time=user.auth_time,
        issued_at=user.issued_at,
        actor=None if user.actor is None else actor_chain(user.actor),
        verified_by=user.verified_by,
        cookie=user.cookie,
    )


def actor_chain(actor: Mapping[str, Any]) -> dict[str, Any]:
    """Who acts for whom, by issuer and subject alone (RFC 8693 section 4.1)."""
    chain: dict[str, Any] = {name: actor[name] for name in ("iss", "sub") if isinstance(actor.get(name), str)}
    inner = actor.get("act")
    if isinstance(inner, Mapping):
        chain["act"] = actor_chain(inner)
    masked = sorted(name for name in actor if name not in chain)
    return {**chain, MASKED_NAMES: masked} if masked else chain
