"""Headers by their names: one reading, in whichever form they came."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.cel import EvalError
from extauthz.policy.views import HeaderTexts, header_texts
from extauthz.values.headers import OneLineEach

NAMES = st.sampled_from(["x-a", "x-b", "x_b", "cookie"])
KEYS: list[object] = ["x-a", "X-A", "x-b", "X_b", "Cookie", "x-c", "", None, 1, True, b"x-a", ("x-a",)]


def read(texts: Mapping[str, str], key: object) -> object:
    """What a key gives, or what it fails with."""
    try:
        return texts[key]  # type: ignore[index]  # a key of type dyn may be anything
    except (KeyError, EvalError) as error:
        return type(error), error.args


@given(headers=st.dictionaries(NAMES, st.text(max_size=3)), key=st.sampled_from(KEYS))
def test_headers_of_one_line_each_are_read_as_any_others(headers: dict[str, str], key: object) -> None:
    places = {name: place for place, name in enumerate(headers)}
    found = header_texts(OneLineEach(places, tuple(headers.values()), ()))
    plain = header_texts({name: (line,) for name, line in headers.items()})
    assert type(found) is not type(plain)
    assert read(found, key) == read(plain, key)
    assert (key in found) is (key in plain)
    assert (list(found), len(found), dict(found)) == (list(plain), len(plain), dict(plain))
    assert found == plain


def test_a_header_in_two_lines_is_no_text() -> None:
    texts = header_texts({"x-a": ("1", "2"), "x-b": ("1",)})
    assert isinstance(texts, HeaderTexts)
    assert texts["X-B"] == "1"
    with pytest.raises(EvalError, match="came 2 times"):
        texts["x-a"]


def test_no_form_shows_what_headers_say() -> None:
    for headers in (OneLineEach({"cookie": 0}, ("secret",), ()), {"cookie": ("secret",)}):
        assert "secret" not in repr(header_texts(headers))
