"""Service accounts of Kubernetes: by the cluster's keys, and by what its API server says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity.issuer import AUDIENCE as SHOP
from identity.issuer import ISSUER, NOW, Issuer
from identity.workload_tokens import (
    ACCOUNTS,
    ADMIN,
    AUDIENCE,
    BUNDLE_NAME,
    CLUSTER,
    DOMAIN,
    HEADER,
    SVIDS,
    WEB,
    account_token,
    bearer,
    bundle,
    known,
    resolver,
    svid,
    user_of,
    workload_of,
)

from extauthz.errors import IdentityConflict, InvalidCredential, IssuerUnavailable
from extauthz.identity.compact import Unreadable
from extauthz.identity.lookups import Answers, Done, Reviewed, ReviewToken, Unreachable
from extauthz.identity.resolver import Resolver
from extauthz.identity.service_accounts import read_review, workload
from extauthz.identity.workload_token_config import KUBERNETES

IDP: dict[str, Any] = {"name": "idp", "issuer": ISSUER, "audiences": [SHOP, AUDIENCE], "jwks": "jwks.json"}
REVIEWED: dict[str, Any] = {
    **ACCOUNTS,
    "kubernetes": {
        "trust_domain": DOMAIN,
        "issuer": CLUSTER,
        "audiences": [AUDIENCE, "other"],
        "token_review": "https://kubernetes.default.svc",
        "token": "token",
        "remember": "10s",
        "from": ["authorization", f"header:{HEADER}"],
    },
}
SUBJECT = "system:serviceaccount:shop:web"


@pytest.fixture(scope="module")
def here(issuer: Issuer) -> Resolver:
    return resolver(ACCOUNTS, {KUBERNETES: issuer.jwks})


def test_a_projected_token_is_the_workload_of_its_account(here: Resolver, issuer: Issuer) -> None:
    for headers in (bearer(account_token(issuer)), {HEADER: account_token(issuer, "ec")}):
        for _ in range(2):
            assert workload_of(known(here, headers)) == (WEB, "kubernetes")


def test_a_name_with_dots_is_one_segment(here: Resolver, issuer: Issuer) -> None:
    named: dict[str, Any] = {
        "sub": "system:serviceaccount:shop:web.v2",
        "kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": "web.v2"}},
    }
    token = account_token(issuer, **named)
    assert workload_of(known(here, bearer(token))) == (f"spiffe://{DOMAIN}/ns/shop/sa/web.v2", "kubernetes")


WRONG: list[dict[str, Any]] = [
    {"aud": None},
    {"aud": []},
    {"aud": [CLUSTER]},  # that of the API server itself: such a token must not be sent to anybody else
    {"exp": None},
    {"exp": int(NOW)},
    {"nbf": int(NOW) + 60},
    {"iat": int(NOW) + 60},
    {"iss": "https://kubernetes.default.svc"},
    {"iss": None},
    {"iss": f"{CLUSTER}/"},
    {"sub": None},
    {"sub": 1},
    {"sub": "system:node:node-1"},
    {"sub": "system:serviceaccount:shop"},
    {"sub": "system:serviceaccount:shop:"},
    {"sub": "system:serviceaccount::web"},
    {"sub": "system:serviceaccount:shop:web:more"},
    {"sub": "system:serviceaccount:shop/sa:web"},
    {"sub": "system:serviceaccount:..:web"},
    {"sub": "system:serviceaccount:shop:.."},
    {"sub": "system:serviceaccount:Shop:web"},
    {"sub": "system:serviceaccount:shop:admin"},  # and another in the cluster's own claim
    {"sub": "system:serviceaccount:pay:web"},
    {"sub": f"{SUBJECT}\n"},
    {"kubernetes.io": None},
    {"kubernetes.io": []},
    {"kubernetes.io": {"namespace": "shop"}},
    {"kubernetes.io": {"namespace": "shop", "serviceaccount": "web"}},
    {"kubernetes.io": {"namespace": 1, "serviceaccount": {"name": "web"}}},
    {"kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": ["web"]}}},
]


@pytest.mark.parametrize("claims", WRONG, ids=str)
def test_claims_that_are_missing_or_wrong_are_refused(here: Resolver, issuer: Issuer, claims: dict[str, Any]) -> None:
    assert known(here, bearer(account_token(issuer, **claims))) is InvalidCredential
    # The API server would not even be asked.
    assert known(resolver(REVIEWED, {}), bearer(account_token(issuer, **claims))) is InvalidCredential


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "HS256"}, {"typ": "at+jwt"}, {"kid": "x"}, {"crit": []}])
def test_a_header_that_is_wrong_is_refused(here: Resolver, issuer: Issuer, header: dict[str, Any]) -> None:
    assert known(here, bearer(account_token(issuer, header=header))) is InvalidCredential


def test_a_token_that_another_cluster_signed_is_refused(here: Resolver, issuer: Issuer) -> None:
    assert known(here, bearer(account_token(issuer, "stranger", header={"kid": "ec"}))) is InvalidCredential


@given(st.text(max_size=80) | st.from_regex(r"system:serviceaccount:[a-z.:-]{0,20}:[a-z./:-]{0,20}", fullmatch=True))
def test_no_subject_leads_to_another_path(subject: str) -> None:
    _, _, rest = subject.partition("system:serviceaccount:")
    namespace, _, name = rest.partition(":")
    claims = {"sub": subject, "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name}}}
    try:
        found = workload(claims, trust_domain=DOMAIN, verified_by="kubernetes")
    except InvalidCredential:
        return
    assert (found.namespace, found.service_account) == (namespace, name)
    assert found.path == f"/ns/{namespace}/sa/{name}"


# TokenReview


def review(username: str = SUBJECT, *audiences: str, authenticated: bool = True) -> Reviewed:
    return Reviewed(authenticated=authenticated, username=username, audiences=audiences or (AUDIENCE,))


def test_the_api_server_is_asked_about_a_token(issuer: Issuer) -> None:
    here, token = resolver(REVIEWED, {}), account_token(issuer)
    lookup = ReviewToken(source=KUBERNETES, token=token)
    assert known(here, bearer(token)) == (lookup,)
    assert token not in repr(lookup)
    assert workload_of(known(here, bearer(token), answers=vouched(lookup))) == (WEB, "token_review")


def vouched(lookup: ReviewToken) -> Answers:
    return {lookup: review()}


@pytest.mark.parametrize(
    "said",
    [
        review(authenticated=False),
        review("system:serviceaccount:shop:admin"),
        review("alice"),
        review(""),
        review(SUBJECT, CLUSTER),
        # it does not look at audiences, and says that this is a token for the API server itself
        Reviewed(authenticated=True, username=SUBJECT, audiences=()),
    ],
    ids=str,
)
def test_what_the_api_server_does_not_vouch_for_is_refused(issuer: Issuer, said: Reviewed) -> None:
    here, token = resolver(REVIEWED, {}), account_token(issuer)
    answers: Answers = {ReviewToken(source=KUBERNETES, token=token): said}
    assert known(here, bearer(token), answers=answers) is InvalidCredential
    assert known(here, bearer(token)) is InvalidCredential  # for a moment nobody is asked again
    assert known(here, bearer(token), now=NOW + 10) == tuple(answers)
    assert known(here, bearer(token), now=NOW - 0.1) == tuple(answers)


@pytest.mark.parametrize("said", [Unreachable(detail="gone"), Done()])
def test_an_api_server_that_does_not_answer_is_no_yes(issuer: Issuer, said: Unreachable | Done) -> None:
    here, token = resolver(REVIEWED, {}), account_token(issuer)
    answers: Answers = {ReviewToken(source=KUBERNETES, token=token): said}
    assert known(here, bearer(token), answers=answers) is IssuerUnavailable
    assert known(here, bearer(token)) == tuple(answers)  # and is not remembered


def test_an_answer_counts_for_a_moment_and_never_longer_than_the_token(issuer: Issuer) -> None:
    here = resolver(REVIEWED, {})
    for token, last in ((account_token(issuer), NOW + 10), (account_token(issuer, exp=int(NOW) + 5), NOW + 5)):
        lookup = ReviewToken(source=KUBERNETES, token=token)
        assert workload_of(known(here, bearer(token), answers=vouched(lookup))) == (WEB, "token_review")
        assert workload_of(known(here, bearer(token), now=last - 0.1)) == (WEB, "token_review")
        over = known(here, bearer(token), now=last)
        assert over == (lookup,) if last == NOW + 10 else over is InvalidCredential
        # A clock that was set back makes no answer last longer.
        assert known(here, bearer(token), now=NOW - 0.1) == (lookup,)


def test_an_answer_about_one_token_says_nothing_of_another(issuer: Issuer) -> None:
    here, one, other = resolver(REVIEWED, {}), account_token(issuer), account_token(issuer, jti="2")
    answers: Answers = {ReviewToken(source=KUBERNETES, token=one): review()}
    assert workload_of(known(here, bearer(one), answers=answers)) == (WEB, "token_review")
    assert known(here, bearer(other), answers=answers) == (ReviewToken(source=KUBERNETES, token=other),)


def test_the_api_server_is_never_shown_a_token_of_anybody_else(issuer: Issuer) -> None:
    here = resolver(REVIEWED, {"idp": issuer.jwks}, IDP)
    for token in (issuer.token(), issuer.token(sub=SUBJECT), svid(issuer), "opaque"):
        outcome = known(here, bearer(token))
        assert not isinstance(outcome, tuple)
        assert known(here, {HEADER: token}) is InvalidCredential


STATUS: dict[str, Any] = {
    "authenticated": True,
    "user": {"username": SUBJECT, "uid": "d2b3", "groups": ["system:serviceaccounts"], "extra": {"a": ["b"]}},
    "audiences": [AUDIENCE],
}


def document(**status: Any) -> str:
    members = {name: value for name, value in (STATUS | status).items() if value is not None}
    return json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": members})


def test_a_review_is_read_as_kubernetes_writes_it() -> None:
    assert read_review(document()) == review()
    # A missing field has its zero value.
    refused = read_review(document(authenticated=None, user={}, audiences=None, error="token expired"))
    assert refused == Reviewed(authenticated=False, username="", audiences=())
    assert read_review(document(user=None)).username == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        document().replace("TokenReview", "Status"),
        document().replace("/v1", "/v1beta1"),
        '{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}',
        document(authenticated="true"),
        document(authenticated=1),
        document(user=[]),
        document(audiences="extauthz"),
        document(audiences=[1]),
        document()[:-1] + ', "kind": "TokenReview"}',
    ],
)
def test_what_is_no_review_is_no_answer(text: str) -> None:
    with pytest.raises(Unreadable):
        read_review(text)


def test_a_username_that_is_no_text_is_nobodys() -> None:
    assert read_review(document(user={"username": 1})).username == ""


# Several sources


def test_an_account_and_a_certificate_must_agree(here: Resolver, issuer: Issuer) -> None:
    token = bearer(account_token(issuer))
    assert workload_of(known(here, token, principal=WEB)) == (WEB, "source_principal")
    assert known(here, token, principal=ADMIN) is IdentityConflict


def test_an_account_and_a_jwt_svid_must_agree(issuer: Issuer) -> None:
    blocks = {**SVIDS, **ACCOUNTS, "sources": ["jwt_svid", "kubernetes"]}
    both = resolver(blocks, {KUBERNETES: issuer.jwks, BUNDLE_NAME: bundle(issuer)})
    token = bearer(account_token(issuer))
    assert workload_of(known(both, {**token, HEADER: svid(issuer)})) == (WEB, "kubernetes")
    assert known(both, {**token, HEADER: svid(issuer, sub=ADMIN)}) is IdentityConflict
    assert workload_of(known(both, bearer(svid(issuer)))) == (WEB, "jwt_svid")


def test_users_and_accounts_share_the_header(issuer: Issuer) -> None:
    here = resolver(ACCOUNTS, {KUBERNETES: issuer.jwks, "idp": issuer.jwks}, IDP)
    by_user, by_account = known(here, bearer(issuer.token())), known(here, bearer(account_token(issuer)))
    assert (user_of(by_user), workload_of(by_user)) == ("u1", None)
    assert (user_of(by_account), workload_of(by_account)) == (None, (WEB, "kubernetes"))
