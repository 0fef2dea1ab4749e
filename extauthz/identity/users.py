"""The user of a request by the tokens that it carries, and the session that they belong to.

The rule: every token that was presented at a place that is configured is valid, or the Check ends here; two that name
two subjects are nobody.
"""

from collections.abc import Iterator, Mapping
from copy import copy
from math import inf
from typing import Any, Self

import msgspec

from extauthz.errors import IdentityConflict, InvalidCredential, StateUnavailable
from extauthz.identity.authorization import bearer, credential
from extauthz.identity.claims import Presented, VerifiedToken
from extauthz.identity.dpop import Proof, read_proof
from extauthz.identity.envoy_claims import EnvoyClaims
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import Answer, Answers, Awaiting, Done, Lookup, Unreachable, UsedBefore, UseProof
from extauthz.identity.tokens import Verifier
from extauthz.identity.user_config import AUTHORIZATION, COOKIE_PREFIX, MetadataSource, UserSource
from extauthz.values.identity import User
from extauthz.values.request import HttpRequest

NOBODY = Presented(since=-inf, until=inf)


class _Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it was presented; `proven` is whether a proof of possession must be beside it."""

    token: str
    place: str
    proven: bool = False


class Users:
    """Reads the users of requests under one configuration; may be shared by threads.

    `jwks` maps the names of the sources to the texts of their JWK Sets. Raises `ConfigurationError` for keys that
    can't be used.
    """

    def __init__(self, sources: tuple[UserSource, ...], jwks: Mapping[str, str]) -> None:
        places = {place for source in sources for place in source.places}
        self._verifier = Verifier(sources, jwks)
        self._envoy_claims = EnvoyClaims(source for source in sources if isinstance(source, MetadataSource))
        self._dpop = {source.name: source.dpop for source in sources if not isinstance(source, MetadataSource)}
        self.reads_authorization = AUTHORIZATION in places
        """Whether bearer credentials are tokens of users."""
        self._reads_proofs = self.reads_authorization and set(self._dpop.values()) != {"off"}
        self.cookies = tuple(
            sorted(place.removeprefix(COOKIE_PREFIX) for place in places if place.startswith(COOKIE_PREFIX))
        )
        """The names of the cookies that hold tokens."""

    def with_keys(self, name: str, keys: KeySet) -> Self:
        """The same with these keys for the source `name`."""
        renewed = copy(self)
        renewed._verifier = self._verifier.with_keys(name, keys)
        return renewed

    def read(
        self,
        http: HttpRequest,
        cookies: Mapping[str, str],
        metadata: Mapping[str, Any],
        *,
        certificate: str,
        bearer_is_taken: bool,
        now: float,
        came_at: float,
        answers: Answers,
    ) -> Presented | Awaiting:
        """The user of `http`, whose `cookies` are those of `self.cookies`, or what must be known before.

        `metadata` is that of Envoy's filters, by namespace; `certificate` is the SHA-256 in hex of the certificate that
        the connection proves, empty without one; `bearer_is_taken` says that the bearer credential is a workload's;
        `came_at` is when the request came, which counts for the age of a proof.
        Raises `MalformedRequest`, `InvalidCredential`, `IdentityConflict`, `IssuerUnavailable`, and `StateUnavailable`
        if nobody can say whether a proof was used before.
        """
        if not (metadata or cookies or "authorization" in http.headers):
            return NOBODY
        tokens: list[VerifiedToken] = []
        missing: list[Lookup] = []
        proof: Proof | None = None
        for sent in self._sent(http, cookies, bearer_is_taken=bearer_is_taken):
            outcome = self._verify(http, sent, certificate=certificate, now=now, came_at=came_at, answers=answers)
            if not isinstance(outcome, tuple):
                missing.append(outcome)
                continue
            token, proof_of_it = outcome
            proof = proof or proof_of_it
            tokens.append(token)
        if missing:
            return Awaiting(lookups=tuple(missing))
        if metadata:
            tokens += self._claimed(metadata, certificate=certificate, now=now)
        if not tokens:
            return NOBODY
        if proof is None and len(tokens) == 1:
            return tokens[0].alone
        user, session = _one_user(tokens), _session(tokens)
        credentials = tuple([token.credential for token in tokens])
        if proof is None:
            return Presented(user=user, session=session, credentials=credentials)
        # Last, so that no proof is used up by a request that is refused for something else.
        question = UseProof(source=user.verified_by, id=proof.id, expires_at=proof.expires_at)
        if question not in answers:
            return Awaiting(lookups=(question,))
        _require_first_use(answers[question])
        return Presented(user=user, session=session, credentials=credentials, key=proof.key)

    def _sent(self, http: HttpRequest, cookies: Mapping[str, str], *, bearer_is_taken: bool) -> Iterator[_Sent]:
        """Every token that was presented: the one of the Authorization header first. Each is looked for when the one
        before it has been looked at."""
        token = bearer(http) if self.reads_authorization and not bearer_is_taken else None
        if token is not None:
            yield _Sent(token=token, place=AUTHORIZATION)
        if self._reads_proofs and (token is None or "," in token):  # behind a comma there may be another one
            token = credential(http, "DPoP")
            if token is not None:
                yield _Sent(token=token, place=AUTHORIZATION, proven=True)
        for name in self.cookies:
            value = cookies.get(name)
            if value is not None:
                yield _Sent(token=value, place=COOKIE_PREFIX + name)

    def _verify(
        self, http: HttpRequest, sent: _Sent, *, certificate: str, now: float, came_at: float, answers: Answers
    ) -> tuple[VerifiedToken, Proof | None] | Lookup:
        """The token, and the proof beside it where one has to be, or what must be known before."""
        try:
            token = self._verifier.verify(sent.token, place=sent.place, now=now, answers=answers)
            if not isinstance(token, VerifiedToken):
                return token
            proof = self._proof(http, sent, token, came_at)
            token.confirmation.check(certificate=certificate, key=proof.key if proof else "")
        except InvalidCredential as refused:
            if sent.place == AUTHORIZATION:
                refused.oauth_error = refused.oauth_error or "invalid_token"
            raise
        return token, proof

    def _claimed(self, metadata: Mapping[str, Any], *, certificate: str, now: float) -> list[VerifiedToken]:
        """The users by the claims that Envoy has verified; it has read them from a bearer token."""
        try:
            claimed = self._envoy_claims.read(metadata, now=now)
            for token in claimed:
                token.confirmation.check(certificate=certificate, key="")
        except InvalidCredential as refused:
            refused.oauth_error = "invalid_token"
            raise
        return claimed

    def _proof(self, http: HttpRequest, sent: _Sent, token: VerifiedToken, came_at: float) -> Proof | None:
        """The proof beside the token, `None` where none has to be."""
        mode = self._dpop[token.user.verified_by]
        if sent.proven:
            if mode == "off":
                raise InvalidCredential("authorization: the issuer's tokens are not accepted as `DPoP`")
            try:
                return read_proof(http, sent.token, now=came_at)
            except InvalidCredential as refused:
                refused.oauth_error = "invalid_dpop_proof"
                raise
        if mode == "required":
            raise InvalidCredential("token: must be sent as `DPoP`, with a proof of possession")
        return None


def _require_first_use(answer: Answer) -> None:
    match answer:
        case Done():
            return
        case UsedBefore():
            raise InvalidCredential("dpop: the proof was used before", oauth_error="invalid_dpop_proof")
        case Unreachable(detail=detail):
            raise StateUnavailable(f"dpop: nobody can say whether the proof was used before: {detail}")
        case _:
            raise StateUnavailable("dpop: nobody can say whether the proof was used before")


def _one_user(tokens: list[VerifiedToken]) -> User:
    first = tokens[0]
    for other in tokens[1:]:
        if other.user.subject != first.user.subject:
            raise IdentityConflict(
                f"tokens: `{first.user.verified_by}` and `{other.user.verified_by}` name two subjects"
            )
    return first.user


def _session(tokens: list[VerifiedToken]) -> str:
    """The token's `sid`, else the hash of the session cookie, else that of the token."""
    first = tokens[0]
    if first.user.sid is None:
        for token in tokens:
            if token.user.cookie:
                return token.session
    return first.session
