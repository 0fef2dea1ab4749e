import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.errors import MalformedRequest
from extauthz.identity import cookies
from extauthz.values.identity import HOLDER_COOKIE

NAMES = frozenset({"session", HOLDER_COOKIE})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], {}),
        ([""], {}),
        (["session=a"], {"session": "a"}),
        (["a=b; session=a.b.c; c=d"], {"session": "a.b.c"}),
        (["a=b;session=a"], {"session": "a"}),
        (["\t session\t=\ta "], {"session": "a"}),
        (["session="], {"session": ""}),
        (["session=a=b=="], {"session": "a=b=="}),
        (['session="a"'], {"session": '"a"'}),
        # several fields are one list
        (["a=b", "session=a"], {"session": "a"}),
        ([f"session=a; {HOLDER_COOKIE}=b"], {"session": "a", HOLDER_COOKIE: "b"}),
        # names are case-sensitive and whole
        (["Session=a; xsession=b; session2=c; sess=d"], {}),
        # cookies of others may look as they like
        (["a; =; ;; b==; =session=x; {json: 1}; session=a"], {"session": "a"}),
        # only what HTTP calls white space is trimmed: this is another cookie, that any sibling domain may set
        ([f"\u2003{HOLDER_COOKIE}=a"], {}),
        ([f"\x0b{HOLDER_COOKIE}=a; \xa0session=b"], {}),
    ],
)
def test_cookies_are_read_as_sent(fields: list[str], expected: dict[str, str]) -> None:
    assert cookies.read(fields, NAMES) == expected


@pytest.mark.parametrize(
    "fields",
    [
        ["session=a; session=a"],
        ["session=a; session=b"],
        ["session=a", "session=b"],
        ["session=a; session =b"],
        ["session=a; session="],
        ["session"],
        ["session=a; session"],
        [f"{HOLDER_COOKIE}=a; {HOLDER_COOKIE}=b"],
    ],
)
def test_a_cookie_that_decides_and_comes_twice_is_refused(fields: list[str]) -> None:
    with pytest.raises(MalformedRequest):
        cookies.read(fields, NAMES)


@given(st.lists(st.text(max_size=60), max_size=3))
def test_any_cookie_header_is_read_or_refused(fields: list[str]) -> None:
    try:
        found = cookies.read(fields, NAMES)
    except MalformedRequest:
        return
    assert NAMES.issuperset(found)


@pytest.mark.parametrize(
    "field", ["a=1,session=x", "a=1, session=x", "a=1;b=2 ,\tsession = x", "session=a,session=b", "a=1,session;b=2"]
)
def test_a_cookie_that_envoy_has_joined_behind_a_comma_hides_nobody(field: str) -> None:
    """Without `encode_raw_headers` two `Cookie` lines arrive as one, with a comma between them."""
    with pytest.raises(MalformedRequest):
        cookies.read([field], NAMES)


def test_commas_in_cookies_of_others_are_theirs() -> None:
    assert cookies.read(["a=1,b=2; session=x; c=3,4"], NAMES) == {"session": "x"}
