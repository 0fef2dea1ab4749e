"""The identity of a request: its workload, its user, its session and its holders (design section 4).

The rule: what was presented at a place that is configured is valid, or the Check ends here. Nothing invalid becomes
anonymous, and two that disagree are nobody.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping

from extauthz.errors import IdentityConflict, InvalidCredential, MalformedRequest
from extauthz.identity import cookies
from extauthz.identity.address import client_ip
from extauthz.identity.config import AUTHORIZATION, COOKIE_PREFIX, ClientSettings, IdentitySettings
from extauthz.identity.holders import holders
from extauthz.identity.tokens import VerifiedToken, Verifier
from extauthz.identity.workload import PeerIdentity, reader
from extauthz.values.identity import HOLDER_COOKIE, Identity, User
from extauthz.values.request import HttpRequest, RequestView

_SCHEME = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)")
_LATER_BEARER = re.compile(r",[ \t]*bearer[ \t]", re.IGNORECASE)


class Resolver:
    """Resolves requests to identities under one configuration; may be shared by threads.

    `jwks` maps the names of the sources in `settings.users` to the texts of their JWK Sets. Raises
    `ConfigurationError` for keys that can't be used. Changed keys need a new resolver.
    """

    def __init__(self, settings: IdentitySettings, client: ClientSettings, jwks: Mapping[str, str]) -> None:
        places = {place for source in settings.users for place in source.places}
        self._client = client
        self._peer = reader(settings.workload)
        self._verifier = Verifier(settings.users, jwks)
        self._reads_authorization = AUTHORIZATION in places
        self._token_cookies = tuple(
            sorted(place.removeprefix(COOKIE_PREFIX) for place in places if place != AUTHORIZATION)
        )
        self._cookies = frozenset({*self._token_cookies, HOLDER_COOKIE})

    def identify(self, request: RequestView, *, now: float) -> Identity:
        """Who makes `request` at `now` (seconds since the epoch).

        Raises `MalformedRequest` for credentials that two readers could read differently, `InvalidCredential` for one
        that does not hold, `IdentityConflict` for two that disagree.
        """
        peer = self._peer(request)
        address = client_ip(request, self._client)
        http = request.http
        sent = self._read_cookies(http) if http is not None else {}
        tokens = self._tokens(http, sent, now) if http is not None else []
        return Identity(
            workload=peer.workload,
            user=_one_user(tokens, peer),
            session=_session(tokens),
            holders=holders(
                workload="" if peer.workload is None else peer.workload.id,
                certificate=peer.certificate,
                address=address,
                secret=sent.get(HOLDER_COOKIE),
            ),
            client_ip=address,
        )

    def _read_cookies(self, http: HttpRequest) -> Mapping[str, str]:
        fields = http.headers.get("cookie")
        return cookies.read(fields, self._cookies) if fields is not None else {}

    def _tokens(self, http: HttpRequest, sent: Mapping[str, str], now: float) -> list[VerifiedToken]:
        """Every token that was presented, all valid: the one of the Authorization header first."""
        tokens: list[VerifiedToken] = []
        if self._reads_authorization:
            bearer = _bearer(http)
            if bearer is not None:
                tokens.append(self._verifier.verify(bearer, place=AUTHORIZATION, now=now))
        for name in self._token_cookies:
            value = sent.get(name)
            if value is not None:
                tokens.append(self._verifier.verify(value, place=COOKIE_PREFIX + name, now=now))
        return tokens


def _bearer(http: HttpRequest) -> str | None:
    """The bearer token of the Authorization header; `None` without the header and for other schemes."""
    values = http.headers.get("authorization")
    if values is None:
        return None
    if len(values) != 1:
        raise MalformedRequest(f"authorization: sent {len(values)} times")
    value = values[0]
    scheme, _, token = value.partition(" ")
    if scheme.lower() == "bearer":  # RFC 9110 section 11.4, RFC 6750 section 2.1
        return token.lstrip(" ")
    odd = _SCHEME.match(value)
    if odd is not None and odd[1].lower() == "bearer":
        raise InvalidCredential("authorization: expected `Bearer`, a blank and one token")
    # Envoy joins repeated headers with a comma; a reader that takes the last would see a token.
    if _LATER_BEARER.search(value) is not None:
        raise MalformedRequest("authorization: two credentials in one header")
    return None


def _one_user(tokens: list[VerifiedToken], peer: PeerIdentity) -> User | None:
    if not tokens:
        return None
    first, *others = tokens
    for other in others:
        if other.user.subject != first.user.subject:
            raise IdentityConflict(
                f"tokens: `{first.user.verified_by}` and `{other.user.verified_by}` name two subjects"
            )
    for token in tokens:
        # RFC 8705 section 3: a token that is bound to a certificate counts only beside it.
        if token.confirmation is not None and token.confirmation != _x5t(peer.certificate):
            raise InvalidCredential("token: `cnf` is not the certificate of this connection")
    return first.user


def _x5t(certificate: str) -> str:
    return urlsafe_b64encode(bytes.fromhex(certificate)).rstrip(b"=").decode("ascii")


def _session(tokens: list[VerifiedToken]) -> str | None:
    """The token's `sid`, else the hash of the session cookie, else that of the token."""
    if not tokens:
        return None
    first = tokens[0]
    if first.user.sid is None:
        for token in tokens:
            if token.user.cookie:
                return token.session
    return first.session
