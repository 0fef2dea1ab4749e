"""No value of a request is in its record, whatever asked for it and however it went wrong; names are.

Values are planted wherever a request has room for one, and conditions, mutations and credentials fail over them.
"""

import json
import string
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from audit.auditing import START
from checking import Bench, make_bench
from hypothesis import given, settings
from hypothesis import strategies as st
from policy.making import compiled, definitions, document, function, rule

from extauthz.identity.revocations import Kind
from extauthz.policy.decide import decide
from extauthz.policy.policy_set import PolicySet
from extauthz.record.decision import DecisionRecord
from extauthz.record.masking import Keep, line_of
from extauthz.store.open import open_store
from extauthz.values.decisions import Allow, Deny, Evaluation
from extauthz.values.grants import NO_FACTS, Grant
from extauthz.values.identity import Identity, Subject, User
from extauthz.values.quoting import detail_of
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode

CONDITIONS = (
    "bool(request.query.value)",
    "int(request.query.value) > 0",
    "uint(request.query.value) > 0u",
    "double(request.headers['x-extauthz-otp']) == 1.0",
    "timestamp(request.query.value) < now",
    "duration(request.headers.cookie) > duration('1s')",
    "now.getHours(request.query.value) == 1",
    "ip(request.query.value) == ip('10.0.0.1')",
    "cidr(request.query.value).containsIP('10.0.0.1')",
    "cidr('10.0.0.0/8').containsIP(request.query.value)",
    "'x'.matches('[' + request.query.value)",
    "'x'.matches(request.query.value + '(')",
    "('%' + request.query.value).format([1]) == ''",
    "'%d'.format([request.query.value]) == ''",
    "'abc'.charAt(int(request.query.number)) == ''",
    "'abc'.substring(int(request.query.number)) == ''",
    "'abc'.substring(0, int(request.query.number)) == ''",
    "'abc'.indexOf('c', int(request.query.number)) == 1",
    "'abc'.lastIndexOf('c', int(request.query.number)) == 1",
    "[1][int(request.query.number)] == 1",
    "dyn([1])[int(request.query.number)] == 1",
    "math.bitShiftLeft(1, -int(request.query.number)) == 1",
    "int(request.query.number) / 0 == 1",
    "user.claims[user.claims.secret] == 1",
    "user.claims.nested[user.claims.secret] == 1",
    "user.actor[user.claims.secret] == 1",
    "metadata.filter[metadata.filter.payload] == 1",
    "request.json.field[request.json.secret] == 1",
    "request.json.secret.other == 1",
    "request.form.secret == ''",
    "request.headers[request.headers.authorization] == ''",
    "request.headers[request.query.value] == ''",
    "request.query[request.query.twice] == ''",
    "request.query[request.query.value + 'z'] == ''",
    "{'a': 1}[request.query.value] == 1",
    "dyn(request.headers.cookie) == 1 || int(user.claims.secret) == 2",
    "variables.amount > 1.0",
    "definitions.tier(request.query.value) > 1",
    "definitions.tier(string(variables.amount)) > 1",
)
"""Each fails, most over a value that its error could quote."""
DOCUMENTS = (
    definitions("house", functions={"tier": function("int(text) + 1", text="string")}),
    document(
        "p",
        *(rule(f"r{number:02}", "allow", when=condition) for number, condition in enumerate(CONDITIONS)),
        rule("told", "allow", allow={"headers": {"x-value": "string(int(request.query.value))"}}),
        variables={"amount": "double(request.query.value)"},
    ),
)
TOLD = compiled(*DOCUMENTS)
"""Its last rule matches, and fails in what it does."""


def text_of(record: DecisionRecord) -> str:
    return msgspec.json.encode(line_of(record, Keep())).decode()


def record_of(evaluation: Evaluation, payload: bytes, identity: Identity, detail: str | None = None) -> DecisionRecord:
    return DecisionRecord(
        decision_id="d",
        revision="r",
        decision=evaluation.decision,
        rules=evaluation.rules,
        request=decode(payload),
        identity=identity,
        detail=detail,
        started_ns=START,
        ended_ns=START,
    )


def evaluate(policies: PolicySet, payload: bytes, identity: Identity) -> Evaluation:
    request = decode(payload)
    candidates = policies.candidates(request, identity)
    return decide(candidates, request=request, identity=identity, facts=NO_FACTS, now=1.8e9, binding_keys=[b"k"])


secrets = st.text(string.ascii_letters + string.digits + "._~-", min_size=11, max_size=80).map(
    lambda text: "k~7" + text
)
numbers = st.integers(10**9, 10**16).map(lambda number: f"7{number}7")
"""None is a moment of the record itself."""


def request_of(secret: str, number: str) -> bytes:
    """A request with the values wherever it has room for one."""
    return check_request(
        method="POST",
        host="example.com",
        path=f"/pay?value={secret}&number={number}&other={secret}x&twice={secret}y&{secret}y=1&{secret}y=2&{secret}",
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
        body=json.dumps({"secret": secret, "field": {}, "number": int(number)}).encode(),
        certificate="-----BEGIN%20CERTIFICATE-----%0A" + "QUJD" + "%0A-----END%20CERTIFICATE-----%0A",
        metadata={"filter": {"payload": secret}},
    )


def identity_of(secret: str) -> Identity:
    user = User(
        sub="alice",
        iss="https://idp.test",
        claims={"sub": "alice", "secret": secret, "nested": {"deep": [secret]}},
        actor={"sub": "agent", "note": secret, "act": {"sub": "tool", "key": secret}},
        sid=secret,
        token_hash=secret,
    )
    return Identity(user=user, session=f"sid:{secret}", holders=frozenset({f"cookie:{secret}"}))


@settings(max_examples=60, deadline=None)
@given(secret=secrets, number=numbers)
def test_no_value_of_a_request_is_ever_in_its_record(secret: str, number: str) -> None:
    payload, identity = request_of(secret, number), identity_of(secret)
    evaluation = evaluate(TOLD, payload, identity)
    assert [one.rule for one in evaluation.rules if one.result != "error"] == []
    assert evaluation.decision.reason == "policy-error"
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
    for outcome in (evaluation, Evaluation(decision=Allow(rule="p/r", grants=(grant,)), rules=evaluation.rules)):
        text = text_of(record_of(outcome, payload, identity, detail=detail_of(ValueError(f"odd: {secret}"))))
        assert secret not in text
        assert secret[:10] not in text
        assert number not in text


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        ("request.query.amount == ''", "1:1: no such key: `amount`"),
        ("request.headers['X-Tier'] == ''", "1:1: no such key: `X-Tier`"),
        ("request.query.tag == ''", "1:1: the query parameter `tag` came 2 times"),
        ("request.query[?'tag'].orValue('') == ''", "1:1: the query parameter `tag` came 2 times"),
        ("request.query[request.query.name] == ''", "1:1: the query parameter “…” came 2 times"),
        ("request.query[request.query.value] == ''", "1:1: no such key: “…”"),
        ("user.claims.tenant == ''", "1:1: no such key: `tenant`"),
        ("user.acr == ''", "1:1: no such field: `acr` is not set"),
        ("int(request.query.value) > 0", "1:1: “…” is no int"),
        ("variables.amount > 1.0", "1:1: in `variables.amount`: 1:1: “…” is no double"),
        ("definitions.tier(request.query.value) > 1", "1:1: in `definitions.tier`: 1:1: “…” is no int"),
        ("request.json.a == 1", "1:1: the body is not JSON from line 1, column 7 on"),
        ("'x'.matches(request.query.value + '(')", "1:1: bad regular expression: missing ): “…”"),
    ],
)
def test_names_of_policies_are_in_a_record_and_values_are_not(condition: str, error: str) -> None:
    policies = compiled(
        DOCUMENTS[0],
        document("p", rule("r", "deny", when=condition), variables={"amount": "double(request.query.value)"}),
    )
    payload = check_request(
        host="example.com",
        path="/?value=k~7&tag=1&tag=2&name=tag",
        headers={"content-type": "application/json"},
        body=b'{"a": k~7}',
    )
    identity = Identity(user=User(sub="u", iss="i"))
    evaluation = evaluate(policies, payload, identity)
    record = record_of(evaluation, payload, identity)
    assert [one.error for one in line_of(record, Keep()).rules] == [error]
    assert "k~7" not in text_of(record)


class Sent(NamedTuple):
    """What comes with a request: claims that are signed (`None`: as a good token has them), and the rest.

    `revoked` is the kind of the revocation that the one claim is the id of.
    """

    claims: Mapping[str, Any] | None = None
    revoked: Kind | None = None
    authorization: str = ""
    path: str = "/pay"
    headers: Mapping[str, str] = {}
    principal: str = ""


LETTERS = "qzxqzx"
"""Before a value where only letters may stand."""
ODD: tuple[Callable[[str], Sent], ...] = (
    *(
        lambda secret, name=name: Sent(claims={name: {"odd": secret}})
        for name in ("aud", "exp", "nbf", "iat", "auth_time", "sub", "acr", "amr", "groups", "sid")
    ),
    lambda secret: Sent(claims={"act": secret}),
    lambda secret: Sent(claims={"aud": secret}),
    lambda secret: Sent(claims={"iss": secret}),
    lambda secret: Sent(claims={"cnf": {secret: secret}}),
    lambda secret: Sent(claims={"cnf": {"x5t#S256": secret}}),
    lambda secret: Sent(claims={"exp": 1, "jti": secret}),
    lambda secret: Sent(claims={"nbf": 10**11, "jti": secret}),
    lambda secret: Sent(authorization=f"Bearer {secret}"),
    lambda secret: Sent(authorization=f"Bearer {secret}.{secret}.{secret}"),
    lambda secret: Sent(authorization=f"bearer\t{secret}"),
    lambda secret: Sent(authorization=f"Basic {secret}, Bearer {secret}"),
    lambda secret: Sent(path=f"/a;{secret};%2e%2e%2f"),
    lambda secret: Sent(path=f"https://user:{secret}@example.com/pay"),
    lambda secret: Sent(path=f"/..;{secret}"),
    lambda secret: Sent(path=f"/pay?{secret}#"),
    lambda secret: Sent(headers={"host": f"{secret}.example.com"}),
    lambda secret: Sent(headers={"x-forwarded-client-cert": f"{secret}=1"}),
    lambda secret: Sent(headers={"x-forwarded-client-cert": f"{LETTERS}{''.join(filter(str.isalpha, secret))}=1"}),
    lambda secret: Sent(headers={"x-forwarded-client-cert": f"Hash={secret}"}),
    lambda secret: Sent(headers={"x-forwarded-client-cert": f"URI={secret};URI={secret}"}),
    lambda secret: Sent(headers={"x-forwarded-client-cert": f'Subject="{secret}'}),
    lambda secret: Sent(
        headers={"x-forwarded-client-cert": f"URI=spiffe://a/{secret}"}, principal="spiffe://example.org/web"
    ),
    lambda secret: Sent(claims={"jti": secret}, revoked="token"),
    lambda secret: Sent(claims={"sid": secret}, revoked="session"),
)
"""Requests with credentials that fail, over a value."""


@pytest.fixture(scope="module")
def bench() -> Bench:
    return make_bench(open_store("memory:", base=Path()))


def ask(bench: Bench, sent: Sent) -> DecisionRecord:
    """The record of a request that was answered."""
    bench.now[0] = time.time()
    if sent.revoked is not None:
        (id_,) = (sent.claims or {}).values()
        bench.revoke(sent.revoked, Subject("https://idp.example.com", "u1"), id_)
    authorization = sent.authorization or f"Bearer {token(bench, sent.claims or {})}"
    bench.answer(
        check_request(
            method="POST",
            host="payments.example.com",
            path=sent.path,
            headers={"authorization": authorization, **sent.headers},
            principal=sent.principal,
        )
    )
    return bench.records.kept[-1]


def token(bench: Bench, claims: Mapping[str, Any]) -> str:
    """A signed token with these claims; one that is `None` is missing."""
    good = {"iss": "https://idp.example.com", "aud": "shop", "sub": "u1", "exp": int(bench.now[0]) + 600}
    return bench.sign({name: value for name, value in {**good, **claims}.items() if value is not None})


@settings(max_examples=120, deadline=None)
@given(odd=st.sampled_from(ODD), secret=secrets)
def test_no_value_of_a_refused_request_is_ever_in_its_record(
    bench: Bench, odd: Callable[[str], Sent], secret: str
) -> None:
    record = ask(bench, odd(secret))
    text = text_of(record)
    assert isinstance(record.decision, Deny)
    assert record.decision.rule is None
    assert 400 <= record.decision.status < 500
    assert "detail" in text
    assert secret[:10] not in text
    assert LETTERS not in text


@pytest.mark.parametrize(
    ("claims", "detail"),
    [
        ({"exp": 1}, "token: `exp` is over"),
        ({"exp": None}, "token: no `exp`; what never ends is not accepted"),
        ({"exp": "soon"}, "token: `exp` is no number"),
        ({"nbf": 10**11}, "token: `nbf` is in the future"),
        ({"aud": "other"}, "token: `aud` names none of the audiences that are expected here"),
        ({"sub": None}, "token: no `sub`"),
        ({"act": "x"}, "token: `act` is no object"),
        ({"groups": "treasury"}, "token: `groups` is no list of texts"),
        ({"cnf": {"odd": "x"}}, "token: `cnf` is bound to something that can't be proven here"),
        ({"cnf": {"x5t#S256": "A" * 43}}, "token: `cnf` is not the certificate of this connection"),
    ],
)
def test_the_record_of_a_refused_token_names_the_claim(bench: Bench, claims: Mapping[str, Any], detail: str) -> None:
    line = line_of(ask(bench, Sent(claims=claims)), Keep())
    assert (line.reason, line.detail) == ("invalid-token", detail)
