"""Runs the cases of `kind: PolicyTest` documents.

A case's request goes the same way as one from Envoy: composed, decoded, looked up, decided, answered. Its identity is
given, not proven. A grant of a case is one that was left for the rule that it names, for this very request.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from extauthz.errors import Refused
from extauthz.identity import spiffe
from extauthz.policy.case_facts import given_facts
from extauthz.policy.case_grants import left_for
from extauthz.policy.cases import Case, Expectation, Suite, UserModel
from extauthz.policy.context import Inputs, RequestScope
from extauthz.policy.decide import decide
from extauthz.policy.explain import risk_traces, traces
from extauthz.policy.mismatch import Other, others
from extauthz.policy.policy_set import PolicySet
from extauthz.policy.problems import did_you_mean
from extauthz.policy.sources import SourcePlace
from extauthz.policy.trace import ModelTrace, RuleTrace
from extauthz.stepup.challenge import CHALLENGE_PATH
from extauthz.values.assessment import Assessment
from extauthz.values.decisions import (
    Allow,
    Challenge,
    ChallengeOffer,
    Decision,
    Deny,
    Evaluation,
    Hold,
    RuleResult,
    denial,
)
from extauthz.values.grants import NO_FACTS, Facts
from extauthz.values.identity import Identity, User, Workload
from extauthz.values.request import EMPTY, Caller, RequestView, empty
from extauthz.values.schemes import NO_SCHEMES, Schemes
from extauthz.wire.caller import classify
from extauthz.wire.compose import check_request, tcp_check_request
from extauthz.wire.decode import decode
from extauthz.wire.encode import encode
from extauthz.wire.reading import Reading

DecisionWord = Literal["allow", "deny", "challenge", "hold"]
WORDS: Final[Mapping[type[Decision], DecisionWord]] = {
    Allow: "allow",
    Deny: "deny",
    Challenge: "challenge",
    Hold: "hold",
}
_KEY: Final = b"a key of test cases, which leave nothing behind"
_HOLDER: Final = "test:holder"
_SESSION: Final = "test-session"
# Where a real one has the address of the page with a ticket: the answer's status depends on whether there is one.
_OFFER: Final = ChallengeOffer(location=CHALLENGE_PATH)
_WITH_PAGE: Final = frozenset({Caller.NAVIGATION, Caller.FORM_POST, Caller.API})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a case came out; `differences` is empty if as expected. `status` is the HTTP status that the caller gets.

    `others` are the rules that were no candidates, the nearest first; only where there are differences to explain.
    """

    suite: str
    case: str
    place: SourcePlace
    decision: DecisionWord
    rule: str | None
    reason: str
    status: int
    rules: tuple[RuleResult, ...]
    traces: Mapping[str, RuleTrace]
    others: tuple[Other, ...]
    differences: tuple[str, ...]
    risk: tuple[Assessment, ...] = ()
    risk_traces: Mapping[str, ModelTrace] = field(default_factory=empty)


class _Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided, and what it was decided of; `request` is `None` where it was refused."""

    evaluation: Evaluation
    identity: Identity
    now: float
    request: RequestView | None = None
    facts: Facts = NO_FACTS


def run(suite: Suite, policies: PolicySet) -> Iterator[Outcome]:
    """Every case of a document against the policies."""
    spec = suite.model.spec
    for number, case in enumerate(spec.cases):
        ruling = _rule_on(case, policies, spec.now if case.now is None else case.now)
        decision = ruling.evaluation.decision
        status = http_status(response_to(decision, ruling.request, policies, decision_id="test"))
        differences = tuple(_differences(case, ruling, status, policies))
        yield Outcome(
            suite=suite.model.metadata.name,
            case=case.name,
            place=SourcePlace(suite.document.file, *suite.document.place(("spec", "cases", number, "name"))),
            decision=WORDS[type(decision)],
            rule=decision.rule,
            reason=decision.reason,
            status=status,
            rules=ruling.evaluation.rules,
            traces=_traces(ruling, policies),
            risk=ruling.evaluation.risk,
            risk_traces=_risk_traces(ruling, policies),
            others=_others(ruling, policies) if differences else (),
            differences=differences,
        )


def http_status(response: bytes) -> int:
    """The HTTP status that the caller gets from Envoy; of an allow 200, though the upstream has its own say."""
    answer = CheckResponse.FromString(response)
    return int(answer.denied_response.status.code) if answer.HasField("denied_response") else 200


def response_to(
    decision: Decision,
    request: RequestView | None,
    policies: PolicySet,
    *,
    decision_id: str,
    schemes: Schemes = NO_SCHEMES,
    unread: bytes = b"",
) -> bytes:
    """The CheckResponse of a decision; the address of a challenge page is there without its ticket.

    `schemes` are those that a 401 names; `unread` is the Check where `request` could not be read.
    """
    caller = classify(request) if request is not None else Caller.API
    return encode(
        decision,
        request=request,
        decision_id=decision_id,
        revision=policies.revision,
        settable=policies.settable_headers,
        schemes=schemes,
        unread=unread,
        offer=_OFFER if isinstance(decision, Challenge) and caller in _WITH_PAGE else None,
    )


def _rule_on(case: Case, policies: PolicySet, now: float) -> _Ruling:
    identity = _identity(case)
    try:
        request = _request(case, now)
    except Refused as error:
        refused = Evaluation(decision=denial(error.reason))
        return _Ruling(evaluation=refused, identity=identity, now=now)
    candidates = policies.candidates(request, identity)

    def decided(facts: Facts) -> _Ruling:
        evaluation = decide(candidates, request=request, identity=identity, facts=facts, now=now, binding_keys=[_KEY])
        return _Ruling(evaluation=evaluation, identity=identity, now=now, request=request, facts=facts)

    facts = given_facts(case.facts, candidates, request=request, identity=identity, now=now)
    ruling = decided(facts)
    for _ in range(2):  # an approval is asked for after a challenge
        more = tuple(left_for(case.facts.grants, ruling.evaluation.decision, identity, holder=_HOLDER, now=now))
        if not more:
            break
        facts = msgspec.structs.replace(facts, grants=(*facts.grants, *more))
        ruling = decided(facts)
    return ruling


def _traces(ruling: _Ruling, policies: PolicySet) -> Mapping[str, RuleTrace]:
    if ruling.request is None:
        return {}
    candidates = policies.candidates(ruling.request, ruling.identity)
    return traces(candidates, ruling.request, ruling.evaluation, _scope(ruling, ruling.request))


def _risk_traces(ruling: _Ruling, policies: PolicySet) -> Mapping[str, ModelTrace]:
    if ruling.request is None:
        return {}
    return risk_traces(policies, ruling.evaluation, _scope(ruling, ruling.request))


def _scope(ruling: _Ruling, request: RequestView) -> RequestScope:
    return RequestScope(Inputs(request=request, identity=ruling.identity, facts=ruling.facts, now=ruling.now))


def _others(ruling: _Ruling, policies: PolicySet) -> tuple[Other, ...]:
    if ruling.request is None:
        return ()
    spoke = [one.rule for one in ruling.evaluation.rules]
    return others(policies, spoke, request=ruling.request, identity=ruling.identity, now=ruling.now)


def _differences(case: Case, ruling: _Ruling, status: int, policies: PolicySet) -> Iterator[str]:
    """What is not as expected, and names of rules that do not exist."""
    names = [rule.name for rule in policies.rules]
    actual = _actual(ruling, status, names)
    for part, want in case.expect.model_dump(exclude_unset=True).items():
        got = actual[part]
        if isinstance(want, dict):
            for key, value in want.items():
                here: object = got.get(key) if isinstance(got, Mapping) else None
                if here != value:
                    yield f"{part}: `{key}`: expected {_quoted(value)}, got {_quoted(here)}"
        elif isinstance(want, list):
            missing = [one for one in want if not isinstance(got, Sequence) or one not in got]
            if missing:
                yield f"{part}: expected {_quoted(', '.join(map(str, missing)))}, got {_quoted(got)}"
        elif got != want:
            yield f"{part}: expected {_quoted(want)}, got {_quoted(got)}"
    for name in _named_rules(case):
        if name not in actual["rules"]:
            hint = did_you_mean(name, names)
            yield f"there is no rule `{name}`" + (f"; {hint}" if hint else "")


def _named_rules(case: Case) -> list[str]:
    expect: Expectation = case.expect
    named = [*([] if expect.rule is None else [expect.rule]), *(expect.rules or ())]
    return list(dict.fromkeys([*named, *(grant.rule for grant in case.facts.grants)]))


def _actual(ruling: _Ruling, status: int, names: list[str]) -> dict[str, Any]:
    """What came out, under the names of `expect`."""
    decision = ruling.evaluation.decision
    changes = decision.mutations if isinstance(decision, Allow) else None
    headers = changes.headers if changes is not None else decision.headers if isinstance(decision, Deny) else EMPTY
    return {
        "decision": WORDS[type(decision)],
        "rule": decision.rule,
        "reason": decision.reason,
        "status": status,
        "headers": headers,
        "append_headers": {} if changes is None else _listed(changes.append_headers),
        "response_headers": EMPTY if changes is None else changes.response_headers,
        "append_response_headers": {} if changes is None else _listed(changes.append_response_headers),
        "removed": [] if changes is None else sorted(changes.remove_headers),
        "query": EMPTY if changes is None else changes.query,
        "metadata": EMPTY if changes is None else changes.metadata,
        "body": decision.body if isinstance(decision, Deny) else "",
        "factors": list(decision.demands[0].factors) if isinstance(decision, Challenge) else [],
        "auto": [one.rule for one in decision.auto] if isinstance(decision, Allow) else [],
        "risk": _risk(ruling.evaluation),
        "rules": {
            **dict.fromkeys(names, "no-candidate"),
            **{one.rule: one.result for one in ruling.evaluation.rules},
        },
    }


def _risk(evaluation: Evaluation) -> Mapping[str, Any]:
    for one in evaluation.risk:
        return {"score": one.score, "level": one.level, "signals": list(one.signals)}
    return EMPTY


def _listed(lines: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {name: list(values) for name, values in lines.items()}


def _quoted(value: object) -> str:
    return "nothing" if value is None or value == [] else f"`{value}`"


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
    if given.grpc is not None:
        body = b""
        headers.setdefault("content-type", "application/grpc")
    return decode(
        check_request(
            host=given.host,
            method=given.method,
            scheme=given.scheme,
            path=given.path,
            headers=headers,
            body=body,
            raw_headers=True,
            source_ip=given.source_ip,
            principal=principal,
            context=case.context,
            metadata=case.metadata,
            route_metadata=case.route_metadata,
            sni=given.sni,
            time=(int(now), 0),
        ),
        Reading(messages=None if given.grpc is None else _Message(given.grpc)),
    )


class _Message(msgspec.Struct, frozen=True):
    """The message that a case gives: no bytes stand for it, and no descriptor."""

    content: Mapping[str, Any]

    def read(self, path: tuple[str, ...], body: bytes) -> Mapping[str, Any]:  # noqa: ARG002 - as `Messages` has it
        return self.content


def _identity(case: Case) -> Identity:
    workload: Workload | None = None
    if case.workload is not None:
        workload = spiffe.parse(case.workload, verified_by="source_principal")
        if workload is not None:
            workload = msgspec.structs.replace(workload, attributes=case.facts.attributes)
    return Identity(
        workload=workload,
        user=None if case.user is None else _user(case.user),
        session=None if case.user is None else _SESSION,
        holders=frozenset({_HOLDER}),
        client_ip=case.request.source_ip,
    )


def _user(given: UserModel) -> User:
    return User(
        sub=given.sub,
        iss=given.iss,
        aud=tuple(given.aud),
        groups=tuple(given.groups),
        claims=given.claims,
        amr=tuple(given.amr),
        acr=given.acr,
        proven_factors=frozenset(given.proven_factors),
        proven_acr=frozenset(given.proven_acr),
        auth_time=None if given.auth_time is None else int(given.auth_time),
        issued_at=None if given.issued_at is None else int(given.issued_at),
        actor=given.actor,
        verified_by="test",
    )
