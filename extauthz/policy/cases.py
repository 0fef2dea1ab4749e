"""`kind: PolicyTest` documents: cases that say what the policies beside them must decide (design section 7).

What a case may say and what it may expect; `trial` runs them.
"""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator

from extauthz.identity import spiffe
from extauthz.policy.field_types import Block, Duration, HeaderName, Instant, Key, Name, Uses
from extauthz.policy.models import Metadata
from extauthz.policy.named_models import AddressList
from extauthz.policy.problems import PolicyErrors, Problem, problem_at, problems_of
from extauthz.policy.yaml_source import Document, load_documents
from extauthz.values.decisions import Factor


class RequestModel(Block):
    """A request as a case writes it; `path` holds the query. `tcp: true` is a check without HTTP.

    The body is `body`, or `json` as a text, or a gRPC message with what `grpc` holds; without one it is not known.
    """

    method: str = "GET"
    scheme: Literal["http", "https"] = "https"
    host: str = "localhost"
    path: str = "/"
    headers: dict[str, str | list[str]] = Field(default_factory=dict)
    body: str | None = None
    json_body: Annotated[Any, Field(alias="json")] = None
    grpc: dict[str, Any] | None = None
    source_ip: str = ""
    sni: str = ""
    tcp: bool = False


class UserModel(Block):
    """A user as a case writes it; `proven_factors` and `proven_acr` are what the issuer's `proofs` make of `amr` and
    `acr`."""

    sub: str
    iss: str = "https://idp.test"
    aud: list[str] = Field(default_factory=list)
    groups: list[str] = Field(default_factory=list)
    claims: dict[str, Any] = Field(default_factory=dict)
    amr: list[str] = Field(default_factory=list)
    acr: str | None = None
    proven_factors: list[Factor] = Field(default_factory=list)
    proven_acr: list[str] = Field(default_factory=list)
    auth_time: Instant | None = None
    issued_at: Instant | None = None
    actor: dict[str, Any] | None = None


class VoteModel(Block):
    """Somebody who has approved, `after` so long; `person` is by default who goes by `sub`. `factor` is what they have
    proven for it."""

    sub: str
    person: str | None = None
    groups: list[str] = Field(default_factory=list)
    claims: dict[str, Any] = Field(default_factory=dict)
    after: Duration = 1.0
    factor: Factor | None = None


class GlassModel(Block):
    """That the caller has broken the glass, after a proof of `factor`."""

    factor: Factor


class GrantModel(Block):
    """A proof that was given for `rule` (`policy/rule`), `age` ago, or its approval; it meets nothing but what that
    rule asks for. `uses` are those of an approval that are left."""

    rule: str
    factor: Factor | None = None
    approved_by: Annotated[list[VoteModel], Field(min_length=1)] | None = None
    break_glass: GlassModel | None = None
    age: Duration = 1.0
    uses: Uses = 1

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if [self.factor, self.approved_by, self.break_glass].count(None) != 2:
            raise ValueError("a grant is one thing; write `factor`, `approved_by` or `break_glass`")
        return self


class DeviceModel(Block):
    """What is known of the device; without a word, a request that shows none: it is not known, all else is absent."""

    id: str | None = None
    known: bool = False
    age: Duration | None = None


class GeoModel(Block):
    """Where the client's address is; what is not named is absent."""

    country: str | None = None
    continent: str | None = None
    city: str | None = None
    asn: int | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    accuracy_km: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    anonymous: bool | None = None


class SessionModel(Block):
    """What the store has seen of the user's session: it began `age` ago, and was last active `idle` ago."""

    idle: Duration
    age: Duration | None = None

    @model_validator(mode="after")
    def _began_before(self) -> Self:
        if self.age is not None and self.age < self.idle:
            raise ValueError("a session can't be idle for longer than it is old; let `age` be `idle` or more")
        return self


class RateModel(Block):
    """How often a key came in a window, this request included; in any window without one."""

    key: Key
    window: Duration | None = None
    count: Annotated[int, Field(ge=1)]


class BaselineModel(Block):
    """What is usual: of `count` numbers half were at most `p50`, and so on."""

    count: Annotated[int, Field(ge=0)]
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


class PlaceModel(Block):
    """Where the last request of the subject came from that was allowed, `ago` before this one."""

    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]
    accuracy_km: Annotated[float, Field(ge=0)] = 0.0
    ago: Duration


class ReportedModel(Block):
    """What others have said of the subject and of the device; what is not named is absent."""

    risk_level: Literal["LOW", "MEDIUM", "HIGH"] | None = None
    risk_reason: str | None = None
    risk_at: Instant | None = None
    compliance: Literal["compliant", "not-compliant"] | None = None
    compliance_at: Instant | None = None
    assurance: Literal["increased", "unknown", "decreased"] | None = None
    assurance_at: Instant | None = None
    credential_change: Literal["create", "update", "delete", "revoke"] | None = None
    credential_change_at: Instant | None = None
    compromised_at: Instant | None = None
    device_risk_level: Literal["LOW", "MEDIUM", "HIGH"] | None = None
    device_risk_reason: str | None = None
    device_risk_at: Instant | None = None
    device_compliance: Literal["compliant", "not-compliant"] | None = None
    device_compliance_at: Instant | None = None


class FactsModel(Block):
    """What the look-ups returned; `attributes` are what the platform knows of the workload.

    Without `session` the store has never seen it: then it is as old and idle as the user's token says. A rate that is
    not named is 1: this is the first request. Keys not in `seen` were never seen; a baseline that is not named has no
    numbers, by the name of the variable whose numbers they are; without `last_place` there is none. `raised` is how
    long ago a signal was raised. A source that is not in `sources` could not be asked.
    `addresses` are lists that the configuration would name.
    """

    grants: list[GrantModel] = Field(default_factory=list)
    device: DeviceModel = DeviceModel()
    geo: GeoModel = GeoModel()
    session: SessionModel | None = None
    attributes: dict[str, str] | None = None
    rates: list[RateModel] = Field(default_factory=list)
    seen: list[Key] = Field(default_factory=list)
    baselines: dict[Key, BaselineModel] = Field(default_factory=dict)
    last_place: PlaceModel | None = None
    raised: dict[Key, Duration] = Field(default_factory=dict)
    reported: ReportedModel = ReportedModel()
    sources: dict[Key, dict[str, Any]] = Field(default_factory=dict)
    addresses: dict[Name, AddressList] = Field(default_factory=dict)


class RiskExpectation(Block):
    """What the risk model comes to that the conditions read, the first of them by name; `signals` are those that
    count."""

    score: float | None = None
    level: str | None = None
    signals: list[str] | None = None


class Expectation(Block):
    """What must come out; what is not named may be anything. `rule: null` is "no rule".

    `status` is what the caller gets, 200 for an allow. `headers` are what an allow sets in the request, or a deny in
    its answer; `response_headers`, `query` and `metadata` what an allow sets; `append_headers` and
    `append_response_headers` the lines that it adds; `removed` are headers that it takes out. They may be a part of
    what comes out. `body` is a deny's own. `factors` are those of the first challenge, `auto` the
    rules that were approved without asking anybody. `rules` is how single
    candidates come out, say those in shadow.
    """

    nullable: ClassVar[frozenset[str]] = frozenset({"rule"})

    decision: Literal["allow", "deny", "challenge", "hold"]
    rule: str | None = None
    reason: str | None = None
    status: int | None = None
    headers: dict[HeaderName, str] | None = None
    append_headers: dict[HeaderName, list[str]] | None = None
    response_headers: dict[HeaderName, str] | None = None
    append_response_headers: dict[HeaderName, list[str]] | None = None
    removed: list[HeaderName] | None = None
    query: dict[str, str] | None = None
    metadata: dict[str, Any] | None = None
    body: str | None = None
    factors: list[Factor] | None = None
    auto: list[str] | None = None
    rules: dict[str, Literal["match", "no-match", "error", "no-candidate"]] | None = None
    risk: RiskExpectation | None = None


class Case(Block):
    """One request, what is known about it, and what must be decided."""

    name: Key
    request: RequestModel = RequestModel()
    workload: str | None = None
    user: UserModel | None = None
    context: dict[str, str] = Field(default_factory=dict)
    metadata: dict[str, dict[str, Any]] = Field(default_factory=dict)
    route_metadata: dict[str, dict[str, Any]] = Field(default_factory=dict)
    facts: FactsModel = FactsModel()
    now: Instant | None = None
    expect: Expectation


class CasesSpec(Block):
    """All cases of a document, at `now` unless they say otherwise."""

    now: Instant = 0.0
    cases: Annotated[list[Case], Field(min_length=1)]


class CasesDocument(Block):
    """A document of `kind: PolicyTest`."""

    apiVersion: Literal["extauthz/v1"]  # noqa: N815 - the documents' own spelling
    kind: Literal["PolicyTest"]
    metadata: Metadata
    spec: CasesSpec


class Suite(NamedTuple):
    """The cases of a document, and the document, which knows where they stand."""

    model: CasesDocument
    document: Document


def read_facts(text: str, file: str) -> FactsModel:
    """The facts of a YAML text, as `facts` of a case has them. Raises `PolicyErrors` with every problem."""
    documents = load_documents(text, file)
    if len(documents) != 1:
        message = "must be one mapping, as `facts` of a case is"
        raise PolicyErrors([Problem(file=file, message=message, hint="write `device: {known: true}`")])
    (document,) = documents
    try:
        return FactsModel.model_validate(document.value)
    except ValidationError as error:
        raise PolicyErrors(problems_of(error, FactsModel, document)) from None


def read_cases(documents: Iterable[Document]) -> list[Suite]:
    """The test documents among `documents`. Raises `PolicyErrors` with every problem."""
    problems: list[Problem] = []
    found = []
    for document in documents:
        if isinstance(document.value, dict) and document.value.get("kind") == "PolicyTest":
            try:
                model = CasesDocument.model_validate(document.value)
            except ValidationError as error:
                problems += problems_of(error, CasesDocument, document)
                continue
            seen: set[str] = set()
            for number, case in enumerate(model.spec.cases):
                if case.name in seen:
                    path = ("spec", "cases", number, "name")
                    problems.append(problem_at(document, path, f"the case `{case.name}` exists already", "rename it"))
                seen.add(case.name)
                if case.workload is not None and spiffe.parse(case.workload, verified_by="test") is None:
                    place = ("spec", "cases", number, "workload")
                    problems.append(problem_at(document, place, f"`{case.workload}` is not a SPIFFE ID"))
            found.append(Suite(model, document))
    if problems:
        raise PolicyErrors(problems)
    return found
