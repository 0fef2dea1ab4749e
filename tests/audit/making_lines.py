"""Records of requests of every kind, with texts of every kind, for properties of audit lines."""

from collections.abc import Mapping

from hypothesis import strategies as st
from msgspec.structs import replace
from record.making_records import assessments, decisions, rule_results

from extauthz.record.decision import DecisionRecord, Wait
from extauthz.record.masking import HEADERS, Keep
from extauthz.values.common import Common
from extauthz.values.decisions import Allow
from extauthz.values.grants import Grant, SessionAges
from extauthz.values.headers import OneLineEach
from extauthz.values.identity import Credential, Identity, Subject, User, Workload
from extauthz.values.request import HttpRequest, Peer, RequestView
from extauthz.values.span_ids import SpanIds

KEEPS = (Keep(), Keep(headers=HEADERS | {"x-tier"}, query=frozenset({"amount", "a.b"})))

HOSTILE = '"\\/\b\f\n\r\t\0\x1f\x7f\x85\xa0é\u2028\u2029\ufeff\ufffd😀"'
plain = st.text("abcXYZ019-._~/:= ", max_size=40)
texts = plain | plain | st.text(max_size=20) | st.text(HOSTILE, max_size=6) | st.just("x" * 600)
short = st.sampled_from(["", "GET", "https", "HTTP/2", '"', "\\", "é"])
names = st.sampled_from(
    ["accept", "user-agent", "cookie", "x-tier", "authorization", "x-request-id", "traceparent", "b3", "x-a'b", "te"]
)
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
trace_contexts = st.sampled_from(
    [
        f"00-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f" cc-{TRACE}-{SPAN}-01-what-comes",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"{TRACE[:16].upper()}-{SPAN}-1",
        "0",
    ]
)


def line_each(values: Mapping[str, str], common: Common | None = None) -> OneLineEach:
    """The headers as they are read where each came once; of the same names the very same places."""
    places = PLACES.setdefault(tuple(values), {name: place for place, name in enumerate(values)})
    return OneLineEach(places, tuple(values.values()), (), common)


PLACES: dict[tuple[str, ...], dict[str, int]] = {}
headers = st.dictionaries(names, texts | trace_contexts, min_size=2).map(line_each) | st.dictionaries(
    names, st.lists(texts | trace_contexts, min_size=1, max_size=3).map(tuple)
)
parameters = st.sampled_from(["amount=5", "amount=", "amount", "a.b=c", "1=2", "x=%41", "x=a+b", "x=1;y=2", "n=%z", ""])
queries = (
    st.sampled_from(["", "amount=5000", "a=1&b=2&a=3", "secretword", "a=b=c", "a=b&", "a[]=1", "x=é"])
    | st.lists(parameters, max_size=4).map("&".join)
    | texts
)
paths = st.sampled_from(["/", "/v1/pay", "/ü", '/"', "/a\\b", "/\u2028"]) | texts
https = st.builds(
    HttpRequest,
    id=texts,
    method=short,
    scheme=short,
    host=texts,
    authority=texts,
    path=paths,
    segments=st.just(()),
    raw_path=paths,
    raw_query=queries,
    protocol=short,
    headers=headers,
    size=st.integers(-1, 9),
    body=st.none() | st.binary(max_size=9),
    has_query=st.booleans(),
)
peers = st.just(Peer()) | st.builds(
    Peer,
    ip=st.sampled_from(["", "203.0.113.9", '"']),
    port=st.sampled_from([0, 443]),
    principal=st.sampled_from(["", "spiffe://a/b"]) | texts,
    certificate=st.sampled_from(["", "no certificate"]),
)
maps = st.dictionaries(texts, texts, max_size=2)
requests = st.builds(
    RequestView,
    source=peers,
    destination=peers,
    http=https,
    time=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    sni=texts,
    context=maps,
    metadata=st.dictionaries(texts, maps | st.integers(), max_size=2),
    route_metadata=maps,
)
users = st.builds(
    User,
    sub=texts,
    iss=texts,
    claims=st.dictionaries(st.sampled_from(["iss", "scope", "secret"]), texts | st.lists(texts)),
    actor=st.none() | st.dictionaries(st.sampled_from(["iss", "sub", "x"]), texts),
    groups=st.lists(texts, max_size=2).map(tuple),
)
workloads = st.builds(
    Workload, id=texts, trust_domain=texts, path=texts, verified_by=texts, attributes=st.none() | maps
)
identities = st.builds(
    Identity,
    workload=st.none() | workloads,
    user=st.none() | users,
    session=st.none() | texts,
    holders=st.frozensets(st.sampled_from(["cert:1", "peer:2", "peer:3", "cookie:4", "odd"])),
    client_ip=texts,
    credentials=st.just(()) | st.just((Credential(subjects=(), issued_at=None, sid=None, jti=None, digest=""),)),
)
grants = st.builds(
    Grant,
    id=texts,
    subject=st.just(Subject("i", "u")),
    session=texts,
    holder=texts,
    binding=st.sampled_from(["session:0", "action:p/r", "rule:x:p/r"]),
    factor=texts,
    issued_at=st.floats(0, 1e9),
    expires_at=st.just(2e9),
    uses=st.none() | st.integers(0, 3),
)
resting = st.builds(Allow, rule=texts, grants=st.lists(grants, min_size=1, max_size=2).map(tuple))
waits = st.builds(Wait, st.sampled_from(["store", "hold"]), st.integers(0, 2**62), st.integers(0, 2**62), st.booleans())
records = st.builds(
    DecisionRecord,
    decision_id=texts,
    revision=st.sampled_from(["sha256:0", "sha256:1", '"']),
    decision=decisions | resting,
    rules=st.lists(
        rule_results | rule_results.flatmap(lambda one: texts.map(lambda error: replace(one, error=error))), max_size=5
    ).map(tuple),
    request=requests,
    identity=st.none() | identities,
    session=st.none() | st.builds(SessionAges, age=st.none() | st.floats(0, 9), idle=st.none() | st.floats(0, 9)),
    risk=st.lists(assessments, max_size=1).map(tuple),
    detail=st.none() | texts,
    trace=st.lists(st.tuples(st.sampled_from(["traceparent", "b3", "tracestate"]), trace_contexts), max_size=2).map(
        tuple
    ),
    span=st.none()
    | st.none()
    | st.builds(SpanIds, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans()),
    waits=st.lists(waits, max_size=2).map(tuple),
    challenge=st.just("") | texts,
    started_ns=st.integers(0, 4_000_000_000_000_000_000),
    ended_ns=st.integers(0, 4_000_000_000_000_000_000),
)
