"""The identity of a request: its workload, its user, its session and its holders (design section 4).

The rule: what was presented at a place that is configured is valid, or the Check ends here. Nothing invalid becomes
anonymous, and two that disagree are nobody.
"""

from collections.abc import Mapping
from copy import copy
from functools import lru_cache
from typing import Self

from extauthz.identity import address, cookies
from extauthz.identity.claims import Presented
from extauthz.identity.config import ClientSettings, IdentitySettings
from extauthz.identity.holders import holders
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import NO_ANSWERS, Answers, Awaiting
from extauthz.identity.returning import Returning, Texts, fit
from extauthz.identity.user_config import AUTHORIZATION
from extauthz.identity.users import NOBODY, Users
from extauthz.identity.workload import MAX_CACHED, NO_FILES, Found, WorkloadFiles, Workloads
from extauthz.values.identity import HOLDER_COOKIE, Identity
from extauthz.values.request import EMPTY, RequestView


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
        self._reads_tokens = self._workloads.reads_tokens
        self.returning = self._nobody_yet()
        """Who comes again: whom `identify` knows without looking, where it is asked without answers."""
        self.schemes = settings.schemes
        """How callers prove who they are in the Authorization header."""

    def with_keys(self, name: str, keys: KeySet) -> Self:
        """A resolver with these keys for the source `name`; it keeps what does not depend on them."""
        renewed = copy(self)
        renewed._users = self._users.with_keys(name, keys)
        renewed._workloads = self._workloads.with_keys(name, keys)
        renewed.returning = self._nobody_yet()  # those that are known may be so by what the old keys have verified
        return renewed

    def _nobody_yet(self) -> Returning:
        by_address = (address.HEADER,) if self._client.trusted_hops else ()
        return Returning(
            (*self._workloads.headers, *by_address),
            cookies=self._cookies,
            reads_authorization=self._users.reads_authorization,
        )

    def identify(
        self, request: RequestView, now: float, came_at: float | None = None, answers: Answers = NO_ANSWERS
    ) -> Identity | Awaiting:
        """Who makes `request` at `now` (seconds since the epoch), or what must be known before, beyond `answers`.

        `came_at` is when it came, if that was not now: a proof of possession is as old as it was then.
        Raises `MalformedRequest` for credentials that two readers could read differently, `InvalidCredential` for one
        that does not hold, `IdentityConflict` for two that disagree, `IssuerUnavailable` where somebody who must be
        asked does not answer, `StateUnavailable` where that is the store.
        """
        texts = None
        if not (answers or self._reads_tokens):  # what somebody has to be asked about is looked at each time
            returning = self.returning  # who was noted by their connection has been asked for before
            texts = returning.texts(request)
            known = None if texts is None else returning.known_by(texts, request, now)
            if known is not None:
                return known
        return self._identify(request, now, now if came_at is None else came_at, answers, texts)

    def _identify(
        self, request: RequestView, now: float, came_at: float, answers: Answers, texts: Texts | None = None
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
        lasts = peer.lasts and presented.since <= now < presented.until
        if texts is not None and lasts and fit(texts, MAX_CACHED):
            self.returning.remember(texts, identity, since=presented.since, until=presented.until)
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


# Callers come again, and what is known of them is then the very same.
_together_again = lru_cache(maxsize=4096)(_together)
