"""What an answer may hold, and what becomes of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz import cel
from extauthz.policy.attribute_values import Unfit, conform, declared_type

GOOD: list[tuple[str, Any, object]] = [
    ("bool", True, True),
    ("int", 5, 5),
    ("int", 5.0, 5),
    ("int", -(2**63), -(2**63)),
    ("uint", 5, cel.UInt(5)),
    ("uint", 5.0, cel.UInt(5)),
    ("double", 5, 5.0),
    ("double", 0.5, 0.5),
    ("string", "", ""),
    ("timestamp", "2026-11-21T10:00:00Z", cel.Timestamp(1795255200)),
    ("duration", "1h30m", cel.Duration(5400)),
    ("list(string)", ["a", "b"], ["a", "b"]),
    ("list(int)", [], []),
    ("map(string, list(int))", {"a": [1, 2.0]}, {"a": [1, 2]}),
    ("dyn", {"a": [1, None, "x"]}, {"a": [1, None, "x"]}),
]


@pytest.mark.parametrize(("kind", "value", "read"), GOOD)
def test_a_value_of_its_type_is_read(kind: str, value: object, read: object) -> None:
    found = conform({"f": value}, {"f": declared_type(kind)})
    assert found == {"f": read}
    assert type(found["f"]) is type(read)


BAD: list[tuple[str, Any]] = [
    ("bool", 1),
    ("bool", "true"),
    ("int", True),
    ("int", 5.5),
    ("int", 2.0**60),
    ("int", "5"),
    ("uint", -1),
    ("double", True),
    ("double", "0.5"),
    ("string", 5),
    ("string", ["a"]),
    ("timestamp", "yesterday"),
    ("timestamp", 1795255200),
    ("duration", "soon"),
    ("duration", 5),
    ("list(string)", "a"),
    ("list(string)", ["a", None]),
    ("list(string)", {"a": "b"}),
    ("map(string, int)", [["a", 1]]),
    ("map(string, int)", {"a": "1"}),
]


@pytest.mark.parametrize(("kind", "value"), BAD)
def test_a_value_of_another_type_makes_the_answer_unusable_and_is_not_quoted(kind: str, value: object) -> None:
    with pytest.raises(Unfit, match=r"^the field `f` is not of type `[a-zA-Z.(), ]+`$"):
        conform({"f": value, "g": "x"}, {"f": declared_type(kind), "g": cel.STRING})


@pytest.mark.parametrize("text", ["bytes", "user", "list(bytes)", "map(int, string)", "list(map(dyn, int))", "strin"])
def test_a_type_that_no_answer_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no type"):
        declared_type(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KINDS = st.sampled_from(["bool", "int", "double", "string", "timestamp", "list(string)", "map(string, dyn)", "dyn"])


@given(members=st.dictionaries(st.sampled_from("abcd"), JSON), kinds=st.dictionaries(st.sampled_from("abc"), KINDS))
def test_nothing_is_kept_that_is_not_declared_and_null_is_absent(
    members: dict[str, Any], kinds: dict[str, str]
) -> None:
    try:
        found = conform(members, {name: declared_type(kind) for name, kind in kinds.items()})
    except Unfit:
        return
    assert found.keys() == {name for name in kinds if members.get(name) is not None}
