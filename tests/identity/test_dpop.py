"""Proofs of possession (RFC 9449): what a bound token is with one, and without."""

from typing import Any

import pytest
from identity.bound_tokens import CLIENT, IDP, THIEF, identify, outcome, resolver, sent
from identity.checks import build_request
from identity.issuer import ISSUER, NOW, Issuer
from identity.possession import URL, base64url

from extauthz.errors import InvalidCredential, MalformedRequest, StateUnavailable
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.dpop import LEEWAY, PROOF_SECONDS
from extauthz.identity.lookups import (
    Answer,
    Awaiting,
    Done,
    Introspect,
    Introspected,
    Unreachable,
    UsedBefore,
    UseProof,
)
from extauthz.identity.resolver import Resolver
from extauthz.values.identity import Identity


def test_a_bound_token_with_its_proof_is_the_user_and_the_key_a_holder(issuer: Issuer, token: str) -> None:
    found = identify(resolver(issuer), sent(token, CLIENT.proof(token, now=NOW)), answer=Done())
    assert isinstance(found, Identity)
    assert found.user is not None
    assert found.user.sub == "u1"
    assert f"dpop:{CLIENT.thumbprint}" in found.holders


def test_whether_a_proof_was_used_before_is_asked_when_all_else_holds(issuer: Issuer, token: str) -> None:
    users = resolver(issuer)
    awaiting = identify(users, sent(token, CLIENT.proof(token, now=NOW)))
    assert isinstance(awaiting, Awaiting)
    (question,) = awaiting.lookups
    assert isinstance(question, UseProof)
    assert (question.source, question.expires_at) == ("idp", NOW + PROOF_SECONDS + LEEWAY)
    for answer, expected in (
        (UsedBefore(), InvalidCredential),
        (Unreachable(detail="no store"), StateUnavailable),
        (Introspected(response={"active": True}, asked_at=NOW), StateUnavailable),
    ):
        assert identify(users, sent(token, CLIENT.proof(token, now=NOW)), answer=answer) is expected


def test_two_proofs_of_one_key_are_two_and_the_same_id_of_two_keys_is_two(issuer: Issuer, token: str) -> None:
    other = issuer.token(cnf={"jkt": THIEF.thumbprint})
    users = resolver(issuer)
    proofs = [
        (token, CLIENT.proof(token, now=NOW, jti="a")),
        (token, CLIENT.proof(token, now=NOW - 1, jti="a", htu=URL + "?x")),
        (token, CLIENT.proof(token, now=NOW, jti="b")),
        (other, THIEF.proof(other, now=NOW, jti="a")),
    ]
    ids = []
    for bound, proof in proofs:
        awaiting = identify(users, sent(bound, proof))
        assert isinstance(awaiting, Awaiting)
        (question,) = awaiting.lookups
        assert isinstance(question, UseProof)
        ids.append(question.id)
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_a_bound_token_is_never_a_bearer_token(issuer: Issuer, token: str) -> None:
    # RFC 9449 section 7.2
    proof = CLIENT.proof(token, now=NOW)
    users = resolver(issuer, {**IDP, "from": ["authorization", "cookie:session"]})
    assert outcome(users, sent(token, proof, "Bearer")) is InvalidCredential
    assert outcome(users, sent(token, None, "Bearer")) is InvalidCredential
    assert outcome(users, {"cookie": f"session={token}", "dpop": proof}) is InvalidCredential


def test_an_unbound_token_is_no_dpop_token(issuer: Issuer) -> None:
    unbound = issuer.token()
    users = resolver(issuer)
    assert outcome(users, sent(unbound, CLIENT.proof(unbound, now=NOW))) is InvalidCredential
    assert outcome(users, sent(unbound, None, "Bearer")) == "u1"
    assert outcome(users, sent(unbound, "nonsense", "Bearer")) == "u1", "whose proof nobody asked for"


def test_a_token_bound_to_key_and_certificate_needs_both(issuer: Issuer) -> None:
    settings = {"users": [IDP], "workload": {"xfcc": {"without_principal": True}}}
    users = Resolver(IdentitySettings.model_validate(settings), ClientSettings(), {"idp": issuer.jwks})
    both = issuer.token(cnf={"jkt": CLIENT.thumbprint, "x5t#S256": base64url(bytes.fromhex("ab" * 32))})
    with_key = sent(both, CLIENT.proof(both, now=NOW))
    certificate = {"x-forwarded-client-cert": f"Hash={'ab' * 32};URI=spiffe://prod.example.org/web"}
    assert outcome(users, with_key | certificate) == "u1"
    assert outcome(users, with_key) is InvalidCredential
    assert outcome(users, sent(both, None, "Bearer") | certificate) is InvalidCredential


@pytest.mark.parametrize("other", ["kid", "jwk", "x5t", "JKT"])
def test_a_binding_that_can_not_be_proven_here_refuses_the_token(issuer: Issuer, other: str) -> None:
    # RFC 7800 section 3.1: whoever does not understand a confirmation must not take the token for confirmed.
    settings = {"users": [IDP], "workload": {"xfcc": {"without_principal": True}}}
    users = Resolver(IdentitySettings.model_validate(settings), ClientSettings(), {"idp": issuer.jwks})
    certificate = {"x-forwarded-client-cert": f"Hash={'ab' * 32};URI=spiffe://prod.example.org/web"}
    key, thumbprint = {"jkt": CLIENT.thumbprint}, {"x5t#S256": base64url(bytes.fromhex("ab" * 32))}
    for bindings in (key, thumbprint, key | thumbprint):
        good, odd = issuer.token(cnf=bindings), issuer.token(cnf={**bindings, other: "x"})
        for bound, expected in ((good, "u1"), (odd, InvalidCredential)):
            proof = CLIENT.proof(bound, now=NOW)
            headers = sent(bound, proof) if "jkt" in bindings else sent(bound, None, "Bearer")
            assert outcome(users, headers | certificate) == expected


@pytest.mark.parametrize(
    ("mode", "scheme", "expected"),
    [
        ("off", "DPoP", None),  # another scheme, which is left to the application
        ("off", "Bearer", InvalidCredential),
        ("optional", "DPoP", "u1"),
        ("required", "DPoP", "u1"),
    ],
)
def test_what_becomes_of_a_bound_token(issuer: Issuer, token: str, mode: str, scheme: str, expected: object) -> None:
    headers = sent(token, CLIENT.proof(token, now=NOW), scheme)
    assert outcome(resolver(issuer, {**IDP, "dpop": mode}), headers) == expected


def test_where_proofs_are_required_no_bearer_token_counts(issuer: Issuer) -> None:
    headers = sent(issuer.token(), None, "Bearer")
    assert outcome(resolver(issuer, {**IDP, "dpop": "required"}), headers) is InvalidCredential
    for mode in ("off", "optional"):
        assert outcome(resolver(issuer, {**IDP, "dpop": mode}), headers) == "u1"


def test_each_issuer_says_for_itself_whether_proofs_are_looked_at(issuer: Issuer, token: str) -> None:
    other = {**IDP, "name": "other", "issuer": "https://other.example.com", "dpop": "off"}
    users = resolver(issuer, IDP, other)
    foreign = issuer.token(iss="https://other.example.com", cnf={"jkt": CLIENT.thumbprint})
    assert outcome(users, sent(token, CLIENT.proof(token, now=NOW))) == "u1"
    assert outcome(users, sent(foreign, CLIENT.proof(foreign, now=NOW))) is InvalidCredential


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("DPoP {token}", "u1"),
        ("dpop {token}", "u1"),
        ("DPOP   {token}", "u1"),
        ("DPoP", InvalidCredential),
        ("DPoP ", InvalidCredential),
        ("DPoP\t{token}", InvalidCredential),
        (" DPoP {token}", InvalidCredential),
        ("DPoP {token},DPoP {token}", InvalidCredential),
        ("DPoP {token}, Bearer {token}", MalformedRequest),
        ("Basic dTpw, DPoP {token}", MalformedRequest),
        ("Bearer x, DPoP {token}", InvalidCredential),
        ("DPoPx {token}", None),
    ],
)
def test_the_authorization_header_with_dpop(issuer: Issuer, token: str, value: str, expected: object) -> None:
    headers = {"authorization": value.format(token=token), "dpop": CLIENT.proof(token, now=NOW)}
    assert outcome(resolver(issuer), headers) == expected


def test_there_is_one_proof(issuer: Issuer, token: str) -> None:
    # RFC 9449 section 4.3 step 1
    proof = CLIENT.proof(token, now=NOW)
    assert outcome(resolver(issuer), sent(token, None)) is InvalidCredential
    assert outcome(resolver(issuer), sent(token, [proof, proof])) is MalformedRequest
    assert outcome(resolver(issuer), sent(token, f"{proof},{proof}")) is InvalidCredential


def test_an_introspected_token_may_be_bound_to_a_key(issuer: Issuer) -> None:
    # RFC 9449 section 6.2
    question = {"url": "https://idp.example.com/i", "client_id": "c", "client_secret_file": "s"}
    users = resolver(issuer, {"name": "asked", "issuer": ISSUER, "introspection": question})
    answer = Introspected(
        response={"active": True, "token_type": "DPoP", "sub": "u1", "cnf": {"jkt": CLIENT.thumbprint}}, asked_at=NOW
    )
    request = build_request(sent("opaque", CLIENT.proof("opaque", now=NOW)))
    answers: dict[Any, Answer] = {Introspect(source="asked", token="opaque"): answer}
    awaiting = users.identify(request, now=NOW, answers=answers)
    assert isinstance(awaiting, Awaiting)
    known = users.identify(request, now=NOW, answers=answers | dict.fromkeys(awaiting.lookups, Done()))
    assert isinstance(known, Identity)
    assert known.user is not None
    with pytest.raises(InvalidCredential):
        users.identify(build_request(sent("opaque", None, "Bearer")), now=NOW, answers=answers)
