"""Every way a Check can fail, asked by every kind of caller: an explicit denial in a form that the caller reads."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from checking import POLICY, Bench
from wire.answers import BY_FORM, CALL, Answer
from wire.forms_oracle import FAMILIES, Told, check_refusal

from extauthz._pb.envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from extauthz.errors import IssuerUnavailable, Overloaded
from extauthz.policy.load import load_text
from extauthz.wire.compose import check_request, tcp_check_request

POLICIES = (
    POLICY
    + """
    - name: asks-for-approval
      paths: ["/approve"]
      effect: approve
      approve: {approvers: {groups: [treasury]}}
    - name: anyone-is-approved
      paths: ["/approve", "/audited", "/unsayable", "/disagree", "/guarded"]
      effect: allow
    - name: on-record
      paths: ["/audited"]
      effect: allow
      audit: required
    - name: says-too-much
      paths: ["/unsayable"]
      effect: allow
      allow: {metadata: {level: "9007199254740993"}}
    - name: one
      paths: ["/disagree"]
      effect: allow
      allow: {headers: {x-tier: "'gold'"}}
    - name: other
      paths: ["/disagree"]
      effect: allow
      allow: {headers: {x-tier: "'silver'"}}
    - name: proven
      paths: ["/guarded"]
      effect: challenge
      challenge: {factors: [totp]}
    - name: gone
      paths: ["/gone"]
      effect: deny
      deny: {status: 410, reason: gone}
"""
)
SENT: dict[str, tuple[str, dict[str, str]]] = {
    "navigation": ("GET", {"sec-fetch-mode": "navigate", "accept": "text/html,*/*;q=0.8"}),
    "form-post": ("POST", {"sec-fetch-mode": "navigate", "content-type": "application/x-www-form-urlencoded"}),
    "api": ("POST", {"accept": "*/*"}),
    "preflight": ("OPTIONS", {"origin": "https://b.example", "access-control-request-method": "PUT"}),
    "text": ("POST", {"accept": "text/plain"}),
    "grpc": ("POST", {"content-type": "application/grpc", "te": "trailers"}),
    "grpc-web": ("POST", {"content-type": "application/grpc-web+proto"}),
    "grpc-web-text": ("POST", {"content-type": "application/grpc-web-text"}),
    "grpc-web-translated": ("POST", {"content-type": "application/grpc+proto", "x-grpc-web": "1"}),
    "connect": ("POST", {"content-type": "application/proto", "connect-protocol-version": "1"}),
    "json-rpc": ("POST", {"content-type": "application/json"}),
}
assert {*SENT, "tcp"} == set(BY_FORM)


def ask(_: Bench, form: str, path: str = "/nowhere", **headers: str) -> bytes:
    method, own = SENT[form]
    return check_request(
        method=method,
        host=headers.pop("host", "payments.example.com"),
        path=path,
        headers={**own, **headers},
        body=CALL if form == "json-rpc" else b"",
        source_ip="203.0.113.9",
    )


def as_alice(bench: Bench, form: str, path: str) -> bytes:
    return ask(bench, form, path, authorization=f"Bearer {bench.token()}")


def broken(payload: bytes) -> bytes:
    """The Check with a name of a header that no reader takes."""
    check = CheckRequest.FromString(payload)
    check.attributes.request.http.headers["x y"] = "1"
    return check.SerializeToString()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What is asked, what is told, and what has to be broken before."""

    reason: str
    status: int
    asked: Callable[[Bench, str], bytes]
    retry_after: int | None = None
    spoil: Callable[[Bench, pytest.MonkeyPatch], None] | None = None


def fail(*_: object, **__: object) -> Any:
    raise ZeroDivisionError("the detail")


def no_audit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.records, "commit", fail)


def no_store(bench: Bench, _: pytest.MonkeyPatch) -> None:
    asyncio.run(bench.store.close())


def no_decision(bench: Bench, _: pytest.MonkeyPatch) -> None:
    bench.decide_wrongly(ZeroDivisionError("the detail"))


FAILURES = {
    "path": Failure(reason="malformed-path", status=400, asked=lambda bench, form: ask(bench, form, "/a//b")),
    "host": Failure(reason="malformed-host", status=400, asked=lambda bench, form: ask(bench, form, host="a b")),
    "header": Failure(reason="malformed-header", status=400, asked=lambda bench, form: broken(ask(bench, form))),
    "certificate": Failure(
        reason="malformed-request",
        status=400,
        asked=lambda bench, form: ask(bench, form, **{"x-forwarded-client-cert": 'By="'}),
    ),
    "repeated": Failure(
        reason="repeated-header",
        status=400,
        asked=lambda bench, form: ask(bench, form, authorization="Basic x, Bearer y"),
    ),
    "token": Failure(
        reason="invalid-token", status=401, asked=lambda bench, form: ask(bench, form, authorization="Bearer x.y.z")
    ),
    "ours": Failure(
        reason="reserved-path", status=403, asked=lambda bench, form: as_alice(bench, form, "/.extauthz/x")
    ),
    "nobody": Failure(reason="no-rule-allows", status=401, asked=ask),
    "somebody": Failure(
        reason="no-rule-allows", status=403, asked=lambda bench, form: as_alice(bench, form, "/nowhere")
    ),
    "rule": Failure(reason="gone", status=410, asked=lambda bench, form: ask(bench, form, "/gone")),
    "guard": Failure(reason="policy-error", status=403, asked=lambda bench, form: ask(bench, form, "/crash?by=0")),
    "conflict": Failure(reason="header-conflict", status=403, asked=lambda bench, form: ask(bench, form, "/disagree")),
    "subject": Failure(reason="needs-subject", status=401, asked=lambda bench, form: ask(bench, form, "/guarded")),
    "approval": Failure(
        reason="approval-required",
        status=403,
        retry_after=5,
        asked=lambda bench, form: as_alice(bench, form, "/approve"),
    ),
    "unsayable": Failure(
        reason="response-invalid", status=503, asked=lambda bench, form: ask(bench, form, "/unsayable")
    ),
    "audit": Failure(
        reason="audit-unavailable",
        status=503,
        asked=lambda bench, form: ask(bench, form, "/audited"),
        spoil=no_audit,
    ),
    "store": Failure(
        reason="state-unavailable",
        status=503,
        asked=lambda bench, form: as_alice(bench, form, "/guarded"),
        spoil=no_store,
    ),
    "bug": Failure(
        reason="internal-error", status=503, asked=lambda bench, form: ask(bench, form, "/health"), spoil=no_decision
    ),
}


@pytest.fixture
def failing(bench: Bench) -> Bench:
    """A checker with a path for each failure."""
    bench.checker.swap(replace(bench.checker.ruling, policies=load_text(POLICIES)))
    return bench


@pytest.mark.parametrize("form", SENT)
@pytest.mark.parametrize("failure", FAILURES)
def test_whatever_fails_everybody_reads_why(
    failing: Bench, failure: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = FAILURES[failure]
    if kind.spoil is not None:
        kind.spoil(failing, monkeypatch)
    said = Answer(failing.answer(kind.asked(failing, form)))
    told = Told(reason=kind.reason, decision_id=said.facts["decision_id"], retry_after=kind.retry_after)
    check_refusal(said, form, status=kind.status, told=told)
    assert b"the detail" not in said.message.SerializeToString()


@pytest.mark.parametrize("error", [Overloaded("too many"), IssuerUnavailable("nobody answers")])
@pytest.mark.parametrize("form", SENT)
def test_who_can_not_be_waited_for_is_told_so(failing: Bench, form: str, error: Overloaded | IssuerUnavailable) -> None:
    opened = failing.checker.start(as_alice(failing, form, "/guarded"))
    assert not isinstance(opened, bytes)
    said = Answer.of(failing.checker.abandon(opened, error))
    retry_after = 1 if isinstance(error, Overloaded) else None
    told = Told(reason=error.reason, decision_id=said.facts["decision_id"], retry_after=retry_after)
    check_refusal(said, form, status=503, told=told)


@pytest.mark.parametrize("form", SENT)
def test_an_answer_that_can_not_be_written_is_still_one(failing: Bench, form: str) -> None:
    """The last resort needs nothing of the request, and so knows no form: 503 is UNAVAILABLE to gRPC clients."""
    failing.have_no_words()
    said = Answer(failing.answer(ask(failing, form, "/health")))
    told = Told(reason="internal-error", decision_id=said.facts["decision_id"])
    check_refusal(said, "api", status=503, told=told)


@pytest.mark.parametrize("payload", [b"\xff", b"\x00", b"\n\x02"])
def test_what_is_no_check_is_refused_as_such(failing: Bench, payload: bytes) -> None:
    said = Answer(failing.answer(payload))
    check_refusal(said, "api", status=400, told=Told(reason="malformed-check", decision_id=said.facts["decision_id"]))


def test_a_tcp_connection_gets_a_code_alone(failing: Bench) -> None:
    said = Answer(failing.answer(tcp_check_request(source_ip="203.0.113.9")))
    check_refusal(said, "tcp", status=401, told=Told(reason="no-rule-allows", decision_id=said.facts["decision_id"]))
    assert FAMILIES["tcp"] == "nothing"
