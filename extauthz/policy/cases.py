"""`kind: PolicyTest` documents: cases that say what the policies beside them must decide (design section 7).

What a case may say and what it may expect; `trial` runs them.
"""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, ValidationError

from extauthz.identity import spiffe
from extauthz.policy.fact_models import FactsModel
from extauthz.policy.field_types import Block, HeaderName, Instant, Key
from extauthz.policy.models import Metadata, VersionedDocument
from extauthz.policy.problems import PolicyErrors, Problem, problem_at, problems_of
from extauthz.policy.yaml_source import Document
from extauthz.values.decisions import Factor


class RequestModel(Block):
    """A request as a case writes it. Without `body`, `json` and `grpc` its body is not known."""

    method: str = "GET"
    """The method of the request."""
    scheme: Literal["http", "https"] = "https"
    """The scheme that the client has used."""
    host: str = "localhost"
    """The host, with a port if it has one."""
    path: str = "/"
    """The path with its query, as it is sent: `/orders?page=2`."""
    headers: dict[str, str | list[str]] = Field(default_factory=dict)
    """The headers by name. A list is a header that is sent several times."""
    body: str | None = None
    """The whole body as text; `""` is an empty one. Its `content-type` is for `headers` to say."""
    json_body: Annotated[Any, Field(alias="json")] = None
    """The whole body, sent as this in JSON. Its `content-type` is `application/json` unless `headers` say otherwise."""
    grpc: dict[str, Any] | None = None
    """A gRPC message that was read: what `request.grpc` holds. The `content-type` is `application/grpc` unless
    `headers` say otherwise."""
    source_ip: str = ""
    """The address of the caller: `source.ip`, and `client.ip` as well. Absent without it."""
    sni: str = ""
    """The name that TLS was asked for: `tls.sni`. Absent without it."""
    tcp: bool = False
    """Whether it is a check of a TCP connection: of the other fields only `source_ip` and `sni` count then."""


class UserModel(Block):
    """A user as a case writes it: what a token that was verified says."""

    sub: str
    """`user.sub`, who the user is at that issuer."""
    iss: str = "https://idp.test"
    """`user.iss`, the issuer of the token."""
    aud: list[str] = Field(default_factory=list)
    """`user.aud`, the audiences of the token."""
    groups: list[str] = Field(default_factory=list)
    """`user.groups`, the groups that the user is in."""
    claims: dict[str, Any] = Field(default_factory=dict)
    """`user.claims`, all that conditions read there; nothing is taken over from the other fields."""
    amr: list[str] = Field(default_factory=list)
    """`user.amr`, how the user has logged in, in the words of the issuer."""
    acr: str | None = None
    """`user.acr`, the class of that authentication, in the words of the issuer."""
    proven_factors: list[Factor] = Field(default_factory=list)
    """What `proofs` of the configuration make of `amr`, for rules with `accept_token`."""
    proven_acr: list[str] = Field(default_factory=list)
    """What `proofs` of the configuration make of `acr`: the classes that rules ask for, for rules with
    `accept_token`."""
    auth_time: Instant | None = None
    """`user.auth_time`, when the user has logged in."""
    issued_at: Instant | None = None
    """When the token was issued, of which `user.token_age` is made."""
    actor: dict[str, Any] | None = None
    """`user.actor`, who acts for the user: the `act` claim (RFC 8693)."""


class RiskExpectation(Block):
    """What the risk model comes to that the conditions read, the first of them by name."""

    score: float | None = None
    """`risk.score`, exactly."""
    level: str | None = None
    """`risk.level`."""
    signals: list[str] | None = None
    """Signals that count, as in `risk.signals`."""


class Expectation(Block):
    """What must come out. What is not named may be anything, and of lists and mappings a part is enough."""

    nullable: ClassVar[frozenset[str]] = frozenset({"rule"})

    decision: Literal["allow", "deny", "challenge", "hold"]
    """What is decided."""
    rule: str | None = None
    """The rule that decides, as `policy/rule`: the first by name of those that do. `null` means that no rule does."""
    reason: str | None = None
    """The reason that is given: that of a `deny`, or one of extauthz itself."""
    status: int | None = None
    """The HTTP status that the caller gets; 200 for an allow."""
    headers: dict[HeaderName, str] | None = None
    """Headers that an allow sets in the request, or that a deny has in its answer."""
    append_headers: dict[HeaderName, list[str]] | None = None
    """Lines that an allow appends to headers of the request, of each header all."""
    response_headers: dict[HeaderName, str] | None = None
    """Headers that an allow sets in the response."""
    append_response_headers: dict[HeaderName, list[str]] | None = None
    """Lines that an allow appends to headers of the response, of each header all."""
    removed: list[HeaderName] | None = None
    """Headers that an allow takes out of the request."""
    query: dict[str, str] | None = None
    """Parameters that an allow sets in the query."""
    metadata: dict[str, Any] | None = None
    """Dynamic metadata that an allow sets."""
    body: str | None = None
    """The body that a rule gives its deny."""
    factors: list[Factor] | None = None
    """The factors by which the first of the challenges that are asked for can be met."""
    auto: list[str] | None = None
    """Rules, as `policy/rule`, that `auto` has approved without asking anybody."""
    rules: dict[str, Literal["match", "no-match", "error", "no-candidate"]] | None = None
    """How single rules come out, by `policy/rule`, also those in shadow. `no-candidate` is one that the request or its
    caller does not fit, or that has expired."""
    risk: RiskExpectation | None = None
    """What a risk model comes to."""


class Case(Block):
    """One request, what is known about it, and what must be decided."""

    name: Key
    """What the case shows, unique in its document."""
    request: RequestModel = RequestModel()
    """The request that is decided."""
    workload: str | None = None
    """The SPIFFE ID of the workload that calls. None calls without it."""
    user: UserModel | None = None
    """The user who calls. None does without it."""
    context: dict[str, str] = Field(default_factory=dict)
    """What `context` holds: the `context_extensions` of the filter."""
    metadata: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """What `metadata` holds: by namespace, what filters before have noted."""
    route_metadata: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """What `route.metadata` holds: by namespace, what stands at the route."""
    facts: FactsModel = FactsModel()
    """What look-ups would have found."""
    now: Instant | None = None
    """When it is decided, in RFC 3339. By default that of the document."""
    expect: Expectation
    """What must come out."""


class CasesSpec(Block):
    """All cases of a document."""

    now: Instant = 0.0
    """When the cases are decided that do not say so themselves, in RFC 3339. The beginning of 1970 without it."""
    cases: Annotated[list[Case], Field(min_length=1)]
    """The cases. Each is decided by itself, by all policies that are loaded with it."""


class CasesDocument(VersionedDocument):
    """A document of `kind: PolicyTest`."""

    kind: Literal["PolicyTest"]
    """Says that the document tests policies."""
    metadata: Metadata
    """The document's name, under which results are told."""
    spec: CasesSpec
    """What is tested."""


class Suite(NamedTuple):
    """The cases of a document, and the document, which knows where they stand."""

    model: CasesDocument
    document: Document


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
