"""First requests of connections are compared with one another, and read as if no other had come."""

from hypothesis import given
from hypothesis import strategies as st

from extauthz.values.headers import OneLineEach
from extauthz.wire import decode as decoding
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode

XFCC = "x-forwarded-client-cert"


def first(port: int, headers: dict[str, str], host: str = "a.example.com") -> bytes:
    return check_request(
        id=str(port),
        method="GET",
        host=host,
        path=f"/a{port}",
        headers=headers,
        source_ip="10.9.8.7",
        source_port=port,
        raw_headers=True,
        time=(1_790_000_000, 0),
    )


def caller(number: int) -> dict[str, str]:
    return {
        "accept": "*/*",
        "x-first-of-all": "1",
        "x-forwarded-for": f"192.0.2.{number}",
        XFCC: f"URI=spiffe://a/{number}",
    }


def test_the_first_request_of_a_connection_is_read_at_once_after_those_of_others() -> None:
    for number in range(1, 3 * decoding._EACH):
        http = decode(first(number, caller(number))).http
        assert http is not None
        headers = http.headers
        assert {name: lines[0] for name, lines in headers.items()} == caller(number)
    assert isinstance(headers, OneLineEach)
    assert headers.common is not None
    assert {headers.places[XFCC], headers.places["x-forwarded-for"]} <= headers.common.varying


@given(
    st.lists(
        st.tuples(
            st.dictionaries(
                st.sampled_from(["accept", "x-a", "x-b", "authorization", XFCC, "te"]),
                st.sampled_from(["", "a", "b", "c" * 200]),
            ),
            st.sampled_from(["a.example.com", "b.example.com"]),
        ),
        min_size=1,
        max_size=60,
    )
)
def test_a_first_request_is_read_as_if_no_other_had_come(requests: list[tuple[dict[str, str], str]]) -> None:
    for number, (headers, host) in enumerate(requests):
        decoding._connections.clear()
        http = decode(first(1024 + number, headers, host)).http
        assert http is not None
        assert {name: lines[0] for name, lines in http.headers.items()} == headers
        assert (http.host, http.path, http.id) == (host, f"/a{1024 + number}", str(1024 + number))
