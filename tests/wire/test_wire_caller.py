"""Who reads the answer, and in what form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire.answers import CALL, asked

from extauthz.errors import MalformedRequest
from extauthz.values.request import Caller, RequestView
from extauthz.wire.accept import ranges
from extauthz.wire.caller import NOBODY_KNOWN, Form, classify, guess, reader
from extauthz.wire.compose import check_request, tcp_check_request
from extauthz.wire.decode import decode
from extauthz.wire.jsonrpc import Calls

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
FORM = "application/x-www-form-urlencoded"
PREFLIGHT = {"origin": "https://a.example", "access-control-request-method": "PUT"}

CALLERS = [
    ("GET", {"sec-fetch-mode": "navigate", "accept": HTML}, Caller.NAVIGATION),
    ("HEAD", {"sec-fetch-mode": "navigate"}, Caller.NAVIGATION),
    ("GET", {"sec-fetch-mode": "navigate", "authorization": "Bearer x"}, Caller.NAVIGATION),
    ("POST", {"sec-fetch-mode": "navigate", "content-type": FORM}, Caller.FORM_POST),
    ("GET", {"sec-fetch-mode": "cors", "accept": HTML}, Caller.API),
    ("GET", {"sec-fetch-mode": "no-cors", "accept": HTML}, Caller.API),
    ("GET", {"sec-fetch-mode": "same-origin", "accept": "text/html"}, Caller.API),
    ("GET", {"sec-fetch-mode": "websocket", "accept": HTML}, Caller.API),
    ("GET", {"sec-fetch-mode": "", "accept": HTML}, Caller.API),
    ("POST", {"sec-fetch-mode": "cors", "content-type": FORM, "accept": HTML}, Caller.API),
    ("GET", {"accept": HTML}, Caller.NAVIGATION),
    ("GET", {"accept": "TEXT/HTML;q=0.9"}, Caller.NAVIGATION),
    ("GET", {"accept": ["application/json", "text/html"]}, Caller.NAVIGATION),
    ("GET", {"accept": HTML, "authorization": "Basic eA=="}, Caller.NAVIGATION),
    ("GET", {"accept": HTML, "authorization": "Bearer x"}, Caller.API),
    ("GET", {"accept": HTML, "authorization": "bearer x"}, Caller.API),
    ("GET", {"accept": HTML, "authorization": "DPoP x"}, Caller.API),
    ("HEAD", {"accept": HTML}, Caller.API),
    ("GET", {"accept": "*/*"}, Caller.API),
    ("GET", {"accept": "text/html-x"}, Caller.API),
    ("GET", {"accept": "text/plain;x=text/html"}, Caller.API),
    ("GET", {"accept": "text/*"}, Caller.API),
    ("GET", {"accept": "text/html;q=0"}, Caller.API),
    ("GET", {"accept": "text/html;q=0.5, application/json"}, Caller.API),
    ("GET", {"accept": "text/html;q=0.5, application/json;q=0.4"}, Caller.NAVIGATION),
    ("GET", {"accept": 'x/y;z=", text/html,"'}, Caller.API),
    ("GET", {}, Caller.API),
    ("POST", {"accept": HTML, "content-type": FORM}, Caller.FORM_POST),
    ("POST", {"accept": HTML, "content-type": "multipart/form-data; boundary=x"}, Caller.FORM_POST),
    ("POST", {"accept": HTML, "content-type": "text/plain"}, Caller.FORM_POST),
    ("POST", {"accept": HTML, "content-type": "application/json"}, Caller.API),
    ("POST", {"accept": "*/*", "content-type": FORM}, Caller.API),
    ("POST", {"accept": HTML, "content-type": FORM, "authorization": "Bearer x"}, Caller.API),
    ("POST", {"content-type": "application/grpc"}, Caller.GRPC),
    ("POST", {"content-type": "application/grpc+proto"}, Caller.GRPC),
    ("POST", {"content-type": "Application/GRPC; x=y"}, Caller.GRPC),
    ("POST", {"content-type": "application/grpc-web+proto"}, Caller.GRPC),
    ("POST", {"content-type": "application/grpc-web-text"}, Caller.GRPC),
    ("POST", {"content-type": "application/grpcx"}, Caller.API),
    ("POST", {"content-type": "application/grpc", "sec-fetch-mode": "cors"}, Caller.GRPC),
    ("OPTIONS", PREFLIGHT, Caller.PREFLIGHT),
    ("OPTIONS", PREFLIGHT | {"sec-fetch-mode": "cors", "accept": HTML}, Caller.PREFLIGHT),
    ("OPTIONS", PREFLIGHT | {"sec-fetch-mode": "navigate"}, Caller.PREFLIGHT),
    ("OPTIONS", {"origin": "https://a.example"}, Caller.API),
    ("OPTIONS", {"access-control-request-method": "PUT"}, Caller.API),
    ("PUT", PREFLIGHT, Caller.API),
    ("DELETE", {"accept": HTML}, Caller.API),
]


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(("method", "headers", "caller"), CALLERS)
def test_the_form_of_the_answer_follows_the_caller(
    *, method: str, headers: dict[str, str | list[str]], caller: Caller, raw: bool
) -> None:
    assert classify(decode(check_request(host="a.example", method=method, headers=headers, raw_headers=raw))) is caller


def test_a_check_without_http_is_a_tcp_caller() -> None:
    assert classify(decode(tcp_check_request())) is Caller.TCP
    assert classify(RequestView()) is Caller.TCP


ACCEPTED = [
    (None, Form.PROBLEM),
    ("", Form.PROBLEM),
    ("*/*", Form.PROBLEM),
    ("application/json", Form.PROBLEM),
    ("application/problem+json, text/html;q=0.9", Form.PROBLEM),
    ("application/json, text/plain, */*", Form.PROBLEM),
    ("application/json;q=0.2, text/plain;q=0.3", Form.TEXT),
    ("application/*;q=0.2, text/*;q=0.3", Form.TEXT),
    ("text/plain", Form.TEXT),
    ("TEXT/PLAIN ; charset=utf-8 ; Q=0.001", Form.TEXT),
    ("text/plain;q=0", Form.PROBLEM),
    ("text/*", Form.TEXT),
    ("text/*, text/plain;q=0", Form.PAGE),
    ("*/*, application/json;q=0", Form.TEXT),
    ("*/*;q=0.1, text/html;q=0.2", Form.PAGE),
    ("text/html, application/json", Form.PROBLEM),
    ("text/html", Form.PAGE),
    ("image/png", Form.PROBLEM),
    ("text/event-stream", Form.PROBLEM),
    # What is malformed names nothing.
    ("text/plain;q=2", Form.PROBLEM),
    ("text/plain;q=0.0001", Form.PROBLEM),
    ("text/plain;q=", Form.PROBLEM),
    ("text / plain", Form.PROBLEM),
    ("plain", Form.PROBLEM),
    ('text/plain;a="', Form.TEXT),
    ('text/plain;a=",text/html;q=0,", */*;q=0.5', Form.TEXT),
    ('text/plain;a="\\", text/html', Form.TEXT),
    ("text/plain;q=0.3, text/plain;q=0.9, text/html;q=0.5", Form.TEXT),
]


@pytest.mark.parametrize(("accepted", "form"), ACCEPTED)
def test_a_program_gets_what_it_accepts_most(accepted: str | None, form: Form) -> None:
    headers = {} if accepted is None else {"accept": accepted}
    assert reader(asked({**headers, "sec-fetch-mode": "cors"})).form is form


@pytest.mark.parametrize(
    ("accepted", "form"), [(None, Form.PAGE), ("*/*", Form.PAGE), (HTML, Form.PAGE), ("application/json", Form.PROBLEM)]
)
def test_a_person_gets_a_page_unless_it_is_not_accepted(accepted: str | None, form: Form) -> None:
    headers = {} if accepted is None else {"accept": accepted}
    assert reader(asked({**headers, "sec-fetch-mode": "navigate"})).form is form


def test_lines_of_accept_are_one_list() -> None:
    assert reader(asked({"accept": ["application/json;q=0.1", "text/plain;q=0.2"]})).form is Form.TEXT


@pytest.mark.parametrize(
    "hostile", ['"\\"' * 15_000, "," * 60_000, ";q=" * 20_000, "a/b;" + " " * 60_000, '"' * 60_000]
)
def test_accept_is_read_in_linear_time(hostile: str) -> None:
    """A quadratic reading of these would be stopped by the timeout of the test."""
    for _ in range(20):
        assert ranges(hostile).keys() <= {"a/b"}


REFUSED: list[tuple[dict[str, str | list[str]], Caller, Form]] = [
    ({"content-type": "application/grpc+proto"}, Caller.GRPC, Form.GRPC),
    ({"content-type": "application/grpc-web-text"}, Caller.GRPC, Form.GRPC_WEB),
    ({"content-type": "application/json", "connect-protocol-version": "1"}, Caller.API, Form.CONNECT),
    ({"sec-fetch-mode": "navigate", "accept": HTML}, Caller.NAVIGATION, Form.PAGE),
    ({"accept": HTML}, Caller.NAVIGATION, Form.PAGE),
    ({"accept": "text/plain"}, Caller.API, Form.TEXT),
    ({"content-type": "application/json"}, Caller.API, Form.PROBLEM),
    ({"content-type": ["application/grpc", "application/grpc"]}, Caller.API, Form.PROBLEM),
    ({}, Caller.API, Form.PROBLEM),
]


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(("headers", "caller", "form"), REFUSED)
def test_a_check_that_can_not_be_read_is_answered_in_the_callers_form_too(
    *, headers: dict[str, str | list[str]], caller: Caller, form: Form, raw: bool
) -> None:
    """A person who follows a malformed link sees a page."""
    payload = check_request(host="a.example", path="//", headers=headers, raw_headers=raw)
    with pytest.raises(MalformedRequest):
        decode(payload)
    known = guess(payload)
    assert (known.caller, known.form) == (caller, form)


MARKS = [
    {"x-grpc-web": "1", "content-type": "application/grpc"},
    {"connect-protocol-version": "1"},
    {"accept": ["text/plain", "text/html;q=0.5"]},
]


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(
    ("method", "headers"),
    [
        *((method, headers) for method, headers, _ in CALLERS),
        *(("GET", headers) for headers, *_ in REFUSED if not isinstance(headers.get("content-type"), list)),
        *(("POST", headers) for headers in MARKS),
    ],
)
def test_who_reads_is_known_alike_whether_a_check_can_be_read_or_not(
    *, method: str, headers: dict[str, str | list[str]], raw: bool
) -> None:
    asked = check_request(host="a.example", path="/", method=method, headers=headers | {"x-b": "c"}, raw_headers=raw)
    assert guess(asked) is reader(decode(asked))


def test_a_json_rpc_call_that_can_not_be_read_keeps_its_id() -> None:
    payload = check_request(
        host="a.example", path="//", method="POST", headers={"content-type": "application/json"}, body=CALL
    )
    assert guess(payload).calls == Calls(ids=(7,), batch=False)


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\n\x00"])
def test_what_is_no_check_gets_a_problem_document(payload: bytes) -> None:
    assert guess(payload) == NOBODY_KNOWN


@given(st.binary(max_size=60))
def test_any_bytes_have_a_reader(payload: bytes) -> None:
    assert guess(payload).form in Form


@given(
    st.sampled_from(["GET", "POST", "OPTIONS"]),
    st.dictionaries(
        st.sampled_from(["accept", "content-type", "sec-fetch-mode", "origin", "authorization"]),
        st.text(alphabet="aTx/; ht\u00e9", max_size=9),
    ),
)
def test_any_headers_have_one_caller(method: str, headers: dict[str, str | list[str]]) -> None:
    assert classify(decode(check_request(host="a.example", method=method, headers=headers))) in Caller
