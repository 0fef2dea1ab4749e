"""The API server of a cluster, as far as tokens of service accounts go: it makes them, publishes its keys, and reviews
tokens by the contract of `authentication.k8s.io/v1`, over HTTPS.

Rule kept here: it is as strict as the real one, so that a client that forgets something is told so.
"""

import json
import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from publishing import Page, Site

ISSUER = "https://kubernetes.default.svc.cluster.local"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
KEYS = "/openid/v1/jwks"
REVIEWER = ("authz", "extauthz")
"""The account that may review tokens (the role `system:auth-delegator`) and read the keys."""


@dataclass(frozen=True)
class _Reply(Exception):
    status: int
    reason: str


class Cluster(Site):
    """Runs in threads of its own."""

    def __init__(self, trust: ssl.SSLContext) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.deleted: set[str] = set()
        """The `jti` of tokens whose pods are gone."""
        self.audiences_count = True
        """Whether it looks at audiences; a server that does not says so by naming none."""
        super().__init__(trust)

    def token(self, namespace: str, account: str, *audiences: str, lifetime: int = 3607, **claims: object) -> str:
        """A projected token."""
        now = int(time.time())
        good: dict[str, Any] = {
            "aud": list(audiences or (ISSUER,)),
            "exp": now + lifetime,
            "iat": now,
            "iss": ISSUER,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": account, "uid": "d2b3"}},
            "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{account}",
        }
        return jwt.encode(good | claims, self._key, algorithm="RS256", headers={"kid": "cluster", "typ": None})

    def delete(self, token: str) -> None:
        """The pod of this token is gone."""
        self.deleted.add(jwt.decode(token, options={"verify_signature": False})["jti"])

    @property
    def keys(self) -> str:
        """Its JWK Set."""
        public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**public, "kid": "cluster", "alg": "RS256", "use": "sig"}]})

    @property
    def reviewed(self) -> int:
        """How many reviews it has made."""
        return sum(one.path == REVIEWS and one.status == 201 for one in self.asked)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Page]:
        """What the real one would say; a page of this path comes first, so that it can be made to fail."""
        if path not in self.pages:
            try:
                document = self._serve(method, path, headers, body)
            except _Reply as refused:
                document = {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "metadata": {},
                    "status": "Failure",
                    "message": refused.reason,
                    "code": refused.status,
                }
            status = document.get("code", 201 if method == "POST" else 200)
            self.pages[path] = Page(status=status, body=json.dumps(document))
            try:
                return super().answer(method, path, headers, body)
            finally:
                del self.pages[path]
        return super().answer(method, path, headers, body)

    def _serve(self, method: str, path: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
        scheme, _, credential = headers.get("authorization", "").partition(" ")
        caller = self._authenticate(credential, [ISSUER]) if scheme == "Bearer" else None
        if caller is None:
            raise _Reply(401, "Unauthorized")
        if caller["sub"] != "system:serviceaccount:{}:{}".format(*REVIEWER):
            raise _Reply(403, f"{caller['sub']} cannot create resource tokenreviews at the cluster scope")
        if path == KEYS and method == "GET":
            loaded: dict[str, Any] = json.loads(self.keys)
            return loaded
        if path != REVIEWS:
            raise _Reply(404, "the server could not find the requested resource")
        if method != "POST":
            raise _Reply(405, "the server does not allow this method on the requested resource")
        if headers.get("content-type") != "application/json":
            raise _Reply(415, "the body of the request was in an unknown format")
        return self._review(body)

    def _review(self, body: bytes) -> dict[str, Any]:
        try:
            review = json.loads(body)
        except ValueError:
            raise _Reply(400, "the object provided is unrecognized") from None
        if (review.get("apiVersion"), review.get("kind")) != ("authentication.k8s.io/v1", "TokenReview"):
            raise _Reply(400, "no kind of that version is registered")
        spec = review.get("spec", {})
        if not set(review) <= {"apiVersion", "kind", "metadata", "spec", "status"} or not set(spec) <= {
            "token",
            "audiences",
        }:
            raise _Reply(400, "strict decoding error: unknown field")
        audiences = spec.get("audiences") or [ISSUER]
        if not isinstance(audiences, list) or not all(isinstance(one, str) for one in audiences):
            raise _Reply(400, "cannot unmarshal into spec.audiences")
        if not isinstance(spec.get("token"), str) or not spec["token"]:
            raise _Reply(400, "token is required for TokenReview in authentication")
        return {**review, "metadata": {"creationTimestamp": None}, "status": self._status(spec["token"], audiences)}

    def _status(self, token: str, audiences: list[str]) -> dict[str, Any]:
        claims = self._authenticate(token, audiences if self.audiences_count else None)
        if claims is None:
            return {"user": {}, "error": "[invalid bearer token, service account token has been invalidated]"}
        user = {
            "username": claims["sub"],
            "uid": claims["kubernetes.io"]["serviceaccount"]["uid"],
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "extra": {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]},
        }
        compatible = [one for one in audiences if one in claims["aud"]]
        return {"authenticated": True, "user": user, **({"audiences": compatible} if self.audiences_count else {})}

    def _authenticate(self, token: str, audiences: list[str] | None) -> dict[str, Any] | None:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key.public_key(),
                algorithms=["RS256"],
                issuer=ISSUER,
                audience=audiences,
                options={"verify_aud": audiences is not None, "require": ["exp", "iss", "sub"]},
            )
        except jwt.PyJWTError:
            return None
        return None if claims["jti"] in self.deleted else claims


@contextmanager
def running_cluster(trust: ssl.SSLContext) -> Iterator[Cluster]:
    """A cluster that is gone afterwards."""
    cluster = Cluster(trust)
    try:
        yield cluster
    finally:
        cluster.down()
