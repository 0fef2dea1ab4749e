"""`kind: PolicyTest` documents: cases that say what the policies beside them must decide (design section 7).

A case's request goes the same way as one from Envoy: composed, decoded, looked up, decided. Its identity is given, not
proven. A grant of a case is one that was left for the rule that it names, for this very request.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from extauthz.errors import Refused
from extauthz.identity import spiffe
from extauthz.policy.decide import decide
from extauthz.policy.models import Block, Duration, Instant, Key, Metadata, Name
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.problems import PolicyErrors, Problem, problem_at, problems_of
from extauthz.policy.yaml_source import Document
from extauthz.stepup.factors import FACTOR_AMR
from extauthz.values.decisions import Allow, Challenge, Decision, Deny, Factor, Hold
from extauthz.values.grants import Facts, Grant
from extauthz.values.identity import Identity, User, Workload
from extauthz.values.request import RequestView
from extauthz.wire.compose import check_request, tcp_check_request
from extauthz.wire.decode import decode

_KEY = b"a key of test cases, which leave nothing behind"
_HOLDER = "test:holder"
_WORDS: dict[type[Decision], Literal["allow", "deny", "challenge", "hold"]] = {
    Allow: "allow",
    Deny: "deny",
    Challenge: "challenge",
    Hold: "hold",
}


class RequestModel(Block):
    """A request as a case writes it; `path` holds the query. `tcp: true` is a check without HTTP."""

    method: str = "GET"
    host: str = "localhost"
    path: str = "/"
    headers: dict[str, str | list[str]] = Field(default_factory=dict)
    body: str | None = None
    json_body: Annotated[Any, Field(alias="json")] = None
    source_ip: str = ""
    sni: str = ""
    tcp: bool = False


class UserModel(Block):
    """A user as a case writes it."""

    sub: str
    iss: str = "https://idp.test"
    groups: list[str] = Field(default_factory=list)
    claims: dict[str, Any] = Field(default_factory=dict)
    amr: list[str] = Field(default_factory=list)
    acr: str | None = None
    auth_time: Instant | None = None


class GrantModel(Block):
    """A proof that was given for `rule` (`policy/rule`), `age` ago; it meets nothing but what that rule asks for."""

    rule: str
    factor: Factor
    age: Duration = 1.0


class DeviceModel(Block):
    """What is known of the device; what is not named is absent."""

    id: str | None = None
    known: bool | None = None


class GeoModel(Block):
    """Where the client's address is; what is not named is absent."""

    country: str | None = None
    city: str | None = None
    asn: int | None = None
    latitude: float | None = None
    longitude: float | None = None


class FactsModel(Block):
    """What the look-ups returned."""

    grants: list[GrantModel] = Field(default_factory=list)
    device: DeviceModel = DeviceModel()
    geo: GeoModel = GeoModel()


class Expectation(Block):
    """What must come out; what is not named may be anything. `rule: null` is "no rule"."""

    decision: Literal["allow", "deny", "challenge", "hold"]
    rule: str | None = None
    reason: str | None = None
    status: int | None = None


class Case(Block):
    """One request, what is known about it, and what must be decided."""

    name: Key
    request: RequestModel = RequestModel()
    workload: str | None = None
    user: UserModel | None = None
    context: dict[str, str] = Field(default_factory=dict)
    metadata: dict[str, dict[str, Any]] = Field(default_factory=dict)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a case came out; `differences` is empty if as expected. `status` is that of a deny."""

    suite: Name
    case: str
    decision: str
    rule: str | None
    reason: str
    status: int | None
    differences: tuple[str, ...]


def read_cases(documents: Iterable[Document]) -> list[CasesDocument]:
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
            for number, case in enumerate(model.spec.cases):
                if case.workload is not None and spiffe.parse(case.workload, verified_by="test") is None:
                    path = ("spec", "cases", number, "workload")
                    problems.append(problem_at(document, path, f"`{case.workload}` is not a SPIFFE ID"))
            found.append(model)
    if problems:
        raise PolicyErrors(problems)
    return found


def run(document: CasesDocument, policies: PolicySet) -> list[Outcome]:
    """Every case of a document against the policies."""
    return [_run(document, case, policies) for case in document.spec.cases]


def _run(document: CasesDocument, case: Case, policies: PolicySet) -> Outcome:
    now = document.spec.now if case.now is None else case.now
    try:
        decision = _decide(case, policies, now)
    except Refused as error:
        decision = Deny(reason=error.reason, status=400)
    rule, status = decision.rule, decision.status if isinstance(decision, Deny) else None
    actual = {"decision": _WORDS[type(decision)], "rule": rule, "reason": decision.reason, "status": status}
    expected = case.expect.model_dump(exclude_unset=True)
    return Outcome(
        suite=document.metadata.name,
        case=case.name,
        decision=_WORDS[type(decision)],
        rule=rule,
        reason=decision.reason,
        status=status,
        differences=tuple(
            f"{field}: expected {_quoted(want)}, got {_quoted(actual[field])}"
            for field, want in expected.items()
            if actual[field] != want
        ),
    )


def _quoted(value: object) -> str:
    return "nothing" if value is None else f"`{value}`"


def _decide(case: Case, policies: PolicySet, now: float) -> Decision:
    request, identity = _request(case, now), _identity(case)
    candidates = policies.candidates(request, identity)

    def decided(grants: tuple[Grant, ...]) -> Decision:
        facts = Facts(
            grants=grants,
            device=case.facts.device.model_dump(exclude_none=True),
            geo=case.facts.geo.model_dump(exclude_none=True),
        )
        return decide(
            candidates, request=request, identity=identity, facts=facts, now=now, binding_keys=[_KEY]
        ).decision

    first = decided(())
    if not case.facts.grants or not isinstance(first, Challenge) or identity.user is None:
        return first
    bindings = {demand.rule: demand.binding for demand in first.demands}
    return decided(
        tuple(
            Grant(
                id=str(number),
                subject=identity.user.subject,
                session=identity.session or "",
                holder=_HOLDER,
                binding=bindings[grant.rule],
                factor=FACTOR_AMR[grant.factor],
                issued_at=now - grant.age,
                expires_at=now + 1.0,
            )
            for number, grant in enumerate(case.facts.grants)
            if grant.rule in bindings
        )
    )


def _request(case: Case, now: float) -> RequestView:
    given = case.request
    principal = case.workload or ""
    if given.tcp:
        return decode(
            tcp_check_request(source_ip=given.source_ip, principal=principal, context=case.context, sni=given.sni)
        )
    headers = dict(given.headers)
    body = None if given.body is None else given.body.encode()
    if given.json_body is not None:
        body = json.dumps(given.json_body).encode()
        headers.setdefault("content-type", "application/json")
    return decode(
        check_request(
            host=given.host,
            method=given.method,
            path=given.path,
            headers=headers,
            body=body,
            raw_headers=True,
            source_ip=given.source_ip,
            principal=principal,
            context=case.context,
            metadata=case.metadata,
            sni=given.sni,
            time=(int(now), 0),
        )
    )


def _identity(case: Case) -> Identity:
    workload: Workload | None = None
    if case.workload is not None:
        workload = spiffe.parse(case.workload, verified_by="source_principal")
    return Identity(
        workload=workload,
        user=None if case.user is None else _user(case.user),
        session=None if case.user is None else "test-session",
        holders=frozenset({_HOLDER}),
        client_ip=case.request.source_ip,
    )


def _user(given: UserModel) -> User:
    return User(
        sub=given.sub,
        iss=given.iss,
        groups=tuple(given.groups),
        claims=given.claims,
        amr=tuple(given.amr),
        acr=given.acr,
        auth_time=None if given.auth_time is None else int(given.auth_time),
        verified_by="test",
    )
