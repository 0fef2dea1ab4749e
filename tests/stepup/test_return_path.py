"""Open redirects: what could be read as another place is not followed."""

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stepup.proofs import view

from extauthz.stepup.return_path import is_safe_return_path, return_path
from extauthz.values.request import Caller, RequestView

ELSEWHERE = [
    "",
    "evil.example",
    "//evil.example",
    "///evil.example",
    "////evil.example//",
    "/\\evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/ /evil.example",
    "/a\r\nset-cookie: x=y",
    "/\x00/evil.example",
    "https://evil.example/",
    "https:evil.example",
    "https:/evil.example",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,x",
    "%2f%2fevil.example",
    "/%2fevil.example",
    "/%2Fevil.example",
    "/%252fevil.example",
    "/%25252fevil.example",
    "/%5cevil.example",
    "/%5C%5Cevil.example",
    "/%09/evil.example",
    "/%0d%0aset-cookie:x",
    "/%00",
    "//user@evil.example",
    "//app.example.com@evil.example",
    "https://app.example.com@evil.example/",
    "/..//evil.example",
    "/a/../..//evil.example",
    "/./evil",
    "/a/..",
    "/%2e%2e/evil",
    "/a#b",
    "/ä",
    "/\u2028",
    "/a" * 1025,
    "/.extauthz/challenge?ticket=x",
    "/.extauthz",
    "/%2eextauthz/challenge",
    "/.%65xtauthz/challenge",
]

HERE = [
    "/",
    "/pay/a1",
    "/pay/a1/",
    "/pay?next=https://elsewhere.example//x",
    "/pay?a=%2f%2f&b=..%5c",
    "/a%20b"[:2] + "b",
    "/caf%C3%A9",
    "/@user",
    "/a:b",
    "/.well-known/x",
    "/.extauthz-docs",
    "/a..b",
    "/~x/$y,z;w=1",
]


@pytest.mark.parametrize("target", ELSEWHERE)
def test_open_redirects_are_not_followed(target: str) -> None:
    assert not is_safe_return_path(target)


@pytest.mark.parametrize("target", HERE)
def test_paths_on_this_origin_are(target: str) -> None:
    assert is_safe_return_path(target)


@given(st.text(alphabet="/\\.%25fFcCeE09aA:@?#\t\n ;=&x", max_size=24))
@example("/%2e/x")
def test_whatever_is_followed_stays_on_this_origin(target: str) -> None:
    if is_safe_return_path(target):
        there = urlsplit(urljoin("https://app.example.com/.extauthz/challenge", target))
        assert (there.scheme, there.netloc) == ("https", "app.example.com")
        assert not there.path.startswith("/.extauthz/")


def test_a_navigation_goes_where_it_was_going() -> None:
    assert return_path(view(), Caller.NAVIGATION) == "/pay/a1?amount=5"
    assert return_path(view(raw_query=""), Caller.NAVIGATION) == "/pay/a1"


@pytest.mark.parametrize("caller", [Caller.FORM_POST, Caller.API])
def test_what_can_not_be_repeated_goes_back_to_its_page(caller: Caller) -> None:
    def back(referer: str, method: str = "POST") -> str:
        return return_path(view(method=method, headers={"referer": (referer,)}), caller)

    assert back("https://app.example.com/form?x=1") == "/form?x=1"
    assert back("https://APP.example.com/form") == "/form"
    for referer in (
        "https://evil.example/form",
        "https://app.example.com:8443/form",
        "https://app.example.com@evil.example/form",
        "http://app.example.com/form",
        "https://app.example.com//evil.example/",
        "https://app.example.com",
        "https://[",
        "about:blank",
        "",
    ):
        assert back(referer) == "/"
    assert return_path(view(method="POST"), caller) == "/"


def test_a_navigation_that_posts_is_not_repeated_as_get() -> None:
    assert return_path(view(method="POST"), Caller.NAVIGATION) == "/"


def test_a_target_that_is_not_safe_leads_home() -> None:
    assert return_path(view(raw_path="//evil.example"), Caller.NAVIGATION) == "/"
    assert return_path(RequestView(), Caller.TCP) == "/"
