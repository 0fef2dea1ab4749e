"""Service accounts of Kubernetes as workloads, by their projected tokens.

The rule: a token names one namespace and one account, in its subject and in the cluster's own claim alike, and it ends.
What the API server says of one (TokenReview, `authentication.k8s.io/v1`) counts only as an answer to what was asked.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from extauthz.errors import InvalidCredential
from extauthz.identity import spiffe
from extauthz.identity.compact import Unreadable, json_object
from extauthz.identity.lookups import Reviewed
from extauthz.values.identity import Workload

API_VERSION: Final = "authentication.k8s.io/v1"
KIND: Final = "TokenReview"
CLAIM: Final = "kubernetes.io"

# A namespace is an RFC 1123 label, the name of an account an RFC 1123 subdomain.
_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_SUBJECT = re.compile(rf"system:serviceaccount:({_LABEL}):((?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*)")


def workload(claims: Mapping[str, Any], *, trust_domain: str, verified_by: str) -> Workload:
    """The workload `spiffe://<trust_domain>/ns/<namespace>/sa/<name>` that these claims name.

    Raises `InvalidCredential` for claims that are not those of a token that is bound to a service account.
    """
    subject = claims.get("sub")
    match = _SUBJECT.fullmatch(subject) if isinstance(subject, str) else None
    if match is None:
        raise InvalidCredential("token: `sub` is no service account")
    namespace, name = match.groups()
    match claims.get(CLAIM):
        case {"namespace": str(stated), "serviceaccount": {"name": str(account)}}:
            if (stated, account) != (namespace, name):
                raise InvalidCredential(f"token: `sub` and `{CLAIM}` name two service accounts")
        case _:
            raise InvalidCredential(
                f"token: no `{CLAIM}`; only tokens that are bound to a service account are accepted"
            )
    known = spiffe.parse(f"spiffe://{trust_domain}/ns/{namespace}/sa/{name}", verified_by=verified_by)
    assert known is not None  # noqa: S101 - both names are of letters that a segment may have
    return known


def read_review(document: str) -> Reviewed:
    """What the API server says in a TokenReview. Raises `Unreadable` for what is none.

    A missing field has its zero value, as Kubernetes writes its objects.
    """
    review = json_object(document)
    status = review.get("status")
    if review.get("apiVersion") != API_VERSION or review.get("kind") != KIND or not isinstance(status, dict):
        raise Unreadable(f"no {KIND} of {API_VERSION}")
    match status.get("user", {}):
        case {"username": str(username)}:
            pass
        case dict():
            username = ""
        case _:
            raise Unreadable("`status.user` is no object")
    authenticated, audiences = status.get("authenticated", False), status.get("audiences", [])
    if not isinstance(authenticated, bool):
        raise Unreadable("`status.authenticated` is not true or false")
    if not isinstance(audiences, list) or not all(isinstance(audience, str) for audience in audiences):
        raise Unreadable("`status.audiences` is no list of texts")
    return Reviewed(authenticated=authenticated, username=username, audiences=tuple(audiences))
