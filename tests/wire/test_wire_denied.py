"""Denials that are told again and again: what is remembered of one serves no other."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.errors import OAuthError
from extauthz.values.decisions import Deny
from extauthz.values.request import RequestView
from extauthz.values.schemes import NO_SCHEMES, Schemes
from extauthz.wire import denied as denials
from extauthz.wire.authenticate import sent_scheme
from extauthz.wire.caller import reader
from extauthz.wire.compose import check_request
from extauthz.wire.decode import decode
from extauthz.wire.denied import refused
from extauthz.wire.encode import say
from extauthz.wire.sayable import sayable

BROWSER = {"sec-fetch-mode": "navigate", "accept": "text/html"}
CALLERS: tuple[dict[str, str], ...] = (
    {},
    {"accept": "application/json"},
    {"accept": "text/plain"},
    BROWSER,
    {"content-type": "application/grpc"},
    {"content-type": "application/grpc-web+proto"},
    {"connect-protocol-version": "1"},
    {"authorization": "Bearer x"},
    {"authorization": "DPoP x"},
    {"authorization": "DPoP x", "content-type": "application/grpc"},
)
REQUESTS = [decode(check_request(method="GET", host="a.example", path="/", headers=headers)) for headers in CALLERS]
RPC = decode(
    check_request(
        method="POST",
        host="a.example",
        path="/",
        headers={"content-type": "application/json", "x-envoy-auth-partial-body": "false"},
        body=b'{"jsonrpc": "2.0", "id": 1, "method": "m"}',
    )
)
REVISION = "sha256:0"
SCHEMES = [NO_SCHEMES, Schemes(bearer=True), Schemes(bearer=True, proof_algorithms=("ES256",))]
ERRORS: list[OAuthError | None] = [None, "invalid_token"]
IDS = ["abcdef0123456789-1ff", "0123456789abcdef-200", "q" * 20, "z" * 20, "q", "1", "a-b", 'a"b', "a<b", "a%b", "é-1"]
DENIALS = st.builds(
    Deny,
    reason=st.sampled_from(["no-rule-allows", "malformed-path", "overloaded", "frozen", "q" * 20, "z", "\ud800"]),
    rule=st.sampled_from([None, "p/a", "p/" + "q" * 20, "\ud800"]),
    status=st.sampled_from([400, 401, 403, 404, 302, 204, 503, 1000]),
    oauth_error=st.sampled_from(ERRORS),
    headers=st.sampled_from([{}, {}, {}, {"x-a": "b"}]),
    body=st.sampled_from(["", "", "", "no"]),
    retry_after=st.sampled_from([None, None, None, 3.5]),
)


def plainly(decision: Deny, request: RequestView, id_: str, revision: str, schemes: Schemes) -> bytes:
    said = sayable(decision)
    assert isinstance(said, Deny)
    return refused(said, reader(request), id_, revision, None, schemes, sent_scheme(request))


def told(decision: Deny, request: RequestView, id_: str, revision: str, schemes: Schemes) -> bytes:
    payload, _ = say(
        decision, request=request, decision_id=id_, revision=revision, settable=frozenset(), schemes=schemes
    )
    return payload


@given(
    decisions=st.lists(DENIALS, min_size=1, max_size=3),
    asked=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from([*REQUESTS, RPC]),
            st.sampled_from(IDS),
            st.sampled_from([REVISION, "sha256:1"]),
            st.sampled_from(SCHEMES),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_whatever_was_told_before_a_denial_is_told_as_it_would_be_without(
    decisions: list[Deny], asked: list[tuple[int, RequestView, str, str, Schemes]]
) -> None:
    for number, request, id_, revision, schemes in asked:
        decision = decisions[number % len(decisions)]
        assert told(decision, request, id_, revision, schemes) == plainly(decision, request, id_, revision, schemes)


DENIED = [
    Deny(reason="no-rule-allows"),
    Deny(reason="no-rule-allows", status=401),
    Deny(reason="no-rule-allows", status=401, oauth_error="invalid_token"),
    Deny(reason="no-rule-allows", rule="p/a"),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_after_a_denial_one_that_differs_in_anything_is_told_as_what_it_is(request_: RequestView) -> None:
    ways = [*product(DENIED, [request_, REQUESTS[0]], IDS[:3], [REVISION, "sha256:1"], SCHEMES)]
    for first in ways[::5]:
        for way in ways:
            told(*first)
            assert told(*way) == plainly(*way)


def test_of_many_denials_that_come_again_each_is_told_as_what_it_is() -> None:
    # More than are remembered, so that some have the place of others.
    many = [Deny(reason="frozen", rule=f"p/{number}") for number in range(100)]
    many += [Deny(reason=f"r-{number}", rule="p/a") for number in range(100)]
    for request in (*REQUESTS, *REQUESTS):
        for denied in many:
            way = denied, request, IDS[0], REVISION, NO_SCHEMES
            assert told(*way) == plainly(*way)


@pytest.mark.parametrize("id_", IDS)
def test_an_id_is_told_as_each_form_has_to_tell_it(id_: str) -> None:
    for request in REQUESTS:
        for denied in DENIED:
            way = denied, request, id_, REVISION, NO_SCHEMES
            assert told(*way) == plainly(*way)


def test_what_is_told_again_is_not_made_again() -> None:
    for request in (REQUESTS[0], REQUESTS[3], REQUESTS[4]):
        told(DENIED[0], request, IDS[0], REVISION, NO_SCHEMES)
    kept = [id(one) for one in denials._DENIALS if one is not None]
    for request in (REQUESTS[0], REQUESTS[3], REQUESTS[4]):
        told(DENIED[0], request, IDS[1], REVISION, NO_SCHEMES)
    assert [id(one) for one in denials._DENIALS if one is not None] == kept


def test_words_of_a_rule_and_of_a_request_are_not_kept() -> None:
    before = [*denials._DENIALS]
    for denied in (
        Deny(reason="secret", body="s3cret"),
        Deny(reason="secret", headers={"x-a": "s3cret"}),
        Deny(reason="secret", retry_after=7),
    ):
        told(denied, REQUESTS[0], IDS[0], REVISION, NO_SCHEMES)
    told(Deny(reason="secret"), RPC, IDS[0], REVISION, NO_SCHEMES)
    assert before == denials._DENIALS
