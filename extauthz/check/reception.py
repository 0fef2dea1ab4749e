"""Security event tokens that are pushed here (RFC 8935): taken, done, and in force here before that is said.

The rules: who sends is known before what is sent is read. What is done is done in the store, for every server, once for
each token; a token is not said to be received before all of it is done.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Final, Protocol

import structlog

from extauthz.check.bearer import proves_bearer
from extauthz.check.revocation_feed import RevocationFeed
from extauthz.check.revocation_telling import tell_effects
from extauthz.errors import IssuerUnavailable, StateUnavailable
from extauthz.identity.keys import KeySet
from extauthz.identity.lookups import Answer, Lookup
from extauthz.identity.signals.config import TransmitterSettings
from extauthz.identity.signals.events import Effects, effects_of
from extauthz.identity.signals.tokens import EventToken, TokenRefused, read_token
from extauthz.record.chronicle import SILENT, Chronicle
from extauthz.store.protocol import Store
from extauthz.store.signals import Delivered, Delivery, Receipt

_log = structlog.get_logger(__name__)

RESULTS: Final = ("done", "again", "refused", "failed")
"""How receiving a token ends: it was done, it was done before, it is not taken, it could not be done now."""


class Keys(Protocol):
    """The keys of transmitters, by name."""

    def of(self, transmitter: str) -> KeySet | None:
        """The keys as they are known now."""

    async def ask(self, lookup: Lookup) -> Answer:
        """Ask whoever publishes them."""


class UnknownTransmitter(LookupError):
    """Nobody is called so."""


class Reception:
    """Takes tokens of `transmitters`. `secrets` gives the secret of the one with this name, `clock` seconds since the
    epoch. Belongs to one event loop.
    """

    def __init__(
        self,
        transmitters: Sequence[TransmitterSettings],
        *,
        keys: Keys,
        secrets: Callable[[str], str],
        store: Store,
        feed: RevocationFeed | None,
        clock: Callable[[], float],
        chronicle: Chronicle = SILENT,
    ) -> None:
        self._transmitters = {one.name: one for one in transmitters}
        self._keys = keys
        self._secrets = secrets
        self._store = store
        self._feed = feed
        self._clock = clock
        self._chronicle = chronicle
        self.counts: dict[tuple[str, str], int] = {
            (name, result): 0 for name in self._transmitters for result in RESULTS
        }
        """How many tokens of each transmitter ended how."""

    def authenticate(self, name: str, authorization: Sequence[str]) -> None:
        """Return if these values of the Authorization header prove the transmitter of this name (RFC 6750 section 2.1).

        Raises:
            UnknownTransmitter: there is none.
            TokenRefused: they don't.
        """
        if name not in self._transmitters:
            raise UnknownTransmitter(name)
        if not proves_bearer(authorization, self._secrets(name)):
            self._count(name, "refused")
            _log.warning("signal-refused", transmitter=name, code="authentication_failed")
            raise TokenRefused("authentication_failed", "the Authorization header is not the one that is expected here")

    async def receive(self, name: str, text: str) -> None:
        """Do what the token in `text` says, which the authenticated transmitter with this name has sent.

        Raises:
            TokenRefused: it is not taken.
            IssuerUnavailable: nobody knows whether it is good: keys can't be fetched.
            StateUnavailable: it can't be done now, at least not all of it.
        """
        transmitter = self._transmitters[name]
        now = self._clock()
        try:
            token = await self._read(text, transmitter, now)
            effects = effects_of(token, transmitter, now=now)
            delivered = await self._store.deliver(_delivery(token, effects, transmitter), now=now)
        except TokenRefused as error:
            self._refused(name, error)
            raise
        except (IssuerUnavailable, StateUnavailable) as error:
            self._count(name, "failed")
            _log.error("signal-failed", transmitter=name, error=str(error))
            raise
        if delivered is Delivered.CONFLICT:
            conflict = TokenRefused("invalid_request", "`jti` is that of another token")
            self._refused(name, conflict)
            raise conflict
        self._done(name, token, effects, delivered)
        if delivered is Delivered.DONE:
            tell_effects(self._chronicle, effects, by=f"transmitter:{name}")
        if self._feed is not None and delivered is Delivered.DONE:
            # Others look for news by themselves; so does this one if it can't now.
            with suppress(StateUnavailable):
                await self._feed.load()

    async def _read(self, text: str, transmitter: TransmitterSettings, now: float) -> EventToken:
        answers: dict[Lookup, Answer] = {}
        while True:
            keys = self._keys.of(transmitter.name)
            outcome = read_token(text, transmitter, keys, now=now, answers=answers)
            if isinstance(outcome, EventToken):
                return outcome
            answers[outcome] = await self._keys.ask(outcome)

    def _done(self, name: str, token: EventToken, effects: Effects, delivered: Delivered) -> None:
        self._count(name, "done" if delivered is Delivered.DONE else "again")
        _log.info(
            "signal-received",
            transmitter=name,
            jti=token.id,
            again=delivered is Delivered.AGAIN,
            events=dict(effects.outcomes),
            subjects=sorted(subject.key for subject in effects.subjects),
        )
        for event, outcome in effects.outcomes.items():
            if outcome in ("nobody", "unknown"):
                _log.warning("signal-ignored", transmitter=name, jti=token.id, event_type=event, because=outcome)

    def _refused(self, name: str, error: TokenRefused) -> None:
        self._count(name, "refused")
        _log.error("signal-refused", transmitter=name, code=error.code, error=str(error))

    def _count(self, name: str, result: str) -> None:
        self.counts[name, result] += 1


def _delivery(token: EventToken, effects: Effects, transmitter: TransmitterSettings) -> Delivery:
    # From then on it is too old to be taken anyway.
    until = token.issued_at + transmitter.max_age
    id_ = sha256(json.dumps([transmitter.name, transmitter.issuer, token.id]).encode("ascii")).hexdigest()
    return Delivery(
        receipt=Receipt(id=id_, digest=token.digest, until=until),
        revocations=effects.revocations,
        signals=effects.signals,
        voids=effects.voids,
    )
