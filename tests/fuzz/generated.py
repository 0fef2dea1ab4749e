"""Requests for fuzzing: honest ones, and hostile ones that are honest but for a part or a few."""

from typing import Any

from fuzz.credentials import GOOD_CLAIMS, bad_tokens, bound_tokens, good_tokens, proofs, token_of
from fuzz.target import COOKIE, DOMAIN, HOST, KEY, NAMESPACE, NOW, WEB, evenly
from hypothesis import strategies as st

from extauthz.wire.compose import check_request, tcp_check_request

Plan = dict[str, Any]
"""The arguments of `check_request`."""

AUTHORIZATIONS = (
    *("Bearer {}", "bearer {}", "BEARER {}", "Bearer  {}", "Bearer\t{}", " Bearer {}", "Bearer {} ", "Bearer{}"),
    *("Bearer {},Bearer {}", "Basic eDp5, Bearer {}", "Basic eDp5", "DPoP {}", 'Digest a="b", bearer {}', "Bearer,{}"),
)
SEGMENTS = (
    *(
        "open",
        "closed",
        "users",
        "alice",
        "bob",
        "staff",
        "mesh",
        "x",
        "%61lice",
        "%6Fpen",
        "a%20b",
        "a+b",
        "ä",
        "%C3%A4",
    ),
    *("..", ".", "", "%2e%2e", "%2E", "%2f", "a%2Fb", "a%5cb", "\\", "%00", "%0a", "%", "%zz", "%252e", "%25%32%65"),
    *(
        ";",
        "a;b",
        "closed;x",
        "..;",
        "#",
        "%23",
        "%3f",
        "%ff",
        "%c0%ae",
        "*",
        "~",
        "a%2525b",
        ".extauthz",
        "%2eextauthz",
    ),
)
PATHS = (
    *(
        "/open",
        "/open/a",
        "/open/a/b",
        "/open/closed",
        "/open/closed/x",
        "/users/alice",
        "/users/bob",
        "/users/mallory",
    ),
    *(
        "/staff/list",
        "/mesh/a",
        "/gold",
        "/query",
        "/json",
        "/form",
        "/parts",
        "/tenant",
        "/noted",
        "/digits",
        "/listed",
    ),
    *("/pay", "/none", "/", "*", "", "http://app.example/open", "app.example:443"),
)
ROUTES = PATHS[: PATHS.index("/none")]
QUERIES = (
    *("", "?", "?amount=5", "?amount=50", "?amount=5&amount=50", "?amount=50&amount=5", "?amount=%35", "?Amount=50"),
    *("?amount=5;amount=50", "?amount=5&x=%zz", "?amount=5#x", "?amount=5?x", "?amount= 5", "?amount=5&amount[]=50"),
    *("?x=1&amount=5", "?amount=+5", "?amount=-5", "?am%6funt=5", "?amount=50&am%6funt=5", "?&&amount=5", "?amount"),
)
HOSTS = (
    *(HOST, "x.app.example", "App.Example", "app.example:443", "app.example.", "app.example.:80", "evil.example"),
    *(
        "app.example@evil.example",
        "app.example evil",
        "app..example",
        "",
        "[::1]",
        "app.example:99999",
        "app.example,x",
    ),
    *("xn--pp-eka.example", "äpp.example", "a" * 300, ".app.example", "app.example/x", "-", "app.example\x00"),
)
METHODS = ("GET", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "get", "", "G ET", "PRI", "X" * 100)
FORWARDED = (
    *(f"URI={WEB}", f'By=spiffe://{DOMAIN}/x;Hash={"ab" * 32};Subject="CN=a,O=b";URI={WEB}', f"uri={WEB}", "URI="),
    *(f"URI=spiffe://{DOMAIN}/ns/shop/sa/admin", f"URI=spiffe://evil/x,URI={WEB}", f"URI={WEB},URI=spiffe://evil/x"),
    *(f'Subject="a\\",URI=spiffe://evil/x";URI={WEB}', f'Subject="a\\\\";URI={WEB}', f"URI={WEB};URI={WEB}", ",", ";"),
    *(
        f'URI="{WEB}"',
        f"URI={WEB};",
        f"X=1;URI={WEB}",
        'Subject="',
        f"Hash=zz;URI={WEB}",
        f"URI = {WEB}",
        "a",
        "Cert=%",
    ),
)
PRINCIPALS = (
    "",
    WEB,
    f"spiffe://{DOMAIN}/ns/shop/sa/x",
    f"spiffe://{DOMAIN}/ns/pay/sa/x",
    "spiffe://other/x",
    "CN=web",
)
ODD_NAMES = ("x-tier", "X-Tier", "x_tier", "x tier", "", "x-tier\n", ":path", "x-forwarded-host", "x-original-url", "ä")
odd_text = st.text(max_size=30) | st.text(alphabet='",;=\\ \t\r\n\0%:/aB1é', max_size=40)

# Bodies

JSONS = (
    *(b'{"amount":5}', b'{"amount":50}', b'{"amount":5,"amount":50}', b'{"amount":5,"Amount":50}', b'{"amount":NaN}'),
    *(
        b'{"amount":1e400}',
        b'{"amount":5.0}',
        b'{"amount":99999999999999999999}',
        b'\xef\xbb\xbf{"amount":5}',
        b"[1,2,3]",
    ),
    *(
        b'{"amount":5}x',
        b'{"amount":"5"}',
        b'{"a\\u006dount":50,"amount":5}',
        b'{"amount":5,"x":"\\ud800"}',
        b"",
        b"[]",
    ),
    *(b"[" * 5000, b"[" * 70 + b"1" + b"]" * 70, b'{"amount":5,"x":' + b"1" * 5000 + b"}", b"[99]", b'{"amount":05}'),
    *(
        b'{"amount":5,}',
        b"{'amount':5}",
        b'{"amount":5/**/}',
        b'\x00{"amount":5}',
        b'{"amount":5}\n',
        b"\x1f\x8b\x08\x00",
    ),
    *(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","amount":5}', '{"amount":5}'.encode("utf-16"), b"[1,true,null]"),
)
FORMS = (b"amount=5", b"amount=50", b"amount=5&amount=50", b"amount=5;amount=50", b"amount=%35", b"amount=%", b"amount")
PART_FIVE = b'--b\r\nContent-Disposition: form-data; name="amount"\r\n\r\n5\r\n'
PART_FIFTY = b'--b\r\nContent-Disposition: form-data; name="amount"\r\n\r\n50\r\n'
PART_END = b"--b--\r\n"
PARTS = (
    PART_FIVE + PART_END,
    PART_FIFTY + PART_END,
    PART_FIVE + PART_FIFTY + PART_END,
    b'--b\nContent-Disposition: form-data; name="amount"\n\n5\n--b--\n',
    b'--b\r\nContent-Disposition: form-data; name="amount"; filename="x"\r\n\r\n5\r\n--b--\r\n',
    b'x\r\n--b\r\nContent-Disposition: form-data; name="amount"\r\n\r\n5\r\n--b--\r\n',
    b'--b\r\nContent-Disposition: form-data; name="x\r\n\r\n--b\r\n',
)
BODIES = {
    "application/json": JSONS,
    "application/x-www-form-urlencoded": FORMS,
    "multipart/form-data; boundary=b": PARTS,
    "text/plain": (b"12345", b"x", b"1" * 20, b"\xff", b"12345\n"),
    "application/grpc": (b"\0\0\0\0\2ab", b"\1\0\0\0\2ab", b"\0\xff\xff\xff\xff", b""),
    "application/grpc-web-text": (b"AAAA",),
}
FITTING = {
    "/json": ("application/json", b'{"amount":5}'),
    "/form": ("application/x-www-form-urlencoded", b"amount=5"),
    "/parts": ("multipart/form-data; boundary=b", PARTS[0]),
    "/digits": ("text/plain", b"12345"),
}
ODD_TYPES = (
    *(
        "application/json; charset=utf-16",
        "application/json, text/plain",
        "Application/JSON",
        "application/problem+json",
    ),
    *(
        "application/json;charset=utf-8;charset=x",
        "multipart/form-data",
        'multipart/form-data; boundary="b"',
        "",
        "a/b",
    ),
)
CONTEXTS: tuple[dict[str, str], ...] = ({}, {"tenant": "t1"}, {"tenant": ""}, {"extauthz.buffered": "true"})
METADATA: tuple[dict[str, dict[str, Any]], ...] = (
    {},
    {"app": {"level": "high"}},
    {"app": {"level": ["high"]}},
    {NAMESPACE: {KEY: {**GOOD_CLAIMS, "sub": "alice", "groups": ["staff"]}}},
    {NAMESPACE: {KEY: {**GOOD_CLAIMS, "sub": "alice", "exp": 1}}},
    {NAMESPACE: {KEY: {**GOOD_CLAIMS, "sub": "alice", "iss": "x"}}},
    {NAMESPACE: {KEY: "alice"}},
    {NAMESPACE: {KEY: {**GOOD_CLAIMS, "sub": "alice", "cnf": {"jkt": "x"}}}},
)


@st.composite
def valid_plans(draw: st.DrawFn, to: str = "") -> Plan:
    """A request as honest clients send it, to one of the routes of the policy; `to` is one of `ROUTES`."""
    kind = draw(evenly(tuple(BODIES)))
    headers: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {"accept": st.sampled_from(("*/*", "text/html", "application/json"))},
            optional={
                "x-tier": st.sampled_from(("gold", "none")),
                "x-forwarded-client-cert": st.just(FORWARDED[0]),
                "x-forwarded-for": st.just("192.0.2.1"),
            },
        )
    )
    body = draw(st.none() | st.sampled_from(BODIES[kind][:2]))
    if body is not None:
        headers["content-type"] = kind
    if draw(st.booleans()):
        headers["authorization"] = "Bearer " + draw(good_tokens)
    elif draw(st.integers(0, 3)) == 0:
        headers["cookie"] = f"a=b; {COOKIE}={draw(good_tokens)}"
    path, context = to or draw(evenly(ROUTES)), draw(st.sampled_from(CONTEXTS[:2]))
    if draw(st.integers(0, 3)):  # what the route asks for
        match path:
            case "/gold":
                headers["x-tier"] = "gold"
            case "/tenant":
                headers.pop("cookie", None)
                headers["authorization"] = f"Bearer {token_of('bob', {'tenant': 't1'}, {})}"
                context = {"tenant": "t1"}
            case "/staff/list":
                headers.pop("cookie", None)
                headers["authorization"] = f"Bearer {token_of('bob', {'groups': ['staff']}, {})}"
            case "/listed":
                headers["content-type"], body = "application/json", b"[1,2,3]"
            case "/json" | "/form" | "/parts" | "/digits":
                headers["content-type"], body = FITTING[path]
            case _:
                pass
    return {
        "method": draw(st.sampled_from(("GET", "POST", "PUT"))),
        "host": draw(st.sampled_from(HOSTS[:5])),
        "path": path + draw(st.sampled_from(("", "?amount=5", "?amount=50"))),
        "headers": headers,
        "body": body,
        "principal": WEB if "x-forwarded-client-cert" in headers else draw(st.sampled_from(PRINCIPALS[:4])),
        "context": context,
        "metadata": draw(st.sampled_from(METADATA[:2])),
        "raw_headers": draw(st.booleans()),
        "source_ip": "10.0.0.1",
        "id": "r",
        "time": (int(NOW), 1),
    }


@st.composite
def hostile_plans(draw: st.DrawFn) -> Plan:
    """A request of which a part or several are what no honest client sends; the others would be let through."""
    plan = draw(valid_plans())
    headers = plan["headers"]
    for part in sorted(draw(st.sets(evenly(tuple(_HOSTILE)), min_size=1, max_size=2))):  # a set has no order
        _HOSTILE[part](draw, plan, headers)
    return plan


def _path(draw: st.DrawFn, plan: Plan, headers: Plan) -> None:
    del headers
    segments = draw(st.lists(evenly(SEGMENTS), max_size=4))
    plan["path"] = draw(evenly(PATHS)) + "".join("/" + one for one in segments) + draw(evenly(QUERIES))


def _host(draw: st.DrawFn, plan: Plan, headers: Plan) -> None:
    plan["host"] = draw(st.sampled_from(HOSTS))
    if draw(st.booleans()):
        headers["host"] = draw(st.sampled_from(HOSTS))


def _method(draw: st.DrawFn, plan: Plan, headers: Plan) -> None:
    del headers
    plan["method"] = draw(st.sampled_from(METHODS))


def _authorization(draw: st.DrawFn, plan: Plan, headers: Plan) -> None:
    form = draw(evenly(AUTHORIZATIONS))
    token = draw(bad_tokens | good_tokens)
    headers["authorization"] = form.replace("{}", token)
    if draw(st.integers(0, 3)) == 0:
        headers["authorization"] = [headers["authorization"], f"Bearer {draw(good_tokens)}"]
    if "DPoP" in form or draw(st.integers(0, 5)) == 0:
        _add_proof(draw, plan, headers, token)


def _possession(draw: st.DrawFn, plan: Plan, headers: Plan) -> None:
    token = draw(bound_tokens | good_tokens)
    headers["authorization"] = f"{draw(st.sampled_from(('DPoP', 'DPoP', 'Bearer')))} {token}"
    headers.pop("cookie", None)
    _add_proof(draw, plan, headers, token)


def _add_proof(draw: st.DrawFn, plan: Plan, headers: Plan, token: str) -> None:
    headers["dpop"] = draw(proofs(token, plan["method"], f"https://{plan['host']}{plan['path'].partition('?')[0]}"))


def _cookie(draw: st.DrawFn, plan: Plan, headers: Plan) -> None:
    del plan
    one, other = draw(good_tokens), draw(good_tokens | bad_tokens)
    form = draw(
        st.sampled_from(
            (
                *("{n}={a}; {n}={b}", "{n}={b}", "x=1, {n}={a}", " {n} ={a}", "{n}", '{n}="{a}"', "\u00a0{n}={a}"),
                *("{n}={a};{n}", "{N}={b}; {n}={a}", "x={n}={b}; {n}={a}", "{n}={a},{n}={b}"),
            )
        )
    )
    headers["cookie"] = form.format(n=COOKIE, N=COOKIE.upper(), a=one, b=other)


def _certificate(draw: st.DrawFn, plan: Plan, headers: Plan) -> None:
    headers["x-forwarded-client-cert"] = draw(
        st.sampled_from(FORWARDED) | odd_text.map(lambda text: f"URI={WEB}{text}")
    )
    plan["principal"] = draw(evenly(PRINCIPALS))


def _header(draw: st.DrawFn, plan: Plan, headers: Plan) -> None:
    name = draw(st.sampled_from(ODD_NAMES))
    headers[name] = draw(odd_text | st.sampled_from(("gold", ["gold", "none"], ["none", "gold"], "/open", HOST)))
    plan["raw_headers"] = draw(st.booleans())


def _body(draw: st.DrawFn, plan: Plan, headers: Plan) -> None:
    kind = draw(evenly(tuple(BODIES)))
    plan["body"] = draw(evenly(BODIES[kind]) | st.binary(max_size=40))
    plan["truncated"] = draw(st.integers(0, 4)) == 0
    headers["content-type"] = draw(st.sampled_from((kind, kind, kind, *ODD_TYPES)))
    if draw(st.integers(0, 5)) == 0:
        headers[draw(st.sampled_from(("content-encoding", "transfer-encoding", "grpc-encoding")))] = "gzip"
    where = {"application/json": "/json", "application/x-www-form-urlencoded": "/form", "text/plain": "/digits"}
    plan["path"] = draw(st.sampled_from((where.get(kind, "/parts"), "/listed", "/open")))


def _around(draw: st.DrawFn, plan: Plan, headers: Plan) -> None:
    del headers
    plan["context"] = draw(st.sampled_from(CONTEXTS) | st.dictionaries(odd_text, odd_text, max_size=3))
    plan["metadata"] = draw(st.sampled_from(METADATA))
    plan["time"] = draw(st.sampled_from(((0, 0), (2**62, 0), (1, -1), (1, 2_000_000_000), (-(2**60), 0))))
    plan["path"] = draw(st.sampled_from(("/noted", "/tenant", "/users/alice", "/staff/x")))


_HOSTILE = {
    "path": _path,
    "host": _host,
    "method": _method,
    "authorization": _authorization,
    "possession": _possession,
    "cookie": _cookie,
    "certificate": _certificate,
    "header": _header,
    "body": _body,
    "around": _around,
}


def payload_of(plan: Plan) -> bytes:
    """The bytes of the Check."""
    return check_request(**plan)


tcp_payloads = st.builds(
    tcp_check_request,
    source_ip=st.sampled_from(("10.0.0.1", "10.0.0.2", "", "x")),
    principal=st.sampled_from(PRINCIPALS),
    sni=st.sampled_from(("", "app.example")),
)
valid_payloads = valid_plans().map(payload_of) | tcp_payloads
