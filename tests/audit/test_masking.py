"""What a record holds of a request, and that no secret of it is ever among that."""

import json
import string
from pathlib import Path
from typing import Any

import msgspec
import pytest
from audit.auditing import START, decision
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from extauthz.policy.decide import decide
from extauthz.policy.load import load_text
from extauthz.record.config import NEVER_KEPT, AuditSettings, KeepSettings
from extauthz.record.decision import DecisionRecord
from extauthz.record.masking import Keep, line_of, scrubbed
from extauthz.values.decisions import Allow, Deny
from extauthz.values.grants import NO_FACTS, Grant
from extauthz.values.identity import Identity, Subject, User
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode

POLICY = """
apiVersion: extauthz/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: r01, effect: allow, when: 'int(request.query.value) > 0'}
    - {name: r02, effect: allow, when: 'timestamp(request.query.value) < now'}
    - {name: r03, effect: allow, when: 'duration(request.headers.cookie) > duration("1s")'}
    - {name: r04, effect: allow, when: 'user.claims[user.claims.secret] == 1'}
    - {name: r05, effect: allow, when: '"x".matches("[" + request.query.value)'}
    - {name: r06, effect: allow, when: 'request.json.field[request.json.secret] == 1'}
    - {name: r07, effect: allow, when: 'request.headers[request.headers.authorization] == ""'}
    - {name: r08, effect: allow, when: 'now.getHours(request.query.value) == 1'}
    - {name: r09, effect: allow, when: 'request.headers[request.query.value] == ""'}
    - {name: r10, effect: allow, when: 'dyn(request.headers.cookie) == 1 || int(user.claims.secret) == 2'}
    - {name: r11, effect: deny, when: 'double(request.headers["x-extauthz-otp"]) == 1.0'}
"""
RULES = load_text(POLICY)


def written(record: DecisionRecord, keep: Keep = Keep()) -> dict[str, Any]:  # noqa: B008 - frozen
    """The line of a record as a reader of JSON sees it."""
    line: dict[str, Any] = json.loads(msgspec.json.encode(line_of(record, keep)))
    return line


secrets = st.text(string.ascii_letters + string.digits + "._~-", min_size=11, max_size=40).map(
    lambda text: "k~7" + text
)


@settings(max_examples=60, deadline=None)
@given(secret=secrets)
def test_no_secret_of_a_request_is_ever_in_its_record(secret: str) -> None:
    """Planted wherever a secret may be, and read by conditions whose errors could quote it."""
    certificate = "-----BEGIN%20CERTIFICATE-----%0A" + "QUJD" + "%0A-----END%20CERTIFICATE-----%0A"
    payload = check_request(
        method="POST",
        host="example.com",
        path=f"/pay?value={secret}&other={secret}x&{secret}",
        headers={
            "authorization": f"Bearer {secret}",
            "proxy-authorization": f"Basic {secret}",
            "cookie": f"session={secret}",
            "dpop": secret,
            "x-api-key": secret,
            "x-extauthz-otp": secret,
            "referer": f"https://example.com/?code={secret}",
            "x-forwarded-client-cert": f'Hash=1;Cert="{secret}"',
            "content-type": "application/json",
        },
        body=json.dumps({"secret": secret, "field": {}}).encode(),
        certificate=certificate,
        metadata={"filter": {"payload": secret}},
    )
    user = User(
        sub="alice",
        iss="https://idp.test",
        claims={"sub": "alice", "secret": secret, "nested": {"deep": [secret]}},
        actor={"sub": "agent", "note": secret, "act": {"sub": "tool", "key": secret}},
        sid=secret,
        token_hash=secret,
    )
    identity = Identity(user=user, session=f"sid:{secret}", holders=frozenset({f"cookie:{secret}"}))
    request = decode(payload)
    evaluation = decide(
        RULES.candidates(request, identity),
        request=request,
        identity=identity,
        facts=NO_FACTS,
        now=1.8e9,
        binding_keys=[b"k"],
    )
    assert {rule.rule for rule in evaluation.rules if rule.result != "error"} == set()
    grant = Grant(
        id=secret,
        subject=Subject("", secret),
        session=secret,
        holder=secret,
        binding=f"request:{secret}:p/r",
        factor="otp",
        issued_at=0.0,
        expires_at=1.0,
    )
    for outcome in (evaluation.decision, Allow(rule="p/r", grants=(grant,))):
        record = DecisionRecord(
            decision_id="d",
            revision="r",
            decision=outcome,
            rules=evaluation.rules,
            request=request,
            identity=identity,
            detail=f"token: `{secret}` is odd, ValueError('{secret}')",
            started_ns=START,
            ended_ns=START,
        )
        text = msgspec.json.encode(line_of(record, Keep())).decode()
        assert secret not in text
        assert secret[:10] not in text


def test_the_names_of_what_is_masked_are_kept_with_how_often_it_came() -> None:
    record = decision(
        path="/pay?amount=5&tag=a&tag=b&once&0123456789abcdef",
        headers={"authorization": "Bearer x", "accept": "text/html", "x-tier": ["a", "b"]},
        raw_headers=True,
        body=b"12345",
        user=User(sub="u", iss="i", claims={"sub": "u", "tenant": "t1", "scope": "read"}),
    )
    line = written(record)
    request, user = line["request"], line["identity"]["user"]
    assert request["query"] == {"amount": 1, "tag": 2, "once": 1}
    assert request["unnamed"] == 1
    assert request["headers"]["authorization"] == 1
    assert request["headers"]["accept"] == ["text/html"]
    assert request["headers"]["x-tier"] == 2
    assert request["body"] == 5
    assert user["claims"] == ["tenant"]
    assert user["kept"] == {"sub": "u", "scope": "read"}


def test_what_the_configuration_keeps_is_in_the_clear() -> None:
    keep = Keep.of(
        KeepSettings(headers=frozenset({"X-Tier"}), query=frozenset({"amount"}), claims=frozenset({"tenant"}))
    )
    record = decision(
        path="/pay?amount=5&code=1",
        headers={"x-tier": "gold"},
        user=User(sub="u", iss="i", claims={"tenant": "t1", "email": "e"}),
    )
    line = written(record, keep)
    assert line["request"]["query"] == {"amount": ["5"], "code": 1}
    assert line["request"]["headers"]["x-tier"] == ["gold"]
    assert line["identity"]["user"]["kept"] == {"tenant": "t1"}


@pytest.mark.parametrize("name", sorted({*NEVER_KEPT, "Authorization", "COOKIE"}))
def test_credentials_can_not_be_kept(name: str) -> None:
    with pytest.raises(ValidationError, match="carries credentials"):
        AuditSettings.model_validate({"path": "audit.jsonl", "keep": {"headers": [name]}})


def test_a_long_or_odd_header_is_masked_even_if_listed() -> None:
    line = written(decision(headers={"accept": "x" * 513, "user-agent": "é"}))
    assert line["request"]["headers"] == {"accept": 1, "user-agent": 1}


def test_a_query_that_can_not_be_read_is_told_without_it() -> None:
    line = written(decision(path="/pay?a=1;b=2"))
    assert "query" not in line["request"]
    assert line["request"]["query_error"] == "the query is ambiguous: some readers take `;` for a separator"


def test_the_record_says_when_what_and_why() -> None:
    line = written(decision(7))
    assert line["v"] == 1
    assert line["time"] == "2026-09-21T14:13:20.123456789Z"
    assert (line["decision_id"], line["decision"], line["reason"], line["rule"]) == ("d-7", "allow", "allowed", "p/r")
    assert (line["status"], line["duration_us"]) == (200, 250.0)


def test_a_refusal_without_request_or_identity_is_a_record_too() -> None:
    refused = DecisionRecord(
        decision_id="d",
        revision="r",
        decision=Deny(reason="malformed-path", status=400),
        detail="a segment of the path is empty",
        started_ns=START,
        ended_ns=START,
    )
    line = written(refused)
    assert (line["status"], line["detail"]) == (400, "a segment of the path is empty")
    assert "request" not in line


def test_scrubbing_keeps_names_and_drops_what_may_be_a_value() -> None:
    assert scrubbed("1:5: no such key: `amount`", frozenset({"amount"})) == "1:5: no such key: `amount`"
    assert scrubbed("1:5: no such key: `amount`", frozenset()) == "1:5: no such key: `…`"
    assert scrubbed("bad regular expression: missing ]: [s3cr3t", frozenset()) == "bad regular expression"


def test_the_folder_of_the_file_is_that_of_the_configuration() -> None:
    assert AuditSettings.model_validate({"path": "audit.jsonl"}).path == Path("audit.jsonl")
