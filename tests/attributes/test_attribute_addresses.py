"""URLs with places: what stands in them, and what never does."""

from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.lookup.attributes.addresses import NoPlace, UrlTemplate

TEMPLATE = UrlTemplate.parse("https://crm.example.com/v1/users/{user}/profile?tenant={tenant}&v=2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://{host}/x", "scheme and host"),
        ("https://crm{host}/x", "scheme and host"),
        ("https://crm.example.com{path}", "scheme and host"),
        ("https://{user}@crm.example.com/", "without user"),
        ("https://crm.example.com:{port}/", "not a URL"),
        ("{scheme}://crm.example.com/", "https://"),
        ("http://crm.example.com/{user}", "loopback"),
        ("https://crm.example.com/{user}#x", "fragment"),
        ("https://crm.example.com/{user", "places"),
        ("https://crm.example.com/{}", "places"),
        ("https://crm.example.com/{a b}", "places"),
        ("file:///etc/{user}", "URL"),
    ],
)
def test_a_request_chooses_nothing_but_what_has_its_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UrlTemplate.parse(text)


@pytest.mark.parametrize(
    "value", ["", ".", "..", "a/b", "../x", "a\\b", "a%2Fb", "a;b", "a?b", "a#b", "a\nb", "a\x00", "\x7f"]
)
def test_no_segment_is_what_a_server_could_take_for_more_than_one(value: str) -> None:
    with pytest.raises(NoPlace, match=r"^`user` is no "):
        TEMPLATE.filled({"user": value, "tenant": "t1"})


@pytest.mark.parametrize("value", [None, 1.5, ["a"], {"a": 1}, "\ud800", "a\rb"])
def test_what_a_url_does_not_have_stands_in_none(value: object) -> None:
    with pytest.raises(NoPlace, match=r"^`tenant` is no text"):
        TEMPLATE.filled({"user": "u1", "tenant": value})


SEGMENTS = st.text(min_size=1).filter(lambda text: text.isprintable() and not set(text) & set("/\\%;?#"))
TEXTS = st.text().filter(str.isprintable)


@given(user=SEGMENTS.filter(lambda text: text not in (".", "..")), tenant=TEXTS)
def test_a_value_is_all_of_its_place_and_nothing_beside_it(user: str, tenant: str) -> None:
    written = TEMPLATE.filled({"user": user, "tenant": tenant})
    sent = httpx.URL(written)
    for url in (urlsplit(written), urlsplit(f"https://crm.example.com{sent.raw_path.decode()}")):
        assert url.netloc == "crm.example.com"
        assert [unquote(part) for part in url.path.split("/")] == ["", "v1", "users", user, "profile"]
        assert parse_qs(url.query, keep_blank_values=True) == {"tenant": [tenant], "v": ["2"]}


def test_whole_numbers_and_bools_are_written_as_cel_writes_them() -> None:
    assert UrlTemplate.parse("http://127.0.0.1/{a}?b={b}").filled({"a": 5, "b": True}) == "http://127.0.0.1/5?b=true"
