"""What conditions see: absent things, repeated things, bodies, and the types of it all."""

import hashlib
from typing import Any
from urllib.parse import quote

import pytest
from policy.making import NOW, WEB, caller, compiled, document, evaluate, http, rule, tcp

from extauthz import cel
from extauthz.policy.context import NAMES, Inputs, RequestScope
from extauthz.policy.declared import Declared
from extauthz.policy.load import load_text
from extauthz.policy.problems import PolicyErrors
from extauthz.values.grants import Facts
from extauthz.values.identity import Identity
from extauthz.values.request import RequestView


def value(
    source: str,
    request: RequestView | None = None,
    identity: Identity | None = None,
    facts: Facts | None = None,
) -> Any:
    """The value of an expression; raises `EvalError`."""
    inputs = Inputs(
        request=request if request is not None else http(),
        identity=identity if identity is not None else Identity(),
        facts=facts if facts is not None else Facts(),
        now=NOW,
    )
    return cel.compile(source, variables=NAMES, nan_ordering_is_error=True)(RequestScope(inputs))


FIELDS = [
    f"{name}.{field}"
    for name, kind in NAMES.items()
    if isinstance(kind, cel.StructType) and name not in ("request", "travel", "risk")
    for field in kind.fields
]


@pytest.mark.parametrize("field", FIELDS)
def test_with_nothing_behind_it_a_field_is_unset_and_reading_it_an_error(field: str) -> None:
    assert value(f"has({field})") is False
    with pytest.raises(cel.EvalError):
        value(f"{field} == {field}")


@pytest.mark.parametrize("field", sorted(set(NAMES["request"].fields) - {"time"}))  # type: ignore[union-attr]  # it is a structure
def test_a_tcp_check_has_no_request_fields(field: str) -> None:
    assert value(f"has(request.{field})", tcp()) is False


def test_the_plain_fields_of_a_request() -> None:
    request = http(
        "/a%20b?x=1&y=%26+z",
        method="POST",
        host="App.Example:8443",
        headers={"X-Tier": "gold"},
        body=b"ab",
        time=(1_790_000_000, 5),
        id="r1",
        sni="app.example",
        context={"tenant": "t1"},
        metadata={"ns": {"k": 1}},
        source_ip="203.0.113.9",
        source_port=4711,
        principal=WEB,
    )
    for source in (
        "request.id == 'r1'",
        "request.method == 'POST' && request.scheme == 'https' && request.protocol == 'HTTP/2'",
        "request.host == 'app.example'",
        "request.path == '/a b' && request.raw_path == '/a%20b'",
        "request.query.x == '1' && request.query.y == '& z' && !('z' in request.query)",
        "request.query_all.x == ['1']",
        "request.headers['x-tier'] == 'gold' && request.headers['X-Tier'] == 'gold' && 'X-TIER' in request.headers",
        "request.header_values['x-tier'] == ['gold']",
        "request.time == timestamp('2026-09-21T14:13:20.000000005Z')",
        "request.body == b'ab' && !request.truncated",
        "tls.sni == 'app.example'",
        "context.tenant == 't1' && metadata.ns.k == 1.0 && !has(metadata.other)",
        "source.ip == '203.0.113.9' && source.port == 4711 && source.principal.startsWith('spiffe://')",
        "!has(destination.ip) && !has(request.size)",
        "now == timestamp(1795000000)",
    ):
        assert value(source, request) is True, source


def test_the_fields_of_a_caller() -> None:
    identity = caller(
        sub="u1",
        workload=WEB,
        groups=["staff"],
        claims={"tenant": "t1"},
        aud=("shop",),
        amr=("otp",),
        acr="2",
        auth_time=1_794_999_000,
        issued_at=1_794_999_900,
        actor={"sub": "agent"},
        verified_by="idp",
    )
    facts = Facts(device={"id": "d1", "known": True}, geo={"country": "DE", "latitude": 52.5})
    for source in (
        "user.sub == 'u1' && user.iss == 'https://idp.example' && user.aud == ['shop'] && 'staff' in user.groups",
        "user.claims.tenant == 't1' && user.amr == ['otp'] && user.acr == '2' && user.actor.sub == 'agent'",
        "now - user.auth_time == duration('1000s') && user.token_age == duration('100s') && user.verified_by == 'idp'",
        "workload.id.endsWith('/web') && workload.trust_domain == 'prod.example.org' && workload.namespace == 'shop'",
        "workload.service_account == 'web' && workload.path == '/ns/shop/sa/web'",
        "workload.verified_by == 'source_principal'",
        "session.id == 's1' && client.ip == '192.0.2.7' && device.known && device.id == 'd1'",
        "geo.country == 'DE' && geo.latitude > 52.0 && !has(geo.city)",
    ):
        assert value(source, None, identity, facts) is True, source


def test_no_group_is_an_absent_field_and_no_empty_list() -> None:
    assert value("has(user.groups)", None, caller(sub="u1")) is False


def test_the_certificate_fingerprint_is_that_of_the_der_bytes() -> None:
    pem = quote("-----BEGIN CERTIFICATE-----\nYWJj\n-----END CERTIFICATE-----\n")
    digest = hashlib.sha256(b"abc").hexdigest()
    assert value(f"tls.peer_certificate_sha256 == '{digest}'", http(certificate=pem)) is True
    with pytest.raises(cel.EvalError):
        value("tls.peer_certificate_sha256 == ''", http(certificate="no certificate"))


@pytest.mark.parametrize(
    "query", ["x=1&x=2", "x=1;x=2", "x=%", "x=%zz", "x=%ff", "%ff=1&x=1"], ids=["twice", ";", "%", "%zz", "%ff", "name"]
)
def test_an_ambiguous_query_can_not_be_read_as_one(query: str) -> None:
    with pytest.raises(cel.EvalError):
        value("request.query.x == '1'", http(f"/?{query}"))


def test_a_repeated_parameter_is_there_and_has_its_list() -> None:
    request = http("/?x=1&x=2")
    assert value("has(request.query.x) && request.query_all.x == ['1', '2']", request) is True
    with pytest.raises(cel.EvalError):
        value("request.query[?'x'].orValue('none') == 'none'", request)


def test_a_query_with_more_parameters_than_anybody_sends_is_not_read() -> None:
    assert value("request.query_all.a.size() == 9999", http("/?" + "a=&" * 9_999)) is True
    with pytest.raises(cel.EvalError, match="more than 10000 parameters"):
        value("request.query_all.a.size() > 0", http("/?" + "a=&" * 10_000))


def test_a_repeated_header_can_not_be_read_as_one() -> None:
    request = http(headers={"x-tier": ["gold", "none"]})
    assert value("'x-tier' in request.headers && request.header_values['x-tier'] == ['gold', 'none']", request) is True
    with pytest.raises(cel.EvalError):
        value("request.headers['x-tier'] == 'gold'", request)
    with pytest.raises(cel.EvalError):
        value("request.headers[?'x-tier'].orValue('none') == 'none'", request)


def test_absence_is_told_by_optionals() -> None:
    assert value("request.headers[?'x-tier'].orValue('none') == 'none'") is True


@pytest.mark.parametrize("view", ["body", "json", "form"])
@pytest.mark.parametrize("truncated", [True, False])
def test_a_body_that_is_not_known_is_an_error_and_not_absent(view: str, truncated: bool) -> None:
    request = http(method="POST", body=b"{}", truncated=True) if truncated else http(method="POST")
    assert value("request.truncated", request) is True
    with pytest.raises(cel.EvalError):
        value(f"has(request.{view})", request)


def posted(body: bytes, content_type: str | None = "application/json", **headers: str) -> RequestView:
    sent = {} if content_type is None else {"content-type": content_type}
    return http(method="POST", body=body, headers={**sent, **{k.replace("_", "-"): v for k, v in headers.items()}})


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount": 1, "amount": 5000}',
        b'{"amount": 1, "Amount": 5000}',
        b'{"x": {"amount": 1, "AMOUNT": 5000}, "amount": 1}',
        b'{"amount": NaN}',
        b'{"amount": -Infinity}',
        b'{"amount": 1e999}',
        b'{"amount": 99999999999999999999}',
        b'{"amount": ' + b"9" * 5000 + b"}",
        b'{"amount": 1} {}',
        b'{"amount": 1,}',
        b"\xef\xbb\xbf" + b'{"amount": 1}',
        b'{"amount": 1, "x": "\xff"}',
        b'{"amount": 1, "x": "\\ud800"}',
        b'{"amount": 1, "\\udfff": 1}',
        b'{"amount": 1, "x": ' + b"[" * 65 + b"]" * 65 + b"}",
        b'{"amount": 1, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"{'amount': 1}",
        '{"amount": 1}'.encode("utf-16"),
        b"",
    ],
    ids=lambda body: repr(body[:40]),
)
def test_json_that_two_readers_could_read_differently_is_an_error(body: bytes) -> None:
    with pytest.raises(cel.EvalError):
        value("request.json.amount == 1", posted(body))


@pytest.mark.parametrize(
    ("content_type", "headers"),
    [
        (None, {}),
        ("text/plain", {}),
        ("multipart/form-data; boundary=x", {}),
        ("application/json; charset=latin-1", {}),
        ("application/json; charset=utf-8; charset=utf-16", {}),
        ("application/json", {"content_encoding": "gzip"}),
        ("application/jsonp", {}),
    ],
)
def test_json_is_read_only_where_the_request_says_so(content_type: str | None, headers: dict[str, str]) -> None:
    with pytest.raises(cel.EvalError):
        value("request.json.amount == 1", posted(b'{"amount": 1}', content_type, **headers))


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=UTF-8", "application/problem+json"]
)
def test_json_is_read(content_type: str) -> None:
    request = posted('{"amount": 10.5, "items": [1, "ä", null, true], "n": 7}'.encode(), content_type)
    assert value("request.json.amount > 10.0 && request.json.items == [1, 'ä', null, true]", request) is True
    assert value("request.json.n == 7 && !has(request.json.other)", request) is True


def test_a_form_is_read_like_a_query() -> None:
    form = "application/x-www-form-urlencoded"
    assert value("request.form.a == 'x y' && request.form['b'] == ''", posted(b"a=x+y&b", form)) is True
    for body in (b"a=1&a=2", b"a=1;a=2", b"a=%ff", b"a=\xff", b"\xef\xbb\xbfa=1"):
        with pytest.raises(cel.EvalError):
            value("request.form.a == '1'", posted(body, form))
    with pytest.raises(cel.EvalError):
        value("request.form.a == '1'", posted(b"a=1", "text/plain"))


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("usr.sub == 'x'", "p.yaml:8:13: undeclared name `usr`; did you mean `user`?"),
        ("true && user.sbu == 'x'", "p.yaml:8:21: `user` has no field `sbu`; did you mean `sub`?"),
        ("request.soap == 'x'", "p.yaml:8:13: `request` has no field `soap`"),
        ("true || risk.score > 1.0", "p.yaml:8:21: `risk` is read, and no loaded document is a risk model"),
        ("rate('a', '1m') > 1", "p.yaml:8:13: `rate` does not take (string, string)"),
        ("variables.nothing > 1", "p.yaml:8:13: undeclared name `variables.nothing`"),
        ("user.sub", "p.yaml:8:13: a condition must be of type bool, not string"),
        ("user.claims.admin", "p.yaml:8:13: a condition must be of type bool, not dyn; compare it, say `… == true`"),
        ('"user.sub ==\\n usr"', "p.yaml:8:28: undeclared name `usr`; did you mean `user`?"),
        ("'''a'' == usr'", "p.yaml:8:23: undeclared name `usr`; did you mean `user`?"),
        ("|\n        true\n          && usr", "p.yaml:10:14: undeclared name `usr`; did you mean `user`?"),
        (">-\n        true\n        && usr", "p.yaml:10:12: undeclared name `usr`; did you mean `user`?"),
        ("true\n        && usr", "p.yaml:9:12: undeclared name `usr`; did you mean `user`?"),
    ],
)
def test_what_is_wrong_in_an_expression_is_told_with_its_place_in_the_file(when: str, told: str) -> None:
    text = "apiVersion: extauthz/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n  rules:\n    - name: a\n"
    with pytest.raises(PolicyErrors) as caught:
        load_text(f"{text}      effect: deny\n      when: {when}\n", "p.yaml")
    assert str(caught.value.problems[0]).startswith(told)


DECLARED = frozenset({"x-tier"})


@pytest.mark.parametrize(
    "when",
    [
        "request.headers['x-tier'] == 'gold'",
        "request.headers[?'X-Tier'].orValue('') == 'gold'",
        "'x-tier' in request.headers",
        "has(request.header_values.x_tier) || request.header_values['x-tier'].size() > 1",
        "user.sub == 'headers'",
    ],
)
def test_a_declared_header_may_be_read(when: str) -> None:
    names = DECLARED | {"x_tier"}
    assert compiled(document("p", rule("a", "allow", when=when)), declared=Declared(headers=names)).rules


@pytest.mark.parametrize(
    "when",
    [
        "request.headers['x-admin'] == 'yes'",
        "request.headers[?'x-admin'].orValue('no') == 'yes'",
        "'x-admin' in request.headers",
        "!('X-Admin' in request.header_values)",
        "has(request.headers.cookie)",
        "request.?headers.cookie.orValue('') == ''",
        "request.headers[user.sub] == 'x'",
        "request.headers.exists(name, name == 'x-admin')",
        "size(request.headers) > 3",
        "request.headers == request.headers",
        "cel.bind(h, request.headers, h['x-admin'] == 'yes')",
        "[request].all(r, r.headers['x-admin'] == 'yes')",
    ],
)
def test_a_header_that_is_not_declared_can_not_be_read(when: str) -> None:
    with pytest.raises(PolicyErrors, match="declared"):
        compiled(document("p", rule("a", "deny", when=when)), declared=Declared(headers=DECLARED))


def test_variables_are_evaluated_at_most_once_and_only_when_used() -> None:
    read: list[str] = []

    class Spy(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            read.append(name)
            return super().__getitem__(name)

    policies = compiled(
        document(
            "p",
            rule("a", "allow", when="variables.country == 'DE'"),
            rule("b", "allow", when="variables.country == 'FR'"),
            rule("c", "allow", when="false && variables.city == 'Berlin'"),
            rule("d", "allow", when="variables.net == 1"),
            rule("e", "allow", when="variables.net == 2"),
            variables={"country": "user.claims.country", "city": "user.claims.city", "net": "user.claims.asn"},
        )
    )
    evaluation = evaluate(policies, identity=caller(sub="u1", claims=Spy(country="DE")))
    assert read == ["country", "asn"]
    assert [one.result for one in evaluation.rules] == ["match", "no-match", "no-match", "error", "error"]
    assert evaluation.rules[-1].error == "1:1: in `variables.net`: 1:1: no such key: `asn`"


def test_a_variable_may_depend_on_the_captures_of_each_rule() -> None:
    policies = compiled(
        document(
            "p",
            rule("a", "allow", paths=["/{x}/b"], when="variables.name == 'one'"),
            rule("b", "allow", paths=["/one/{x}"], when="variables.name == 'b'"),
            variables={"name": "variables.raw", "raw": "request.params.x"},
        )
    )
    assert [one.result for one in evaluate(policies, http("/one/b")).rules] == ["match", "match"]
