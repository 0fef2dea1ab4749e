"""The form of an audit record: one JSON object a line.

The rule kept here: fields are only ever added. A reader takes what it knows and leaves the rest, and a line with
another `v` is not its to read. What is masked is there by name alone; see `masking`.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

from extauthz.record.decision import DecisionName
from extauthz.values.assessment import State
from extauthz.values.decisions import Effect, Mode, Outcome

VERSION: Final = 1

UNREADABLE: Final = "unreadable"
"""In place of the digest of a certificate that is none."""
MASKED_NAMES: Final = "*"
"""The key in an actor under which the names of what is masked are."""

Masked = int | list[str]
"""The values in the clear, or how many there were."""
Status = Annotated[int, msgspec.Meta(ge=100, le=999)]
"""Three digits (RFC 9110 section 15)."""


class _Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is absent or empty takes no room in the file."""


class RuleLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """How one candidate rule came out."""

    rule: str
    effect: Effect
    mode: Mode
    result: Outcome
    error: str | None = None


class PeerLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """One end of the connection; of its certificate the SHA-256 in hex."""

    ip: str = ""
    port: int = 0
    principal: str = ""
    certificate_sha256: str = ""


class RequestLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """The HTTP part. `raw_path` is there where it is not `path`.

    `query` is missing where the query can't be read in one way; `query_error` then says why. `unnamed` counts the
    parameters whose names are masked too. `body` is its length in bytes, missing unless the whole body was known.
    """

    id: str = ""
    method: str
    scheme: str = ""
    host: str
    authority: str = ""
    path: str
    raw_path: str | None = None
    has_query: bool = False
    query: dict[str, Masked] = {}
    unnamed: int = 0
    query_error: str | None = None
    protocol: str = ""
    headers: dict[str, Masked] = {}
    size: int = -1
    body: int | None = None


class GlimpseLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """What was seen of a request that could not be read, as it was sent, cut short. `path` ends where a query, a
    parameter or a fragment may begin."""

    id: str = ""
    method: str = ""
    host: str = ""
    path: str = ""
    source_ip: str = ""


class WorkloadLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """A workload, the source that proved it, and what the platform knew of it; that is not masked."""

    id: str
    verified_by: str
    attributes: dict[str, str] | None = None


class UserLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """A user. `claims` are names; `kept` are the claims in the clear. Of `actor` only issuers and subjects are kept."""

    sub: str
    iss: str
    aud: list[str] = []
    groups: list[str] = []
    claims: list[str] = []
    kept: dict[str, Any] = {}
    amr: list[str] = []
    acr: str | None = None
    proven_factors: list[str] = []
    proven_acr: list[str] = []
    auth_time: int | None = None
    issued_at: int | None = None
    actor: dict[str, Any] | None = None
    verified_by: str = ""
    cookie: bool = False


class IdentityLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """Who called. `session` is the first half of the session's SHA-256 in hex, `holders` are kinds without digests."""

    workload: WorkloadLine | None = None
    user: UserLine | None = None
    session: str | None = None
    holders: list[str] = []
    client_ip: str = ""


class VoteLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """Who has approved, in whose place if in another's, and by which groups and which proof it counted; how long after
    the approval was opened, and how old the proof was then."""

    person: str
    sub: str
    iss: str
    groups: list[str] = []
    after_s: float
    factor: str = ""
    proof_age_s: float = 0.0
    in_place_of: "VoteLine | None" = None


class BreakGlassLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """Who went through without an approval, in their own words why, and by which proof."""

    person: str
    reason: str
    factor: str


class ApprovalLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """The approval that a grant is from; what approvers are asked about is not in the record."""

    id: str
    votes: list[VoteLine] = []
    break_glass: BreakGlassLine | None = None


class GrantLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """A grant that an allow rests on: which kind of binding, for which rule (empty for `session`), how old. `uses` is
    missing for one that is good as often as wanted."""

    bind: str
    rule: str = ""
    factor: str
    age_s: float
    uses: int | None = None
    approval: ApprovalLine | None = None


class AutoLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """A rule that was approved without asking anybody, and its word for why."""

    rule: str
    reason: str


class SessionLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """How old a session was and for how long it had been idle, in seconds; what is missing was not known."""

    age_s: float | None = None
    idle_s: float | None = None


class SignalLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """What one signal came to: `counted` of its `weight`. `age_s` are the seconds since its moment, if it fades."""

    name: str
    state: State
    weight: float
    counted: float
    reason: str
    age_s: float | None = None
    error: str | None = None


class RiskLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """What a risk model came to."""

    model: str
    score: float
    level: str
    signals: list[SignalLine] = []


class TravelLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """The journey from the subject's last place; nothing in it where that or this place is not known."""

    distance_km: float | None = None
    speed_kmh: float | None = None
    since_s: float | None = None


class DeviceLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """The device; of its identifier the first half of the SHA-256 in hex."""

    id: str | None = None
    known: bool | None = None
    age_s: float | None = None


class FactsLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """The facts that conditions read; what is missing nobody read, or it could not be looked up.

    `geo` and `reported` have the fields that there were; `attributes` are the names of what each source told. `rates`
    and `seen` are the answers to calls of these functions, by what the call means: the document, the call as it is
    written, the variables that it reads.
    """

    geo: dict[str, Any] | None = None
    travel: TravelLine | None = None
    device: DeviceLine | None = None
    reported: dict[str, Any] | None = None
    attributes: dict[str, list[str]] = {}
    rates: dict[str, int] = {}
    seen: dict[str, bool] = {}


class WaitLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody was waited for: who (a `WaitName`, or of a newer version another one), from when, counted from the
    decision's `time`, and how long. It began before where a decision that was held is made anew. `failed` is whether
    they did not answer."""

    name: str
    after_us: float
    duration_us: float
    failed: bool = False


class DecisionLine(_Line, frozen=True, kw_only=True, omit_defaults=True):
    """One decision.

    `time` is RFC 3339 in UTC with nanoseconds. `trace_id` is the trace that the decision is part of, in hex: that of
    its own span, else of the call or of the request; `span_id` is its span, where it was known when it was made; lines
    of before there were both have neither. `status` is the HTTP status of the answer, 200 for an allow. `demands` are
    the rules that a challenge or a hold asks to be met, `approvals` the ids of approvals that a hold waits for,
    `grants` what an allow rests on and `auto` what nobody had to be asked for; `break_glass` is whether it went through
    without an approval. `request_time` is when Envoy saw the request, as seconds and nanoseconds since the epoch.
    `metadata` are namespaces and the names in them, `route_metadata` are the operator's own words. `session` is missing
    unless a rule looked at its age, and the store could be asked. `risk` are the risk models that a condition read.
    `challenge` is the id of the one that it has opened, `waits` are those that took time. `detail` is what went wrong.
    `request` is missing for TCP and where it could not be read (`glimpse` is what was seen of it then), `identity`
    where it could not be established. `writer`, `seq` and `hash` are its place in the writer's chain, see `chain`;
    lines of before there was one have none.
    """

    v: Literal[1]
    time: str
    decision_id: str
    trace_id: str = ""
    span_id: str = ""
    decision: DecisionName
    reason: str
    rule: str | None = None
    status: Status
    revision: str
    duration_us: float
    rules: list[RuleLine] = []
    demands: list[str] = []
    approvals: list[str] = []
    grants: list[GrantLine] = []
    auto: list[AutoLine] = []
    break_glass: bool = False
    tcp: bool = False
    request: RequestLine | None = None
    glimpse: GlimpseLine | None = None
    request_time: tuple[int, int] | None = None
    source: PeerLine | None = None
    destination: PeerLine | None = None
    sni: str = ""
    context: dict[str, str] = {}
    metadata: dict[str, list[str]] = {}
    route_metadata: dict[str, Any] = {}
    identity: IdentityLine | None = None
    session: SessionLine | None = None
    facts: FactsLine | None = None
    risk: list[RiskLine] = []
    challenge: str = ""
    waits: list[WaitLine] = []
    detail: str | None = None
    writer: str = ""
    seq: int = 0
    hash: str = ""
