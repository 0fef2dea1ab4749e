"""What a proof is bound to: equal texts mean the same thing, one byte of difference another one."""

from itertools import combinations
from typing import Any

import pytest
from changing import replace
from hypothesis import given
from hypothesis import strategies as st
from stepup.proofs import alice, http, shop, view

from extauthz.cel.values import Duration, Timestamp, UInt
from extauthz.errors import Refused
from extauthz.stepup.binding import METHOD_OVERRIDES, NotBindable, bind
from extauthz.values.identity import Identity, User
from extauthz.values.request import RequestView

KEY = b"k" * 32

numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2**64 - 1).map(UInt) | st.floats(allow_nan=False)
keys = st.booleans() | st.integers(-5, 5) | st.text(max_size=5)
scalars = (
    st.none()
    | st.booleans()
    | numbers
    | st.text(max_size=9)
    | st.binary(max_size=9)
    | st.integers(-(10**9), 10**9).map(Timestamp)
    | st.integers(-(10**9), 10**9).map(Duration)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


def scoped(*scope: object, rule: str = "p/r", key: bytes = KEY) -> str:
    return bind("scope", rule=rule, scope=scope, request=view(), identity=alice(), key=key)


def exact(request: RequestView | None = None, identity: Identity | None = None, **changed: Any) -> str:
    arguments = {"rule": "p/r", "key": KEY, **changed}
    return bind("request", request=request or view(), identity=identity or alice(), **arguments)


def typed(value: object) -> object:
    """A value that is equal to another one only if CEL would not tell them apart by type or content."""
    if isinstance(value, dict):
        return ("map", frozenset((typed(name), typed(item)) for name, item in value.items()))
    if isinstance(value, list):
        return ("list", tuple(typed(item) for item in value))
    return (type(value).__name__, value)


@given(st.lists(values, max_size=3), st.lists(values, max_size=3))
def test_two_scopes_have_one_binding_only_if_they_are_equal_in_type_and_content(
    first: list[object], second: list[object]
) -> None:
    assert (scoped(*first) == scoped(*second)) == (typed(first) == typed(second))


@given(st.dictionaries(keys, scalars, min_size=2, max_size=5))
def test_the_order_of_a_map_is_irrelevant(value: dict[object, object]) -> None:
    assert scoped(value) == scoped(dict(reversed(value.items())))


@pytest.mark.parametrize(
    ("one", "other"),
    list(combinations([1, UInt(1), 1.0, "1", b"1", True, [1], {"1": 1}, Timestamp(1), Duration(1), None], 2)),
)
def test_values_of_different_types_are_different(one: object, other: object) -> None:
    assert scoped(one) != scoped(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        (("a",), ("a", "")),
        ((["a", "b"],), ("a", "b")),
        ((["a"], ["b"]), (["a", "b"], [])),
        (({"a": "b"},), (["a", "b"],)),
        (({"a": 1, "b": 2},), ({"a": 2, "b": 1},)),
        ((), ([],)),
    ],
)
def test_no_value_runs_into_the_next(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    assert scoped(*one) != scoped(*other)


def test_zero_and_minus_zero_are_one_number() -> None:
    assert scoped(0.0) == scoped(-0.0)


def test_a_scope_shows_nothing_of_its_values_and_hangs_on_rule_and_key() -> None:
    text = scoped("acc-7")
    assert "acc-7" not in text
    assert len({text, scoped("acc-7", rule="p/s"), scoped("acc-7", key=b"l" * 32)}) == 3


@pytest.mark.parametrize("value", [float("nan"), object(), [float("nan")], {"a": object()}, {1, 2}])
def test_what_can_not_be_compared_can_not_be_bound(value: object) -> None:
    with pytest.raises(NotBindable):
        scoped(value)


def test_a_value_that_is_nested_without_end_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(NotBindable):
        scoped(value)


def test_not_bindable_is_a_refusal() -> None:
    assert issubclass(NotBindable, Refused)


def test_session_and_action_are_plain() -> None:
    def plain(kind: Any, rule: str) -> str:
        return bind(kind, rule=rule, request=view(), identity=alice(), key=KEY)

    assert plain("session", "p/r") == plain("session", "p/s") == "session"
    assert plain("action", "p/r") == "action:p/r"
    assert plain("action", "p/s") != plain("action", "p/r")


BASE = {"content-type": ("application/json",)}

CHANGES: dict[str, dict[str, object]] = {
    "method": {"method": "POST"},
    "scheme": {"scheme": "http"},
    "host": {"authority": "app.example.con"},
    "port": {"authority": "app.example.com:8443"},
    "path": {"raw_path": "/pay/a2"},
    "a mark without a query": {"has_query": True},
    "path spelled otherwise": {"raw_path": "/pay/%611"},
    "query": {"raw_query": "amount=6"},
    "path into query": {"raw_path": "/pay/a", "raw_query": "1amount=5"},
    "body": {"body": b" "},
    "content type": {"headers": {"content-type": ("application/xml",)}},
    "content type twice": {"headers": {"content-type": ("application/json", "application/json")}},
    "content encoding": {"headers": {**BASE, "content-encoding": ("gzip",)}},
    **{f"{name} header": {"headers": {**BASE, name: ("PUT",)}} for name in METHOD_OVERRIDES},
    "chosen header": {"headers": {**BASE, "x-tier": ("gold",)}},
    "empty chosen header": {"headers": {**BASE, "x-tier": ("",)}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_request_changed_by_one_byte_has_another_binding(change: dict[str, object]) -> None:
    before = exact(view(headers=BASE), headers=["x-tier"])
    assert before == exact(view(headers=BASE), headers=["x-tier"])
    assert before != exact(view(**{"headers": BASE, **change}), headers=["x-tier"])


@pytest.mark.parametrize(
    "identity",
    [
        alice(user=User(sub="bob", iss="https://idp.example.com")),
        alice(user=User(sub="alice", iss="https://other.example.com")),
        alice(user=User(sub="alice", iss="https://idp.example.com", actor={"sub": "agent"})),
        alice(user=None),
        alice(workload=shop()),
    ],
)
def test_another_requester_has_another_binding(identity: Identity) -> None:
    assert exact(identity=identity) != exact()


def test_actors_differ_by_depth() -> None:
    def acted(actor: dict[str, Any]) -> str:
        return exact(identity=alice(user=User(sub="alice", iss="https://idp.example.com", actor=actor)))

    assert acted({"sub": "a", "act": {"sub": "b"}}) != acted({"sub": "b", "act": {"sub": "a"}})
    assert acted({"sub": "a", "iss": "b"}) == acted({"iss": "b", "sub": "a"})


def test_other_headers_and_the_connection_are_no_part_of_it() -> None:
    request = view(headers={"x-extauthz-otp": ("123456",), "user-agent": ("x",)})
    assert exact(replace(request, time=(1, 1))) == exact()


def test_rule_and_key_are_part_of_it() -> None:
    assert len({exact(), exact(rule="p/s"), exact(key=b"l" * 32)}) == 3


def test_a_body_that_is_not_known_can_not_be_bound() -> None:
    with pytest.raises(NotBindable, match="body is not known"):
        exact(view(body=None))


def test_a_tcp_check_can_not_be_bound() -> None:
    with pytest.raises(NotBindable):
        exact(RequestView())


def test_header_values_that_are_no_text_are_bound_as_well() -> None:
    assert exact(view(headers={"content-type": ("\udcff",)})) != exact(view(headers={"content-type": ("\udcfe",)}))


def test_the_builder_of_these_tests_makes_known_bodies() -> None:
    assert http().body == b""
