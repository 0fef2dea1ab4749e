"""The identity of a request: its workload, its user, its session and its holders (design section 4).

The rule: what was presented at a place that is configured is valid, or the Check ends here. Nothing invalid becomes
anonymous, and two that disagree are nobody. Who comes again is known again only by all the texts that they were known
by, and only while these are good.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from functools import lru_cache
from hashlib import sha256
from sys import getsizeof
from typing import Final, NamedTuple, Self

from extauthz.identity import address, cookies
from extauthz.identity.claims import Presented
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.holders import holders
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import NO_ANSWERS, Answers, Awaiting
from extauthz.identity.remembered import Remembered
from extauthz.identity.user_config import AUTHORIZATION
from extauthz.identity.users import NOBODY, Users
from extauthz.identity.workload import MAX_CACHED, NO_FILES, Found, WorkloadFiles, Workloads
from extauthz.values.identity import HOLDER_COOKIE, Identity
from extauthz.values.request import EMPTY, RequestView

CACHED_CALLERS: Final = 4096


class _Returning(NamedTuple):
    """Who was known by some texts, from when until when (seconds since the epoch) without another look at them."""

    identity: Identity
    since: float
    until: float


_Texts = tuple[str, str, str, Sequence[tuple[str, ...] | None], bytes | None]
"""All that can tell who calls: the principal, certificate and address of the connection, the headers that are read, and
the digest of the Authorization header: a memory keeps no secrets, and what it compares tells nothing about one."""


class Resolver:
    """Resolves requests to identities under one configuration; may be shared by threads.

    `jwks` maps the names of `settings.keys` to the texts of their key sets, `files` is what the other files say. Raises
    `ConfigurationError` for what can't be used. Changed keys need a new resolver.
    """

    def __init__(
        self,
        settings: IdentitySettings,
        client: ClientSettings,
        jwks: Mapping[str, str],
        files: WorkloadFiles = NO_FILES,
    ) -> None:
        self._client = client
        self._users = Users(settings.users, jwks)
        self._workloads = Workloads(settings.workload, jwks, files, users_read_bearer=self._users.reads_authorization)
        self._cookies = frozenset({*self._users.cookies, HOLDER_COOKIE})
        by_address = (address.HEADER,) if client.trusted_hops else ()
        self._headers = (*self._workloads.headers, *by_address)
        self._reads_one_header = len(self._headers) == 1
        self._returning: Remembered[_Texts, _Returning] = Remembered(CACHED_CALLERS)
        self.schemes = settings.schemes
        """How callers prove who they are in the Authorization header."""

    def with_keys(self, name: str, keys: KeySet) -> Self:
        """A resolver with these keys for the source `name`; it keeps what does not depend on them."""
        renewed = copy(self)
        renewed._users = self._users.with_keys(name, keys)
        renewed._workloads = self._workloads.with_keys(name, keys)
        renewed._returning = Remembered(CACHED_CALLERS)  # of tokens that the old keys have verified, too
        return renewed

    def identify(
        self, request: RequestView, *, now: float, came_at: float | None = None, answers: Answers = NO_ANSWERS
    ) -> Identity | Awaiting:
        """Who makes `request` at `now` (seconds since the epoch), or what must be known before, beyond `answers`.

        `came_at` is when it came, if that was not now: a proof of possession is as old as it was then.
        Raises `MalformedRequest` for credentials that two readers could read differently, `InvalidCredential` for one
        that does not hold, `IdentityConflict` for two that disagree, `IssuerUnavailable` where somebody who must be
        asked does not answer, `StateUnavailable` where that is the store.
        """
        http, came = request.http, now if came_at is None else came_at
        # What is presented otherwise, and what somebody has to be asked about, is looked at each time.
        if http is None or answers or request.metadata or self._workloads.reads_tokens:
            return self._identify(request, now, came, answers)
        get = http.headers.get
        fields = get("cookie")
        if fields is not None and cookies.may_hold(fields, self._cookies):
            return self._identify(request, now, came, answers)
        lines = (get(self._headers[0]),) if self._reads_one_header else tuple([get(name) for name in self._headers])
        sent = get(AUTHORIZATION) if self._users.reads_authorization else None
        digest = None
        if sent is not None:
            if len(sent) != 1:
                return self._identify(request, now, came, answers)
            digest = sha256(sent[0].encode("utf-8", "surrogatepass")).digest()
        source = request.source
        texts = (source.principal, source.certificate, source.ip, lines, digest)
        known = self._returning.get(texts)
        if known is not None and known.since <= now < known.until:
            return known.identity
        return self._identify(request, now, came, answers, texts)

    def _identify(
        self, request: RequestView, now: float, came_at: float, answers: Answers, texts: _Texts | None = None
    ) -> Identity | Awaiting:
        """As `identify`; it is remembered for the `texts`."""
        peer = self._workloads.read(request, now=now, answers=answers)
        client_ip = address.client_ip(request, self._client)
        http = request.http
        sent: Mapping[str, str] = EMPTY
        presented: Presented | Awaiting = NOBODY
        if http is not None:
            fields = http.headers.get("cookie")
            if fields is not None:
                sent = cookies.read(fields, self._cookies)
            if sent or request.metadata or AUTHORIZATION in http.headers:
                presented = self._users.read(
                    http,
                    sent,
                    request.metadata,
                    certificate=peer.certificate,
                    bearer_is_taken=peer.takes_bearer,
                    now=now,
                    came_at=came_at,
                    answers=answers,
                )
        if isinstance(presented, Awaiting):
            return Awaiting(lookups=(*peer.lookups, *presented.lookups))
        if peer.lookups:
            return Awaiting(lookups=peer.lookups)
        secret, of_a_proxy = sent.get(HOLDER_COOKIE), self._is_of_a_proxy(request)
        # What is new with every request is not worth remembering: then the rest is not, either.
        together = _together if secret or presented.key or peer.credentials else _together_again
        identity = together(peer, presented, client_ip, secret, of_a_proxy)
        if texts is not None and peer.lasts and presented.since <= now < presented.until and _is_short(texts):
            self._returning.put(texts, _Returning(identity, presented.since, presented.until))
        return identity

    def _is_of_a_proxy(self, request: RequestView) -> bool:
        """Whether the certificate of the connection is that of a trusted proxy."""
        return self._client.trusted_hops > 0 and request.source.certificate != ""


def _together(peer: Found, presented: Presented, address: str, secret: str | None, of_a_proxy: bool) -> Identity:
    """The identity that a workload and a user make. A proxy's certificate is what everybody behind it has in common:
    then nobody holds it beside their token.
    """
    return Identity(
        workload=peer.workload,
        user=presented.user,
        session=presented.session,
        holders=holders(
            workload="" if peer.workload is None else peer.workload.id,
            certificate="" if of_a_proxy else peer.certificate,
            key=presented.key,
            address=address,
            secret=secret,
        ),
        client_ip=address,
        credentials=peer.credentials + presented.credentials,
    )


def _is_short(texts: _Texts) -> bool:
    """Whether a memory of bounded count is also one of bounded bytes."""
    principal, certificate, ip, lines, _ = texts
    read = [line for each in lines if each is not None for line in each]
    return sum(map(getsizeof, (principal, certificate, ip, *read))) <= MAX_CACHED


# Callers come again, and what is known of them is then the very same.
_together_again = lru_cache(maxsize=4096)(_together)
