"""Records of decisions and events of every kind, for properties that hold of all of them."""

from hypothesis import strategies as st
from msgspec.structs import replace

from extauthz.record.decision import DecisionRecord, Wait
from extauthz.record.life import LifeRecord
from extauthz.values.approvals import Approved
from extauthz.values.assessment import Assessment, Heard
from extauthz.values.decisions import (
    Allow,
    AutoAnswer,
    Challenge,
    ChallengeDemand,
    Deny,
    Hold,
    RuleResult,
)
from extauthz.values.grants import Grant
from extauthz.values.identity import Identity, Subject, User, Workload
from extauthz.values.origin import Origin
from extauthz.values.request import Glimpse, HttpRequest, Peer, RequestView
from extauthz.values.span_ids import SpanIds

NOW_NS = 1_763_784_000_000_000_000

texts = st.text(max_size=300) | st.sampled_from(["", "/v1/pay", "é", "\ud800", "a" * 200, "x" * 20_000])
names = st.text("abc/-é", min_size=1, max_size=12)
moments = st.integers(0, 2**62)
ports = st.sampled_from([0, 1, 80, 127, 128, 443, 16_383, 16_384, 65_535])

rule_results = st.builds(
    RuleResult,
    rule=names,
    effect=st.sampled_from(["allow", "deny", "challenge", "approve"]),
    mode=st.sampled_from(["enforce", "shadow"]),
    result=st.sampled_from(["match", "no-match", "error"]),
)
demands = st.builds(
    ChallengeDemand, rule=names, factors=st.just(("totp",)), max_age=st.just(60.0), binding=st.just("session:p/a")
)
span_ids = st.builds(SpanIds, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
origins = st.builds(Origin, decision_id=names, span=st.just("") | span_ids.map(lambda ids: ids.traceparent))
approvals = st.builds(Approved, id=names, opened_at=st.just(1.0), origin=origins)
proofs = st.builds(
    Grant,
    id=names,
    subject=st.just(Subject("https://idp.example", "u-1")),
    session=st.just("s"),
    holder=st.just("h"),
    binding=st.just("b"),
    factor=st.sampled_from(["otp", "approval"]),
    issued_at=st.just(1.0),
    expires_at=st.just(2.0),
    approval=st.none() | approvals,
)
decisions = (
    st.builds(Allow, rule=names, grants=st.lists(proofs, max_size=3).map(tuple))
    | st.builds(Allow, rule=names, auto=st.just((AutoAnswer(rule="p/a", answer="approve", reason="small"),)))
    | st.builds(Deny, reason=names, rule=st.none() | names, status=st.sampled_from([200, 401, 403, 499, 500, 503, 599]))
    | st.builds(Challenge, rule=names, demands=st.lists(demands, max_size=2).map(tuple))
    | st.builds(Hold, rule=names, demands=st.just(()), approvals=st.lists(names, max_size=2).map(tuple))
)
heard = st.builds(
    Heard,
    name=names,
    state=st.sampled_from(["raised", "quiet"]),
    weight=st.floats(0, 100),
    counted=st.floats(0, 100),
    reason=texts,
)
assessments = st.builds(
    Assessment,
    model=names,
    score=st.floats(0, 100),
    level=names,
    signals=st.just(()),
    heard=st.lists(heard, max_size=2).map(tuple),
)
https = st.builds(
    HttpRequest,
    id=texts,
    method=st.sampled_from(["GET", "POST", "X-ODD"]),
    scheme=st.sampled_from(["", "http", "https"]),
    host=texts,
    authority=st.sampled_from(["", "a.example", "a.example:8443", "[::1]:80", "a.example:", "a:999999", "a:x"]),
    path=texts,
    segments=st.just(()),
    raw_path=st.just(""),
    raw_query=st.just(""),
    protocol=st.just("HTTP/2"),
    headers=st.just({}),
)
requests = st.builds(
    RequestView, source=st.builds(Peer, ip=st.sampled_from(["", "203.0.113.9", "2001:db8::1"]), port=ports), http=https
) | st.just(RequestView())
SOURCE = Peer(ip="203.0.113.9", port=443)
workloads = st.builds(
    Workload, id=texts, trust_domain=st.just("a"), path=st.just("/b"), verified_by=st.just("source_principal")
)
identities = st.builds(
    Identity,
    workload=st.none() | workloads,
    user=st.none() | st.builds(User, sub=texts, iss=texts),
    client_ip=st.sampled_from(["", "198.51.100.7"]),
)
waits = st.builds(
    Wait, st.sampled_from(["store", "attributes", "identity", "hold", "audit"]), moments, moments, st.booleans()
)
decision_records = st.builds(
    DecisionRecord,
    decision_id=texts,
    revision=names,
    decision=decisions,
    rules=st.lists(rule_results, max_size=4).map(tuple),
    request=st.none() | requests,
    glimpse=st.none() | st.builds(Glimpse, id=texts, method=names, host=names, path=texts, source_ip=names),
    identity=st.none() | identities,
    risk=st.lists(assessments, max_size=2).map(tuple),
    detail=st.none() | texts,
    waits=st.lists(waits, max_size=2).map(tuple),
    challenge=st.sampled_from(["", "c-1"]),
    started_ns=moments,
    ended_ns=moments,
).map(lambda record: record if record.request is None else replace(record, glimpse=None))
of_requests = decision_records.flatmap(
    lambda record: https.map(lambda http: replace(record, request=RequestView(source=SOURCE, http=http), glimpse=None))
)
"""Those of requests that were read, and are none of TCP."""
details = (
    st.text() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
)
life_records = st.builds(
    LifeRecord,
    kind=st.sampled_from(["challenge.opened", "factor.proven", "grant.used", "approval.voted"]),
    at_ns=moments,
    subject=st.none() | st.builds(Subject, texts, texts),
    rule=st.none() | names,
    challenge=st.none() | names,
    approval=st.none() | names,
    reason=st.none() | texts,
    details=st.dictionaries(names, details | st.lists(texts, max_size=2).map(tuple), max_size=3),
    links=st.lists(span_ids, max_size=3).map(tuple),
    started_ns=st.none() | moments,
)


def allowed(number: int = 1, **fields: object) -> DecisionRecord:
    """An ordinary allow of an ordinary request."""
    request = RequestView(
        source=Peer(ip="203.0.113.9", port=4711),
        http=HttpRequest(
            id=f"request-{number}",
            method="GET",
            scheme="https",
            host="app.example",
            authority="app.example",
            path=f"/v1/accounts/{number}",
            segments=("v1", "accounts", str(number)),
            raw_path=f"/v1/accounts/{number}",
            raw_query="",
            protocol="HTTP/2",
            headers={},
        ),
    )
    known = {
        "decision_id": f"decision-{number}",
        "revision": "sha256:1",
        "decision": Allow(rule="p/reads"),
        "rules": _RULES,
        "request": request,
        "identity": Identity(user=User(sub="u1", iss="https://idp.example"), client_ip="198.51.100.7"),
        "started_ns": NOW_NS + number,
        "ended_ns": NOW_NS + number + 50_000,
    }
    return DecisionRecord(**{**known, **fields})  # type: ignore[arg-type]  # the fields of a record, by name


_RULES = (
    RuleResult(rule="p/reads", effect="allow", mode="enforce", result="match"),
    RuleResult(rule="p/frozen", effect="deny", mode="enforce", result="no-match"),
)
