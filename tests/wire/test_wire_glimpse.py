"""What is seen of a request that can't be read: enough to find it, and nothing that is masked where it can be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.errors import MalformedRequest
from extauthz.values.request import Glimpse
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode
from extauthz.wire.glimpse import LONGEST, glimpse
from extauthz.wire.size import LARGEST_BESIDE


def seen(path: str, *, method: str = "GET") -> Glimpse:
    """What is seen of a Check that `decode` refuses."""
    check = check_request(method=method, host="Example.com", path=path, source_ip="203.0.113.9")
    with pytest.raises(MalformedRequest):
        decode(check)
    found = glimpse(check)
    assert found is not None
    return found


def test_it_is_what_was_sent() -> None:
    assert seen("//bad/%zz", method="PATCH") == Glimpse(
        id="", method="PATCH", host="Example.com", path="//bad/%zz", source_ip="203.0.113.9"
    )


@pytest.mark.parametrize("path", ["/a//b?code=s3cr3t", "/a/b;jsessionid=s3cr3t", "/a/b#access_token=s3cr3t"])
def test_it_ends_where_something_may_begin_that_nobody_is_to_read(path: str) -> None:
    assert seen(path).path in ("/a//b", "/a/b")


def test_it_is_short() -> None:
    assert seen("//" + "x" * 5_000).path == "//" + "x" * (LONGEST - 2)


def test_no_user_information_is_seen() -> None:
    check = check_request(host="alice:s3cr3t@example.com", path="https://alice:s3cr3t@example.com/pay")
    found = glimpse(check)
    assert found is not None
    assert (found.host, found.path) == ("example.com", "")


LARGE = check_request(host="example.com", path="//" + "x" * LARGEST_BESIDE)


@pytest.mark.parametrize("payload", [b"", b"\xff", b"no Check", LARGE])
def test_of_what_is_no_check_or_too_large_nothing_is_seen(payload: bytes) -> None:
    assert glimpse(payload) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_looked_at_without_an_error(payload: bytes) -> None:
    assert isinstance(glimpse(payload), Glimpse | None)
