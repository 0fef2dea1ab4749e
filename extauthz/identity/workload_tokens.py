"""Workloads by the tokens that they carry: JWT-SVIDs and service account tokens of Kubernetes.

The rules: whose token one is, its subject and its issuer say before anything is believed, and whoever that is verifies
it or the Check ends here; so that no token of a user is ever one of a workload, nor the other way round. The time is
looked at on every request, and nobody's word is taken for longer than they gave it.
"""

from collections.abc import Collection, Iterator, Mapping
from copy import copy
from hashlib import sha256
from math import inf
from typing import Any, Final, Self

import msgspec

from extauthz.errors import (
    ConfigurationError,
    IdentityConflict,
    InvalidCredential,
    IssuerUnavailable,
    MalformedRequest,
)
from extauthz.identity import claims, service_accounts, spiffe
from extauthz.identity.authorization import bearer
from extauthz.identity.compact import CompactToken, Unreadable, take_apart
from extauthz.identity.key_config import KeyFile, KeySource
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import Answers, Lookup, Reviewed, ReviewToken, Unreachable
from extauthz.identity.remembered import Remembered
from extauthz.identity.signed import key_and_algorithm
from extauthz.identity.tokens import missing_key
from extauthz.identity.workload_config import WorkloadSettings
from extauthz.identity.workload_token_config import (
    AUTHORIZATION,
    HEADER_PREFIX,
    KUBERNETES,
    JwtSvidSettings,
    KubernetesSettings,
    key_name,
)
from extauthz.values.identity import Credential, Workload
from extauthz.values.quoting import given
from extauthz.values.request import HttpRequest

CACHED_TOKENS: Final = 4096
CACHED_REFUSALS: Final = 1024
LEEWAY: Final = 30.0
"""Seconds that the clock of whoever signs may run ahead of ours; it moves `nbf` and `iat`, never `exp`."""

_SVID_SUBJECT: Final = "spiffe://"
_SVID_HEADER: Final = frozenset({"alg", "kid", "typ"})
_SVID_TYPES: Final = frozenset({"jwt", "jose"})
_ACCOUNT_TYPES: Final = frozenset({"jwt"})


class Presented(msgspec.Struct, frozen=True, kw_only=True):
    """What the tokens of a request prove; `workload` is `None` without any.

    `credentials` are those tokens. `lookups` are what must be known before. `takes_bearer` is whether the bearer
    credential is a workload's: then it is nobody else's.
    """

    workload: Workload | None = None
    credentials: tuple[Credential, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    takes_bearer: bool = False


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """A token that holds: whose it is, when it counts, by whose keys; since and until when nobody is asked again."""

    workload: Workload
    credential: Credential
    validity: claims.Validity
    vouched_by: str
    since: float = -inf
    until: float = inf


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A token that the API server does not know, from when until when it is not asked again."""

    since: float
    until: float


def _setting(name: str) -> str:
    """The key of extauthz.yaml under which the keys of a cluster or a trust domain are."""
    if name == KUBERNETES:
        return "identity.workload.kubernetes.jwks"
    return f"identity.workload.jwt_svid.bundles.{name.removeprefix(_SVID_SUBJECT)}"


class WorkloadTokens:
    """Reads the workloads of requests by their tokens; may be shared by threads.

    `jwks` maps the names of `settings.keys` to the texts of key sets and bundles; only those that are fetched may be
    missing. `users_read_bearer`: a bearer credential that is no workload's is left for them. Raises
    `ConfigurationError` for keys that can't be used.
    """

    def __init__(self, settings: WorkloadSettings, jwks: Mapping[str, str], *, users_read_bearer: bool) -> None:
        self._svid = settings.jwt_svid if "jwt_svid" in settings.sources else None
        self._cluster = settings.kubernetes if "kubernetes" in settings.sources else None
        self._users_read_bearer = users_read_bearer
        self._places = tuple(
            dict.fromkeys(place for block in (self._svid, self._cluster) if block is not None for place in block.places)
        )
        self._sources = {source.name: source for source in settings.keys}
        self._keys: dict[str, KeySet] = {}
        for name, source in self._sources.items():
            if name in jwks:
                self._keys[name] = source.read(jwks[name], setting=_setting(name))
            elif isinstance(source.place, KeyFile):
                raise ConfigurationError(f"workload: no keys were given for `{name}`")
        # Apart, so that made-up tokens can't drive out those that are good.
        self._known: Remembered[tuple[str, bytes], Verified] = Remembered(CACHED_TOKENS)
        self._rejected: Remembered[tuple[str, bytes], Rejected] = Remembered(CACHED_REFUSALS)
        self._of_others: Remembered[bytes, bool] = Remembered(CACHED_TOKENS)

    def with_keys(self, name: str, keys: KeySet) -> Self:
        """The same with these keys of the source `name`; what its old ones verified is forgotten."""
        if name not in self._sources:
            return self
        renewed = copy(self)
        renewed._keys = {**self._keys, name: keys}
        renewed._known = self._known.without(lambda known: known.vouched_by == name)
        return renewed

    def read(self, http: HttpRequest, *, now: float, answers: Answers) -> Presented:
        """The workload that the tokens of `http` name, at `now` in seconds since the epoch.

        Raises `MalformedRequest`, `InvalidCredential`, `IssuerUnavailable`, and `IdentityConflict` for two tokens that
        name two workloads.
        """
        workload: Workload | None = None
        credentials: list[Credential] = []
        lookups: list[Lookup] = []
        takes_bearer = False
        for place, token in self._tokens(http):
            try:
                outcome = self._verify(token, place=place, now=now, answers=answers)
            except InvalidCredential as refused:
                if place == AUTHORIZATION:
                    refused.oauth_error = "invalid_token"
                raise
            if outcome is None:
                continue
            takes_bearer = takes_bearer or place == AUTHORIZATION
            if not isinstance(outcome, Verified):
                lookups.append(outcome)
                continue
            credentials.append(outcome.credential)
            if workload is None:
                workload = outcome.workload
            elif workload.id != outcome.workload.id:
                raise IdentityConflict(f"{place}: {given(outcome.workload.id)} is not {given(workload.id)}")
        return Presented(
            workload=workload, credentials=tuple(credentials), lookups=tuple(lookups), takes_bearer=takes_bearer
        )

    def _tokens(self, http: HttpRequest) -> Iterator[tuple[str, str]]:
        """Every token that was presented, with its place."""
        for place in self._places:
            if place == AUTHORIZATION:
                token = bearer(http)
                if token is not None:
                    yield place, token
                continue
            name = place.removeprefix(HEADER_PREFIX)
            values = http.headers.get(name)
            if values is not None:
                if len(values) != 1:
                    raise MalformedRequest(f"{name}: sent {len(values)} times")
                yield place, values[0]

    def _verify(self, token: str, *, place: str, now: float, answers: Answers) -> Verified | Lookup | None:
        """The token if it is a workload's, or what must be known before; `None` if it is left for users."""
        # The digest, not the text: what is remembered are no secrets, and a comparison tells nothing about one.
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        is_shared = place == AUTHORIZATION and self._users_read_bearer
        if is_shared and self._of_others.get(digest):
            return None
        key = (place, digest)
        known: Verified | Rejected | None = self._known.get(key)
        if known is None:
            known = self._rejected.get(key)
        # A clock that was set back makes no answer last longer.
        if known is None or not known.since <= now < known.until:
            try:
                parts = take_apart(token)
            except Unreadable as error:
                if is_shared:  # it may be one that only its issuer can read
                    return None
                raise InvalidCredential(f"{place}: token: {error}") from None
            outcome: Verified | Rejected | Lookup
            # RFC 8725 section 3.8: whose it says to be chooses who verifies it, and nobody else is asked.
            if self._svid is not None and place in self._svid.places and _has_spiffe_subject(parts.claims):
                outcome = self._read_svid(self._svid, parts, place, answers)
            elif self._is_of_cluster(parts.claims, place):
                outcome = self._read_account(parts, token, place, now=now, answers=answers)
            elif is_shared:
                self._of_others.put(digest, True)
                return None
            else:
                raise InvalidCredential(f"{place}: token: of nobody whose tokens are read here")
            if isinstance(outcome, Rejected):
                self._known.forget(key)
                self._rejected.put(key, outcome)
            elif isinstance(outcome, Verified):
                self._known.put(key, outcome)
            else:
                return outcome
            known = outcome
        if isinstance(known, Rejected):
            raise InvalidCredential("token: the API server does not know it")
        known.validity.check(now)
        return known

    def _is_of_cluster(self, members: Mapping[str, Any], place: str) -> bool:
        cluster = self._cluster
        return cluster is not None and place in cluster.places and members.get("iss") == cluster.issuer

    def _read_svid(
        self, settings: JwtSvidSettings, parts: CompactToken, place: str, answers: Answers
    ) -> Verified | Lookup:
        """Everything but the time (SPIFFE JWT-SVID sections 2 to 4)."""
        # 1. Section 3.1: the subject names the trust domain, and that alone can vouch for it.
        workload = spiffe.parse(parts.claims["sub"], verified_by="jwt_svid")
        if workload is None:
            raise InvalidCredential("token: `sub` is no SPIFFE ID")
        source = self._sources.get(key_name(workload.trust_domain))
        if source is None:
            raise InvalidCredential("token: `sub` is of a trust domain whose tokens are not accepted")
        # 2. Section 2: other members of the header must not be there.
        if not parts.header.keys() <= _SVID_HEADER:
            raise InvalidCredential("token: its header has members that no JWT-SVID has")
        missing = self._check_signature(parts, source, types=_SVID_TYPES, answers=answers)
        if missing is not None:
            return missing
        # 3. Sections 3.2 and 3.3.
        _check_audience(parts.claims, settings.audiences)
        return Verified(
            workload=workload,
            credential=_credential(parts, workload, place),
            validity=claims.validity(parts.claims, leeway=LEEWAY),
            vouched_by=source.name,
        )

    def _read_account(
        self, parts: CompactToken, token: str, place: str, *, now: float, answers: Answers
    ) -> Verified | Rejected | Lookup:
        """Everything but the time; it is looked at first where somebody would be asked about a token that is over."""
        settings, source = self._cluster, self._sources.get(KUBERNETES)
        assert settings is not None  # noqa: S101 - who calls has looked
        if source is not None:
            missing = self._check_signature(parts, source, types=_ACCOUNT_TYPES, answers=answers)
            if missing is not None:
                return missing
        workload = service_accounts.workload(
            parts.claims,
            trust_domain=settings.trust_domain,
            verified_by="kubernetes" if source is not None else "token_review",
        )
        since, until = (-inf, inf) if source is not None else (now, now + settings.remember)
        verified = Verified(
            workload=workload,
            credential=_credential(parts, workload, place),
            validity=claims.validity(parts.claims, leeway=LEEWAY),
            vouched_by=KUBERNETES,
            since=since,
            until=until,
        )
        _check_audience(parts.claims, settings.audiences)
        if source is not None:
            return verified
        verified.validity.check(now)
        lookup = ReviewToken(source=KUBERNETES, token=token)
        match answers.get(lookup):
            case None:
                return lookup
            case Reviewed() as review:
                return verified if _vouches(review, parts.claims, settings) else Rejected(since=since, until=until)
            case Unreachable(detail=detail):
                raise IssuerUnavailable(f"token review: {detail}")
            case _:
                raise IssuerUnavailable("token review: the answer is none")

    def _check_signature(
        self, parts: CompactToken, source: KeySource, *, types: Collection[str], answers: Answers
    ) -> Lookup | None:
        """What must be known before it can be checked, `None` if it holds. Raises `InvalidCredential`."""
        kid, algorithm = key_and_algorithm(parts, algorithms=source.algorithms, types=types)
        keys = self._keys.get(source.name)
        found = keys.find(kid, algorithm) if keys is not None else None
        if found is None:
            return missing_key(source, keys, answers)
        if not found.verifies(parts.signature, parts.signing_input):
            raise InvalidCredential("token: the signature is wrong")
        return None


def _credential(parts: CompactToken, workload: Workload, place: str) -> Credential:
    return claims.credential(
        parts.claims, workload.subject, digest=parts.digest, in_authorization=place == AUTHORIZATION
    )


def _has_spiffe_subject(members: Mapping[str, Any]) -> bool:
    subject = members.get("sub")
    return isinstance(subject, str) and subject.startswith(_SVID_SUBJECT)


def _check_audience(members: Mapping[str, Any], expected: Collection[str]) -> None:
    if not set(claims.audiences(members)) & set(expected):
        raise InvalidCredential("token: `aud` names none of the audiences that are expected here")


def _vouches(review: Reviewed, members: Mapping[str, Any], settings: KubernetesSettings) -> bool:
    """Whether the API server knows this token, for us.

    An answer without audiences is that of a server which does not look at them, and says that the token is for the API
    server itself (Kubernetes API, TokenReviewStatus).
    """
    return (
        review.authenticated
        and review.username == members["sub"]
        and bool(set(review.audiences) & set(settings.audiences))
    )
