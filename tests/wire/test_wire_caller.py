"""Who reads the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.values.request import Caller, RequestView
from extauthz.wire.caller import classify, guess
from extauthz.wire.compose import check_request, tcp_check_request
from extauthz.wire.decode import decode

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


@pytest.mark.parametrize("raw", [False, True])
def test_a_refused_check_of_a_grpc_client_is_still_known_as_such(*, raw: bool) -> None:
    def refused(headers: dict[str, str | list[str]]) -> bytes:
        return check_request(host="a.example", path="//", headers=headers, raw_headers=raw)

    assert guess(refused({"content-type": "application/grpc+proto"})) is Caller.GRPC
    assert guess(refused({"content-type": "application/json"})) is Caller.API
    assert guess(refused({})) is Caller.API
    assert guess(b"\xff") is Caller.API


@given(
    st.sampled_from(["GET", "POST", "OPTIONS"]),
    st.dictionaries(
        st.sampled_from(["accept", "content-type", "sec-fetch-mode", "origin", "authorization"]),
        st.text(alphabet="aTx/; ht\u00e9", max_size=9),
    ),
)
def test_any_headers_have_one_caller(method: str, headers: dict[str, str | list[str]]) -> None:
    assert classify(decode(check_request(host="a.example", method=method, headers=headers))) in Caller
