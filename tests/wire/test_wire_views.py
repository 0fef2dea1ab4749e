"""Views of a request are values."""

from typing import Any

import pytest
from changing import fields_of, replace
from compiled.installed import require_compiled

from extauthz.values.request import Glimpse, HttpRequest, Peer
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode

PAYLOAD = check_request(host="a.example", path="/in/secret-path?q=secret-query", headers={"cookie": "secret-cookie"})
VIEW = decode(PAYLOAD)
HTTP = VIEW.http or pytest.fail("it is a request")
VALUES = [
    VIEW,
    HTTP,
    Peer(ip="10.0.0.1", port=1, principal="spiffe://a.example/secret", certificate="secret"),
    Glimpse(id="1", method="GET", host="a.example", path="/secret-path", source_ip="10.0.0.1"),
]
each_value = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)


@each_value
def test_a_view_is_equal_to_what_says_the_same_and_to_nothing_else(value: Any) -> None:
    again = type(value)(**fields_of(value))
    assert again == value
    assert again is not value
    assert value not in [other for other in VALUES if other is not value]
    for name in fields_of(value):
        other = type(value)(**fields_of(value) | {name: another(getattr(value, name))})
        assert other != value, name


def another(value: object) -> object:
    """One of the same type that is not equal to it."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return f"{value}-"
        case Peer():
            return replace(value, port=value.port + 1)
        case (int(), int()):
            return 1, 2
        case tuple():
            return (*value, "more")
        case HttpRequest():
            return replace(value, id="another")
        case None:
            return b"another"
        case _:
            return {"another": ("one",)}


@each_value
def test_nobody_sees_what_a_request_holds_in_what_represents_it(value: Any) -> None:
    assert "secret" not in f"{value!r} {value} {[value]}"


@each_value
def test_nobody_changes_a_view(value: Any) -> None:
    require_compiled()
    for name in (*fields_of(value), "new"):
        with pytest.raises(AttributeError):
            setattr(value, name, getattr(value, name, None))
