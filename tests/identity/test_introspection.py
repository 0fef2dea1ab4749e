"""Opaque tokens: what becomes of their issuer's answer, and who is asked what."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity.checks import build_request
from identity.issuer import AUDIENCE, ISSUER, NOW, Issuer

from extauthz.errors import InvalidCredential, IssuerUnavailable
from extauthz.identity.claims import VerifiedToken
from extauthz.identity.compact import Unreadable
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.introspection import CACHED_REFUSALS, REFUSED_SECONDS, read_response
from extauthz.identity.lookups import Answer, Answers, Awaiting, Done, FetchKeys, Introspect, Introspected, Unreachable
from extauthz.identity.resolver import Resolver
from extauthz.identity.tokens import Verifier
from extauthz.values.identity import Identity

PLACE = "authorization"
TOKEN = "opaque-token.1~+/="
HASH = "ab" * 32
THUMBPRINT = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s"
OTHER = "https://other.example.com"

ACTIVE: dict[str, Any] = {
    "active": True,
    "token_type": "Bearer",
    "iss": ISSUER,
    "sub": "u1",
    "aud": [AUDIENCE],
    "exp": NOW + 600,
    "scope": "read",
}
ASKED: dict[str, Any] = {
    "name": "asked",
    "issuer": ISSUER,
    "from": [PLACE, "cookie:session"],
    "introspection": {
        "url": "https://idp.example.com/introspect",
        "client_id": "extauthz",
        "client_secret_file": "secret",
    },
}


def settings(
    *sources: Mapping[str, Any], cache: str = "30s", accept_clients: bool = False, **changes: Any
) -> IdentitySettings:
    block = {**ASKED["introspection"], "cache": cache, "accept_clients": accept_clients}
    asked = {**ASKED, **changes, "introspection": block}
    return IdentitySettings.model_validate({"users": [asked, *sources]})


def verifier(**changes: Any) -> Verifier:
    return Verifier(settings(**changes).users, {})


def response(**changes: object) -> Introspected:
    """The issuer's answer, changed; a change to `...` leaves a member out."""
    return Introspected(
        response={name: value for name, value in (ACTIVE | changes).items() if value is not ...}, asked_at=NOW
    )


QUESTION = Introspect(source="asked", token=TOKEN)


def told(tokens: Verifier, answer: Answer, *, token: str = TOKEN, place: str = PLACE, now: float = NOW) -> object:
    """What becomes of a token whose issuer gives this answer."""
    return tokens.verify(token, place=place, now=now, answers={Introspect(source="asked", token=token): answer})


def known(tokens: Verifier, answer: Answer, **more: Any) -> VerifiedToken:
    verified = told(tokens, answer, **more)
    assert isinstance(verified, VerifiedToken)
    return verified


def test_the_issuer_is_asked_and_its_answer_is_the_user() -> None:
    tokens = verifier(audiences=[AUDIENCE])
    assert tokens.verify(TOKEN, place=PLACE, now=NOW) == QUESTION
    user = known(tokens, response(groups=["dev"], sid="s", act={"sub": "agent"})).user
    assert (user.sub, user.iss, user.aud, user.groups, user.sid) == ("u1", ISSUER, (AUDIENCE,), ("dev",), "s")
    assert (user.verified_by, user.cookie, user.actor) == ("asked", False, {"sub": "agent"})
    assert user.claims["scope"] == "read"
    assert "active" not in user.claims
    assert known(tokens, response(), place="cookie:session").user.cookie


def test_the_question_shows_its_token_to_no_log() -> None:
    assert TOKEN not in repr(QUESTION)
    assert TOKEN not in str(Awaiting(lookups=(QUESTION,)))


REFUSED: list[dict[str, Any]] = [
    {"active": False},
    {"iss": OTHER},
    {"iss": None},
    {"sub": ...},
    {"sub": ""},
    {"sub": 1},
    {"aud": ...},
    {"aud": "other"},
    {"aud": None},
    {"exp": str(int(NOW))},
    {"exp": None},
    {"nbf": "now"},
    {"token_type": ...},
    {"token_type": None},
    {"token_type": "mac"},
    {"token_type": "N_A"},
    {"token_type": ["Bearer"]},
    {"token_type": "DPoP"},  # and bound to no key
    {"groups": "admins"},
    {"act": "agent"},
    {"cnf": {}},
    {"cnf": {"x5t#S256": "short"}},
    {"cnf": {"jkt": THUMBPRINT, "kid": "x"}},
]


@pytest.mark.parametrize("changes", REFUSED, ids=str)
def test_what_the_issuer_does_not_vouch_for_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidCredential):
        told(verifier(audiences=[AUDIENCE]), response(**changes))


@pytest.mark.parametrize("changes", [{"exp": NOW}, {"exp": NOW - 1}, {"nbf": NOW + 31}, {"iat": NOW + 31}], ids=str)
def test_the_time_of_an_active_token_is_looked_at(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidCredential):
        told(verifier(), response(**changes))


def test_issuer_audience_and_end_may_be_left_to_the_issuer() -> None:
    # RFC 7662 section 2.2: only `active` is required of it.
    user = known(verifier(), response(iss=..., aud=..., exp=...)).user
    assert (user.iss, user.aud, user.claims["iss"]) == (ISSUER, (), ISSUER)


def test_a_token_of_the_client_itself_counts_where_it_is_accepted() -> None:
    of_client = response(sub=..., client_id="agent")
    with pytest.raises(InvalidCredential):
        told(verifier(), of_client)
    accepting = verifier(accept_clients=True)
    assert known(accepting, of_client).user.sub == "agent"
    assert known(accepting, response(sub="u1", client_id="agent"), token="t2").user.sub == "u1"
    odd: tuple[dict[str, Any], ...] = ({"sub": ...}, {"sub": ..., "client_id": 1}, {"sub": None, "client_id": "agent"})
    for number, changes in enumerate(odd):
        with pytest.raises(InvalidCredential):
            told(accepting, response(**changes), token=f"odd-{number}")


@pytest.mark.parametrize("answer", [Unreachable(detail="timed out"), Done()])
def test_an_issuer_that_does_not_answer_is_never_a_yes(answer: Answer) -> None:
    tokens = verifier()
    with pytest.raises(IssuerUnavailable, match="introspection by `asked`"):
        told(tokens, answer)
    assert tokens.verify(TOKEN, place=PLACE, now=NOW) == QUESTION, "and it is asked again"


@pytest.mark.parametrize(
    "token",
    ["", "=", "a b", "a\tb", "tökén", "a,b", 'a"b', "a\r\nx: y", "a%b", "a=b", "\udc80", "a" * 16385, "a&token=b"],
)
def test_what_could_be_no_token_is_shown_to_nobody(token: str) -> None:
    with pytest.raises(InvalidCredential):
        verifier().verify(token, place=PLACE, now=NOW)


def test_an_answer_counts_for_as_long_as_configured() -> None:
    tokens = verifier(cache="30s")
    first = known(tokens, response())
    for now in (NOW, NOW + 29.9):
        assert tokens.verify(TOKEN, place=PLACE, now=now) is first
    for now in (NOW + 30, NOW - 1):
        assert tokens.verify(TOKEN, place=PLACE, now=now) == QUESTION
    assert isinstance(tokens.verify(TOKEN, place="cookie:session", now=NOW), Introspect), "another place, another token"


def test_an_answer_counts_from_when_it_was_asked_for() -> None:
    # Whoever shares a question that is on its way does not make its answer younger.
    tokens = verifier(cache="30s")
    known(tokens, response(), now=NOW + 1.5)
    assert tokens.verify(TOKEN, place=PLACE, now=NOW + 30) == QUESTION


def test_an_answer_never_outlives_the_token() -> None:
    tokens = verifier(cache="30s")
    known(tokens, response(exp=NOW + 5))
    assert isinstance(tokens.verify(TOKEN, place=PLACE, now=NOW + 4), VerifiedToken)
    with pytest.raises(InvalidCredential, match="`exp` is over"):
        tokens.verify(TOKEN, place=PLACE, now=NOW + 5)


def test_without_a_cache_every_request_asks() -> None:
    tokens = verifier(cache="0s")
    known(tokens, response())
    with pytest.raises(InvalidCredential):
        told(tokens, response(active=False))
    assert tokens.verify(TOKEN, place=PLACE, now=NOW) == QUESTION


def test_a_refusal_is_remembered_briefly() -> None:
    tokens = verifier(cache="30s")
    with pytest.raises(InvalidCredential):
        told(tokens, response(active=False))
    with pytest.raises(InvalidCredential, match="does not call it active"):
        tokens.verify(TOKEN, place=PLACE, now=NOW + REFUSED_SECONDS - 0.1)
    assert tokens.verify(TOKEN, place=PLACE, now=NOW + REFUSED_SECONDS) == QUESTION
    short = verifier(cache="2s")
    with pytest.raises(InvalidCredential):
        told(short, response(active=False))
    assert short.verify(TOKEN, place=PLACE, now=NOW + 2) == QUESTION


def test_a_clock_that_is_set_back_brings_no_answer_back_that_was_withdrawn() -> None:
    tokens = verifier(cache="30s")
    known(tokens, response())
    withdrawn = Introspected(response={"active": False}, asked_at=NOW + 30)
    with pytest.raises(InvalidCredential):
        told(tokens, withdrawn, now=NOW + 30)
    assert tokens.verify(TOKEN, place=PLACE, now=NOW + 1) == QUESTION


def test_made_up_tokens_do_not_drive_out_good_ones() -> None:
    tokens = verifier()
    good = known(tokens, response())
    for number in range(CACHED_REFUSALS + 10):
        with pytest.raises(InvalidCredential):
            told(tokens, response(active=False), token=f"t{number}")
    assert tokens.verify(TOKEN, place=PLACE, now=NOW) is good
    assert isinstance(tokens.verify("t0", place=PLACE, now=NOW), Introspect), "and their memory is bounded"


IDP: dict[str, Any] = {"name": "idp", "issuer": OTHER, "audiences": [AUDIENCE], "jwks": "jwks.json"}


def test_a_jwt_of_another_issuer_goes_to_its_own_verifier(issuer: Issuer) -> None:
    tokens = Verifier(settings(IDP).users, {"idp": issuer.jwks})
    verified = tokens.verify(issuer.token(iss=OTHER), place=PLACE, now=NOW)
    assert isinstance(verified, VerifiedToken)
    assert verified.user.verified_by == "idp"
    # one that is wrong is not tried elsewhere
    with pytest.raises(InvalidCredential):
        tokens.verify(issuer.token(iss=OTHER, aud="else"), place=PLACE, now=NOW)


def test_a_jwt_is_shown_to_no_issuer_but_its_own(issuer: Issuer) -> None:
    tokens = verifier()
    for own in (issuer.token(), issuer.token(iss=None)):
        assert tokens.verify(own, place=PLACE, now=NOW) == Introspect(source="asked", token=own)
    foreign: tuple[object, ...] = (OTHER, [ISSUER], 1, {"a": 1})
    for iss in foreign:
        with pytest.raises(InvalidCredential, match="`iss` is not of an issuer"):
            tokens.verify(issuer.token(iss=iss), place=PLACE, now=NOW)


def test_two_tokens_that_lack_something_are_asked_for_together() -> None:
    source = {**IDP, "jwks": "https://other.example.com/jwks", "from": ["cookie:jwt"]}
    resolver = Resolver(settings(source), ClientSettings(), {})
    jwt = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL290aGVyLmV4YW1wbGUuY29tIn0.AAAA"
    request = build_request({"authorization": f"Bearer {TOKEN}", "cookie": f"jwt={jwt}"})
    assert resolver.identify(request, now=NOW) == Awaiting(lookups=(QUESTION, FetchKeys(source="idp")))


def test_an_introspected_token_bound_to_a_certificate_counts_only_beside_it() -> None:
    # RFC 8705 section 3.2
    block = {"users": [ASKED], "workload": {"xfcc": {"without_principal": True}}}
    resolver = Resolver(IdentitySettings.model_validate(block), ClientSettings(), {})
    bearer = {"authorization": f"Bearer {TOKEN}"}
    mine = bearer | {"x-forwarded-client-cert": f"Hash={HASH};URI=spiffe://prod.example.org/web"}
    answers: Answers = {QUESTION: response(cnf={"x5t#S256": THUMBPRINT})}
    held = resolver.identify(build_request(mine), now=NOW, answers=answers)
    assert isinstance(held, Identity)
    assert held.user is not None
    others = (bearer, mine | {"x-forwarded-client-cert": mine["x-forwarded-client-cert"].replace("ab", "cd")})
    for headers in others:
        with pytest.raises(InvalidCredential):
            resolver.identify(build_request(headers), now=NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"true",
        b'{"active": "true"}',
        b'{"active": 1}',
        b'{"active": null}',
        b'{"active": true, "active": false}',
        b'{"active": false, "active": true}',
        b'{"active": true, "sub": "a", "sub": "b"}',
        b'{"active": true, "exp": NaN}',
        b'{"active": true} x',
        b'{"active": true',
        b'{"active": true, "x": ' + b"[" * 40 + b"]" * 40 + b"}",
        b'\xff{"active": true}',
    ],
)
def test_a_response_with_no_or_two_readings_is_none(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_response(body)


@given(
    members=st.dictionaries(
        st.sampled_from([*ACTIVE, "nbf", "iat", "cnf", "act"]), st.integers() | st.text("Bearer1", max_size=6)
    )
)
def test_no_token_counts_that_its_issuer_does_not_call_active(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidCredential):
        told(verifier(), Introspected(response={**ACTIVE, **members, "active": False}, asked_at=NOW))
